"""A tensor's values as bytes: little-endian, in row-major order, no copy where that can be.

A BOOL takes one byte; strings stand one after another, each behind its length in four bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.oip.datatypes import Datatype, narrow_bfloat16, widen_bfloat16
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES
from gpfn.tensors.shapes import counted, over_limit
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "DATATYPE_NAMES",
    "Body",
    "Buffer",
    "binary_data",
    "numbers_of",
    "padded",
    "prepared",
    "strings_of",
]

Body = bytes | memoryview
"""A whole message: bytes, or a read-only memoryview of bytes."""
Buffer = bytes | memoryview
"""One piece of an encoded message."""

_Array = np.ndarray[Any, Any]
_ndarray = np.ndarray

DATATYPE_NAMES = {
    np.dtype(dtype): name for dtype, name in OPEN_INFERENCE_NAMES.items() if dtype != "string"
}
"""The datatype of each NumPy dtype of numbers, in this machine's byte order."""

_ALIGNED = 16
_length = Struct("<I").pack
_length_at = Struct("<I").unpack_from


def numbers_of(
    body: Body, start: int, kind: Datatype, shape: tuple[int, ...], path: str = ""
) -> _Array:
    """Return the array whose bytes begin at ``start``; they have to be all there.

    It is read-only, and a view where the bytes lie aligned. Raises InvalidTensor for a BOOL
    that is neither 0 nor 1.
    """
    # an array holds no memoryview, but an array of bytes does, and so what lies below
    memory = body if type(body) is bytes or not len(body) else np.frombuffer(body, np.uint8)
    array: _Array = _ndarray(shape, kind.wire, memory, start)
    if kind.name == "BF16":
        array = widen_bfloat16(array)
    elif not array.flags.aligned:
        array = array.copy()
    elif type(body) is bytes and kind.name != "BOOL":
        return array  # which is read-only, as bytes are
    if kind.name == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        number = int(np.argmax(array.ravel().view(np.uint8) > 1))
        raise InvalidTensor(
            f"expected 0 or 1, got {body[start + number]}", field=f"{path}[{number}]"
        )
    array.flags.writeable = False
    return array


def strings_of(data: Body, count: int, limits: Limits, path: str) -> _Array:
    """Return the strings that ``data`` are, each behind its length.

    Raises InvalidTensor when they are not exactly ``count``, TooLarge over a limit.
    """
    end = len(data)
    if end - 4 * count > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)
    if 4 * count > end:
        told = f"expected {counted(count, 'string')}, got {counted(end, 'byte')} for all of them"
        raise InvalidTensor(told, field=f"{path}.data")
    texts: _Array = np.empty(count, object)
    start = 0
    for number in range(count):
        length = _length_at(data, start)[0] if end - start >= 4 else end
        start += 4
        if length > end - start:
            told = "its length goes beyond the tensor's bytes"
            raise InvalidTensor(told, field=f"{path}.data[{number}]")
        texts[number] = bytes(data[start : start + length])
        start += length
    if start != end:
        told = f"{counted(end - start, 'byte')} behind {counted(count, 'string')}"
        raise InvalidTensor(told, field=f"{path}.data")
    texts.flags.writeable = False
    return texts


def binary_data(array: _Array, datatype: str = "", *, path: str) -> tuple[str, Buffer]:
    """Return an array's datatype, and its bytes: those in its memory where they lie in a row.

    Raises InvalidTensor for an array that has no datatype, or with values that BF16 has not.
    """
    name = DATATYPE_NAMES.get(array.dtype) if array.__class__ is np.ndarray else None
    if name is None or (datatype and datatype != name):
        name, array = prepared(array, datatype, path)
        if name == "BYTES":
            return name, _framed(array, path)
        if name == "BF16":
            array = narrow_bfloat16(array, path=path)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return name, array.data.cast("B") if array.size else b""


def _framed(array: _Array, path: str) -> bytes:
    texts = array.ravel().tolist()
    if any(len(text) >> 32 for text in texts):
        raise InvalidTensor("a string of 4 GiB or more", field=path)
    return b"".join([piece for text in texts for piece in (_length(len(text)), text)])


def prepared(array: _Array, datatype: str, path: str) -> tuple[str, _Array]:
    """Return the datatype of an array that is not as most are, and the array as it needs it.

    ``datatype`` is the one wanted, or empty. Raises InvalidTensor when it cannot be had.
    """
    array = plain_array(array, path)
    if array.dtype.kind in "OSU":
        name, array = "BYTES", cast_to(array, TensorSpec("string"), path=path)
    else:
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        name = DATATYPE_NAMES.get(array.dtype, "")
    if datatype == "BF16" and name == "FP32":
        return datatype, array
    if not name or datatype not in ("", name):
        told = f"an array of {array.dtype} is no {datatype or 'tensor'}"
        raise InvalidTensor(told, field=path)
    return name, array


def padded(text: bytes) -> bytes:
    """Return JSON with spaces behind it, so that numbers which follow it lie aligned."""
    return text + b" " * (-len(text) % _ALIGNED)
