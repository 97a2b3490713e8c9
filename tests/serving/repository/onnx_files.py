"""Small ONNX models, written without the onnx package."""

import struct
from collections.abc import Sequence

__all__ = ["graph_of", "integers", "node", "scaled"]


def scaled(factor: float, size: int = 3) -> bytes:
    """Return a model that multiplies rows of ``size`` float32 ``x`` by a factor, giving ``y``."""
    value = struct.pack("<f", factor)
    tensor = _field(2, 1, wire=0) + _field(9, value) + _field(8, b"factor")
    return graph_of([node("Mul", ["x", "factor"], "y")], [tensor], size)


def node(operator: str, inputs: Sequence[str], output: str) -> bytes:
    """Return an operator of a graph."""
    named = b"".join(_field(1, name.encode()) for name in inputs)
    return named + _field(2, output.encode()) + _field(4, operator.encode())


def integers(name: str, values: bytes, count: int) -> bytes:
    """Return a constant of int64."""
    kind = _field(1, count, wire=0) + _field(2, 7, wire=0)
    return kind + _field(9, values) + _field(8, name.encode())


def graph_of(nodes: Sequence[bytes], constants: Sequence[bytes], size: int = 3) -> bytes:
    """Return a model that makes rows ``y`` of rows ``x``, both of ``size`` float32."""
    graph = (
        b"".join(_field(1, each) for each in nodes) + _field(2, b"g")
        + b"".join(_field(5, each) for each in constants)
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
