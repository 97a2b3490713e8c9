"""NumPy arrays to TensorFlow's tensors and back: always copies, so nobody shares memory.

An output may be the model's own constant or the caller's input; a copy of a few
kilobytes costs less than the bookkeeping that sharing would take.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from gpfn.errors import ModelFailed
from gpfn.models.arguments import Array
from gpfn.models.tf_library import Library

__all__ = ["DTYPES", "from_tensor", "tensors"]

DTYPES = MappingProxyType(
    {
        1: "float32",
        2: "float64",
        3: "int32",
        4: "uint8",
        5: "int16",
        6: "int8",
        7: "string",
        9: "int64",
        10: "bool",
        17: "uint16",
        19: "float16",
        22: "uint32",
        23: "uint64",
    }
)
"""TF_DataType's numbers, of the types that gpfn knows."""

_NUMBERS = {name: number for number, name in DTYPES.items()}
_STRING = 7
_STRING_BYTES = 24
"""The size of a TF_TString."""


@contextmanager
def tensors(library: Library, arrays: Sequence[Array], count: int) -> Iterator[tuple[Any, Any]]:
    """Lend two C arrays of TF_Tensor pointers: ``arrays`` copied, and ``count`` empty places.

    All tensors, those put into the places too, are freed in the end.
    """
    given = (ctypes.c_void_p * len(arrays))()
    places = (ctypes.c_void_p * count)()
    try:
        for index, array in enumerate(arrays):
            given[index] = _to_tensor(library, array)
        yield given, places
    finally:
        for pointer in (*given, *places):
            if pointer:
                _free(library, pointer)


def from_tensor(library: Library, tensor: int) -> Array:
    """Return an array with the tensor's values, strings as ``bytes``."""
    number = library.TF_TensorType(tensor)
    if number not in DTYPES:
        raise ModelFailed(f"an output of TensorFlow type {number}, which gpfn does not know")
    shape = [library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor))]
    if number == _STRING:
        return _strings(library, tensor, shape)
    array: Array = np.empty(shape, DTYPES[number])
    if array.nbytes != library.TF_TensorByteSize(tensor):
        raise ModelFailed(f"an output of {library.TF_TensorByteSize(tensor)} bytes for {shape}")
    if array.nbytes:
        ctypes.memmove(_address(array), library.TF_TensorData(tensor), array.nbytes)
    return array


def _to_tensor(library: Library, array: Array) -> int:
    strings = array.dtype.kind == "O"
    number = _STRING if strings else _NUMBERS[array.dtype.name]
    size = array.size * _STRING_BYTES if strings else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor: int | None = library.TF_AllocateTensor(number, shape, array.ndim, size)
    if not tensor:
        raise ModelFailed(f"TensorFlow has no {size} bytes for an input")
    data = library.TF_TensorData(tensor)
    if not strings:
        if size:
            ctypes.memmove(data, _address(array), size)
        return tensor
    for index, value in enumerate(array.ravel().tolist()):
        library.TF_StringInit(data + index * _STRING_BYTES)
        library.TF_StringCopy(data + index * _STRING_BYTES, value, len(value))
    return tensor


def _strings(library: Library, tensor: int, shape: Sequence[int]) -> Array:
    array: Array = np.empty(int(np.prod(shape, dtype=np.int64)), object)
    data = library.TF_TensorData(tensor)
    for index in range(array.size):
        place = data + index * _STRING_BYTES
        text = library.TF_StringGetDataPointer(place)
        array[index] = ctypes.string_at(text, library.TF_StringGetSize(place))
    return array.reshape(shape)


def _free(library: Library, tensor: int) -> None:
    library.TF_DeleteTensor(tensor)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
