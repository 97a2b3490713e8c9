"""The tensors of a message: numbers as views into it, strings as copies."""

from math import prod
from typing import Any

import numpy as np

from gpfn.errors import CallerError, InvalidMessage, TooLarge
from gpfn.graphpipe.reader import MAX_MESSAGE, Body, Kind, inside
from gpfn.graphpipe.types import Type

__all__ = ["decode_tensors", "memory"]

_Array = np.ndarray[Any, Any]

_TENSOR = Kind(1, 4, 4, 4)  # type, shape, data, string_val

_NUMBERS = {
    int(kind): (np.dtype(kind.dtype).newbyteorder("<"), np.dtype(kind.dtype).itemsize)
    for kind in Type
    if kind not in (Type.NULL, Type.STRING)
}


def decode_tensors(message: Body, place: int, field: str) -> tuple[_Array, ...]:
    """Return the arrays of the vector of tensors that is pointed to from ``place``.

    Raises InvalidMessage or TooLarge; ``field`` is the vector's name.
    """
    limits = message.limits
    arrays: list[_Array] = []
    elements = 0
    for offset in message.offsets(place, field, limits.tensors, "GPFN_MAX_TENSORS"):
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


def _tensor(message: Body, place: int) -> _Array:
    at, (_, kind, shape, data, strings) = message.table(place, _TENSOR)
    number = message.bytes[at + kind] if kind else 0
    sizes = message.longs(at + shape, "shape") if shape else ()
    count = prod(sizes)
    if count <= 0 or count > MAX_MESSAGE:
        count = _unusual_count(sizes)
    if number not in _NUMBERS:
        if number != Type.STRING:
            raise InvalidMessage(f"no type of elements has the number {number}", field="type")
        if min(sizes, default=0) < 0:
            _unusual_count(sizes)
        return _strings(message, at, data, strings, count).reshape(sizes)
    if strings and message.vector(at + strings, 4, "string_val")[1]:
        raise InvalidMessage("strings in a tensor of numbers", field="string_val")
    dtype, width = _NUMBERS[number]
    start, length = message.numbers(at + data, "data") if data else (0, 0)
    if length != count * width:
        raise InvalidMessage(
            f"{length} bytes; {count} of {Type(number).dtype} take {count * width}", field="data"
        )
    try:
        return np.ndarray(sizes, dtype, memory(message.bytes), start)
    except ValueError:  # two negative sizes, whose product looked well
        _unusual_count(sizes)
        raise


def memory(data: bytes | memoryview) -> "bytes | _Array":
    """Return what views are made of.

    A view made of a memoryview would not keep it: a bytearray could then be resized
    under it. An array keeps its memoryview, and that locks the bytearray.
    """
    return data if type(data) is bytes else np.frombuffer(data, np.uint8)


def _unusual_count(sizes: tuple[int, ...]) -> int:
    """Return zero for an array of no elements that NumPy can hold, and refuse all others."""
    span = 1
    for index, size in enumerate(sizes):
        span *= size or 1
        if size < 0 or span > MAX_MESSAGE:
            raise InvalidMessage(f"{size} of {sizes} is no size", field=f"shape[{index}]")
    return 0


def _strings(message: Body, at: int, data: int, strings: int, count: int) -> _Array:
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
