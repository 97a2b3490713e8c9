"""The frame of a .tflite file: is it whole, and which subgraph does a signature run?

LiteRT verifies the flatbuffer when it is opened from memory. The checks here give an
error that names the file, and refuse quantisation that no converter writes and that LiteRT
would crash on. The file is read without the flatbuffers package: that one checks no bounds
of vectors and strings, takes 4 ms to import and 4 times as long to read. Source: schema.fbs
of TensorFlow Lite, version 3; tables as in flatbuffers' internals document.
"""

import math
import struct
from collections.abc import Iterator

from gpfn.errors import ModelUnreadable

__all__ = ["field", "follow", "numbers", "signature_names", "signature_subgraphs", "tables", "text"]

_VERSION, _SUBGRAPHS, _SIGNATURES = 0, 2, 7  # fields of the table Model
_KEY, _SUBGRAPH = 2, 4  # fields of the table SignatureDef
_TENSORS = 0  # field of the table SubGraph
_TYPE, _QUANTIZATION = 1, 4  # fields of the table Tensor
_SCALE, _ZERO_POINT = 2, 3  # fields of the table QuantizationParameters

_RANGES = {2: 31, 3: -8, 7: 15, 9: 7, 17: 3}
"""By TensorType's numbers of the quantised types: bits of a value, negative if unsigned."""


def signature_subgraphs(data: bytes, path: str) -> dict[str, int]:
    """Return the signatures of a model with the subgraph each one runs.

    Raises ModelUnreadable when the file was cut off or is not version 3 of the format.
    """
    try:
        return _read(data)
    except (struct.error, ValueError) as error:
        raise ModelUnreadable(
            f"a LiteRT model that is cut off or damaged ({error}): {path}; copy or export it again"
        ) from None


def signature_names(path: str) -> tuple[str, ...]:
    """Return the names of a file's signatures, sorted. Raises ModelUnreadable."""
    with open(path, "rb") as file:
        return tuple(sorted(signature_subgraphs(file.read(), path)))


def _read(data: bytes) -> dict[str, int]:
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ValueError("no TFL3 in bytes 4 to 7")
    model = follow(data, 0)
    version = field(data, model, _VERSION)
    if not version or struct.unpack_from("<I", data, version)[0] != 3:
        raise ValueError("not version 3 of the format")
    subgraphs = 0
    for subgraphs, graph in enumerate(tables(data, model, _SUBGRAPHS), 1):  # noqa: B007
        for tensor in tables(data, graph, _TENSORS):
            _check_quantization(data, tensor)
    if not subgraphs:
        raise ValueError("no subgraph")
    found = {}
    for table in tables(data, model, _SIGNATURES):
        at = field(data, table, _SUBGRAPH)
        index = struct.unpack_from("<I", data, at)[0] if at else 0
        if index >= subgraphs:
            raise ValueError(f"signature of subgraph {index} of {subgraphs}")
        found[text(data, field(data, table, _KEY))] = index
    return found


def _check_quantization(data: bytes, tensor: int) -> None:
    at = field(data, tensor, _QUANTIZATION)
    kind = field(data, tensor, _TYPE)
    bits = _RANGES.get(struct.unpack_from("<B", data, kind)[0]) if kind else None
    if not at or bits is None:
        return
    parameters = follow(data, at)
    low, high = (0, (1 << -bits) - 1) if bits < 0 else (-(1 << bits), (1 << bits) - 1)
    for scale in numbers(data, field(data, parameters, _SCALE), "f", 4):
        if not (math.isfinite(scale) and scale >= 0):
            raise ValueError(f"a scale of {scale}")
    for point in numbers(data, field(data, parameters, _ZERO_POINT), "q", 8):
        if not low <= point <= high:
            raise ValueError(f"a zero point of {point:g}")


def numbers(data: bytes, at: int, code: str, size: int) -> tuple[float, ...]:
    """Return the vector of a field at ``at``: numbers of ``size`` bytes, none for 0."""
    if not at:
        return ()
    vector = follow(data, at)
    count = struct.unpack_from("<I", data, vector)[0]
    if count * size > len(data) - vector - 4:
        raise ValueError(f"a vector of {count} at byte {vector} of {len(data)}")
    return struct.unpack_from(f"<{count}{code}", data, vector + 4)


def tables(data: bytes, table: int, index: int) -> Iterator[int]:
    """Give where the tables of a field that is a vector of them begin."""
    at = field(data, table, index)
    if at:
        vector = follow(data, at)
        count = struct.unpack_from("<I", data, vector)[0]
        if count * 4 > len(data) - vector - 4:
            raise ValueError(f"a vector of {count} at byte {vector} of {len(data)}")
        yield from (follow(data, vector + 4 + 4 * number) for number in range(count))


def text(data: bytes, at: int) -> str:
    """Return the text of a field at ``at``, nothing for 0."""
    if not at:
        return ""
    start = follow(data, at)
    size = struct.unpack_from("<I", data, start)[0]
    if size > len(data) - start - 4:
        raise ValueError(f"a text of {size} bytes at byte {start} of {len(data)}")
    return data[start + 4 : start + 4 + size].decode("utf-8", "replace")


def field(data: bytes, table: int, index: int) -> int:
    """Return where a table's field stands, 0 when the table leaves it out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if not 0 <= vtable <= len(data) - 4:
        raise ValueError(f"a table at byte {table} has no layout")
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * index
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry + 2 <= size else 0
    return table + offset if offset else 0


def follow(data: bytes, at: int) -> int:
    """Return where the offset at ``at`` leads."""
    target: int = at + struct.unpack_from("<I", data, at)[0]
    if target > len(data) - 4:
        raise ValueError(f"byte {at} leads to byte {target} of {len(data)}")
    return target
