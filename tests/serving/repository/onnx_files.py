"""Small ONNX models, written without the onnx package."""

__all__ = ["scaled"]


def scaled(factor: float, size: int = 3) -> bytes:
    """Return a model that multiplies rows of ``size`` float32 ``x`` by a factor, giving ``y``."""
    import struct

    value = struct.pack("<f", factor)
    tensor = _field(2, 1, wire=0) + _field(9, value) + _field(8, b"factor")
    node = _field(1, b"x") + _field(1, b"factor") + _field(2, b"y") + _field(4, b"Mul")
    graph = (
        _field(1, node) + _field(2, b"g") + _field(5, tensor)
        + _field(11, _value(b"x", size)) + _field(12, _value(b"y", size))
    )  # fmt: skip
    opset = _field(2, 13, wire=0)
    return _field(1, 8, wire=0) + _field(7, graph) + _field(8, opset)


def _value(name: bytes, size: int) -> bytes:
    rows = _field(1, _field(2, b"n"))
    columns = _field(1, _field(1, size, wire=0))
    kind = _field(1, _field(1, 1, wire=0) + _field(2, rows + columns))
    return _field(1, name) + _field(2, kind)


def _field(number: int, value: bytes | int, wire: int = 2) -> bytes:
    key = _varint(number << 3 | wire)
    if isinstance(value, int):
        return key + _varint(value)
    return key + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
