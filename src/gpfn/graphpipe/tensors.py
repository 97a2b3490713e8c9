"""The tensors of a message, in both directions: numbers without copies, strings copied.

:func:`decode_tensors` gives arrays of numbers as read-only views into the message and
strings as object arrays of ``bytes``. :func:`contents` gives the bytes of arrays where they
lie in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from gpfn.errors import CallerError, InvalidMessage, InvalidTensor, TooLarge
from gpfn.graphpipe.messages import Type
from gpfn.graphpipe.reader import MAX_MESSAGE, Flatbuffer, TableKind, inside
from gpfn.tensors.shapes import check_rows

__all__ = ["Buffer", "Spec", "contents", "decode_tensors", "memory", "utf8"]

_Array = np.ndarray[Any, Any]

_TENSOR = TableKind(1, 4, 4, 4)  # type, shape, data, string_val

_DTYPES = {
    int(kind): (np.dtype(kind.dtype).newbyteorder("<"), np.dtype(kind.dtype).itemsize)
    for kind in Type
    if kind not in (Type.NULL, Type.STRING)
}


def decode_tensors(message: Flatbuffer, position: int, field: str) -> tuple[_Array, ...]:
    """Return the arrays of the vector of tensors that the offset at ``position`` leads to.

    Raises InvalidMessage or TooLarge; ``field`` is the vector's name in error paths.
    """
    limits = message.limits
    arrays: list[_Array] = []
    elements = 0
    for offset in message.offsets(position, field, limits.tensors, "GPFN_MAX_TENSORS"):
        try:
            array = _tensor(message, offset)
            elements += array.size
            if elements > limits.elements:
                raise TooLarge(f"over {limits.elements} elements in all (GPFN_MAX_ELEMENTS)")
            if elements > message.size:
                raise InvalidMessage("tensors share their bytes")
        except CallerError as error:
            raise inside(f"{field}[{len(arrays)}]", error) from None
        arrays.append(array)
    return tuple(arrays)


def _tensor(message: Flatbuffer, position: int) -> _Array:
    at, (_, kind, shape, data, strings) = message.table(position, _TENSOR)
    number = message.bytes[at + kind] if kind else 0
    sizes = message.longs(at + shape, "shape") if shape else ()
    count = prod(sizes)
    if count <= 0 or count > MAX_MESSAGE:
        count = _unusual_count(sizes)
    if number not in _DTYPES:
        if number != Type.STRING:
            raise InvalidMessage(f"unknown element type {number}", field="type")
        if min(sizes, default=0) < 0:
            _unusual_count(sizes)
        return _read_strings(message, at, data, strings, count).reshape(sizes)
    if strings and message.vector(at + strings, 4, "string_val")[1]:
        raise InvalidMessage("strings in a tensor of numbers", field="string_val")
    dtype, width = _DTYPES[number]
    start, length = message.numbers(at + data, "data") if data else (0, 0)
    if length != count * width:
        raise InvalidMessage(
            f"{length} bytes; {count} of {Type(number).dtype} take {count * width}", field="data"
        )
    try:
        return np.ndarray(sizes, dtype, memory(message.bytes), start)
    except ValueError:  # two negative sizes, whose product is positive
        _unusual_count(sizes)
        raise


def memory(data: bytes | memoryview) -> bytes | _Array:
    """Return the buffer that arrays are views of.

    An array made of a memoryview does not hold it, so a bytearray below could be resized
    while the array is used. An array of bytes holds its memoryview, which prevents that.
    """
    return data if type(data) is bytes else np.frombuffer(data, np.uint8)


def _unusual_count(sizes: tuple[int, ...]) -> int:
    """Return 0 for an array without elements, of few rows; raise for all other shapes."""
    span = 1
    for index, size in enumerate(sizes):
        span *= size or 1
        if size < 0 or span > MAX_MESSAGE:
            raise InvalidMessage(f"{size} of {sizes} is not a valid size", field=f"shape[{index}]")
    check_rows(sizes, "shape")
    return 0


def _read_strings(message: Flatbuffer, at: int, data: int, strings: int, count: int) -> _Array:
    if data and message.vector(at + data, 1, "data")[1]:
        raise InvalidMessage("numbers in a tensor of strings", field="data")
    offsets = range(0)
    if strings:
        limit = message.limits.elements
        offsets = message.offsets(at + strings, "string_val", limit, "GPFN_MAX_ELEMENTS")
    if len(offsets) != count:
        raise InvalidMessage(f"{len(offsets)} strings for {count} elements", field="string_val")
    array = np.empty(count, object)
    for index, offset in enumerate(offsets):
        try:
            array[index] = message.string(offset, "")
        except CallerError as error:
            raise inside(f"string_val[{index}]", error) from None
    array.flags.writeable = False
    return array


Buffer = bytes | memoryview
"""One piece of an encoded message."""

Spec = tuple[int, tuple[int, ...], int]
"""A tensor as its description shows it: type number, shape, bytes of its contents."""

_TYPES = {
    np.dtype(kind.dtype).newbyteorder("<"): int(kind)
    for kind in Type
    if kind not in (Type.NULL, Type.STRING)
} | {np.dtype(bool): int(Type.UINT8)}


def contents(arrays: Sequence[_Array], field: str) -> tuple[tuple[Spec, ...], list[Buffer]]:
    """Return the description of each array and its bytes.

    An array of numbers is copied only when it is not contiguous or not little-endian.
    Raises InvalidTensor for a dtype that GraphPipe does not have and TooLarge above 2 GiB;
    ``field`` is the name of the vector of tensors in error paths.
    """
    specs: list[Spec] = []
    buffers: list[Buffer] = []
    for array in arrays:
        number = _TYPES.get(array.dtype, 0) if type(array) is np.ndarray else 0
        if number and array.flags.c_contiguous:
            size = array.nbytes
            buffers.append(array.data.cast("B") if size else b"")
        else:
            try:
                number, buffer = _converted(array)
            except CallerError as error:
                raise inside(f"{field}[{len(specs)}]", error) from None
            size = len(buffer)
            buffers.append(buffer)
        specs.append((number, array.shape, size))
    return tuple(specs), buffers


def _converted(array: _Array) -> tuple[int, Buffer]:
    """Return type number and bytes of an array that has to be converted first."""
    if not isinstance(array, np.ndarray | np.generic) or hasattr(array, "mask"):
        raise InvalidTensor(f"expected a NumPy array, got {type(array).__name__}")
    if array.dtype.kind in "OSTU":
        return int(Type.STRING), _write_strings(array)
    plain = array.dtype.newbyteorder("<")
    if plain not in _TYPES:
        raise InvalidTensor(f"GraphPipe has no type for {array.dtype}")
    if array.nbytes > MAX_MESSAGE:
        raise TooLarge(f"{array.nbytes} bytes; a GraphPipe message ends at {MAX_MESSAGE}")
    copy = np.asarray(array).astype(plain, order="C", copy=False)
    return _TYPES[plain], copy.data.cast("B") if copy.nbytes else b""


def _write_strings(array: _Array) -> bytes:
    """Return a vector of strings: count, offsets, then each string with its length and NUL."""
    strings = _as_bytes(array.ravel().tolist())
    count = len(strings)
    sizes = (np.fromiter(map(len, strings), np.int64, count) + 8) & -4  # of length, bytes, NUL
    end = 4 + 4 * count + int(sizes.sum())
    if end > MAX_MESSAGE:
        raise TooLarge(f"{end} bytes of strings; a GraphPipe message ends at {MAX_MESSAGE}")
    written = bytearray(end)  # not pieces to be joined: each of them takes more than its string
    written[:4] = count.to_bytes(4, "little")
    starts = np.cumsum(sizes) - sizes + 4 * np.arange(count, 0, -1)  # as seen from their offsets
    start = 4 + 4 * count
    written[4:start] = starts.astype("<u4").tobytes()
    for string in strings:
        length = len(string)
        written[start : start + 4 + length] = length.to_bytes(4, "little") + string
        start += (length + 8) & -4
    return bytes(written)


def _as_bytes(values: Iterable[object]) -> list[bytes]:
    strings = []
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            strings.append(value)
        elif isinstance(value, str):
            strings.append(utf8(value, f"[{index}]"))
        else:
            kind = type(value).__name__
            raise InvalidTensor(f"expected bytes or str, got {kind}", field=f"[{index}]")
    return strings


def utf8(text: str, field: str) -> bytes:
    """Encode a text; raises InvalidTensor for a lone surrogate, which UTF-8 cannot encode."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidTensor(f"not UTF-8: {error.reason}", field=field) from None
