"""Arrays as bytes on their way from one process to another, and back to arrays.

Numbers go as they lie in memory, strings each behind its length in four bytes. What comes in is
checked: a name, a dtype, a shape and a size that do not fit each other make no array.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

import numpy as np

from gpfn.errors import InvalidTensor
from gpfn.models.signature import Array, unusable
from gpfn.tensors.cast import cast_to, dtype_name, plain_array
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.spec import TensorSpec

__all__ = ["Incoming", "bytes_of", "offsets_of", "portable"]

_LENGTH = struct.Struct("<I")
_ALIGNED = 64
_NOTHING = np.empty(0, np.uint8)
_STRINGS = TensorSpec("string")
_NAMES = {row.numpy: row.name for row in DTYPE_TABLE.values()}
_AS_IT_IS = frozenset(dtype for dtype, name in _NAMES.items() if name != "string")


def portable(value: object, name: str) -> Array:
    """Return an array as a frame has it: of a known dtype, in this machine's order of bytes.

    Strings become bytes objects. Raises InvalidTensor for what is no such array.
    """
    if type(value) is np.ndarray and value.dtype in _AS_IT_IS and value.flags.c_contiguous:
        return value
    array = plain_array(value, name)
    kind = dtype_name(array)
    if kind == "string":
        return cast_to(array, _STRINGS, path=name)
    if kind not in DTYPE_TABLE:
        raise InvalidTensor(f"the dtype {kind} is not known: a {unusable(kind)}", field=name)
    return np.require(array, DTYPE_TABLE[kind].numpy, "C")


def bytes_of(array: Array) -> tuple[str, memoryview | bytes]:
    """Return the dtype's name and the bytes of an array that `portable` returned."""
    name = _NAMES[array.dtype]
    if name == "string":
        return name, _string_bytes(array)
    return name, array.reshape(-1).view("u1").data


class Incoming:
    """An array on its way in: its name, dtype and shape as they were told, then its bytes."""

    __slots__ = ("_data", "_dtype", "_shape", "name", "size")

    def __init__(self, name: str, kind: str, shape: list[int], size: int) -> None:
        """Raise what Python raises for what is no shape, dtype or size."""
        self.name, self.size, self._shape = name, size, tuple(shape)
        self._dtype = DTYPE_TABLE[kind].numpy
        is_text = self._dtype.kind == "O"
        least = math.prod(shape) * (_LENGTH.size if is_text else self._dtype.itemsize)
        if not 0 <= least <= size or (least < size and not is_text):
            raise ValueError(f"{size} bytes for {kind} of the shape {shape}")
        self._data: Array = _NOTHING

    def memory(self) -> memoryview:
        """Return the memory for its bytes."""
        self._data = np.empty(self.size, np.uint8)
        return self._data.data

    def take(self, source: Array, *, lent: bool) -> None:
        """Have its bytes there, or as a copy."""
        self._data = source if lent else source.copy()

    def array(self) -> Array:
        """Return the array."""
        if self._dtype.kind == "O":
            return _strings(self._data.tobytes(), self._shape)
        return self._data.view(self._dtype).reshape(self._shape)


def _string_bytes(array: Array) -> bytes:
    texts: list[bytes] = array.ravel().tolist()
    return b"".join([part for text in texts for part in (_LENGTH.pack(len(text)), text)])


def _strings(data: bytes, shape: tuple[int, ...]) -> Array:
    texts: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)  # which raises struct.error at the end
        at += _LENGTH.size + length
        texts.append(data[at - length : at])
    if at != len(data):
        raise ValueError("strings of another size than said")
    found = np.empty(len(texts), object)
    found[:] = texts
    return found.reshape(shape)


def offsets_of(sizes: Iterable[int]) -> tuple[list[int], int]:
    """Return where in memory each of them begins, aligned as vectors want it, and the end."""
    offsets, end = [], 0
    for size in sizes:
        start = -(-end // _ALIGNED) * _ALIGNED
        offsets.append(start)
        end = start + size
    return offsets, end
