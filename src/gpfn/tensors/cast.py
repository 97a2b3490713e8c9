"""Casting an array to a spec's dtype: the same values, or an error.

Unlike a JSON number, whose text has no width, an array has a dtype of its own; so a cast
is made only where every value survives it. Booleans are not numbers, except that
uint8 zeros and ones are how GraphPipe spells booleans.
"""

import sys
from types import MappingProxyType
from typing import cast

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.tensors.dtypes import DTYPE_TABLE, Dtype
from gpfn.tensors.shapes import at, check_shape, shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["MASKED", "cast_to", "dtype_name", "is_masked", "nonfinite_index", "plain_array"]

_Array = npt.NDArray[np.generic]
_Mask = npt.NDArray[np.bool_]

MASKED = "a masked array: no tensor has a mask; fill it, or drop what is masked"
"""Why a masked array is refused, also one that masks nothing: its mask would be lost unsaid."""


def cast_to(array: _Array, spec: TensorSpec, *, path: str) -> _Array:
    """Return ``array``, cast to the spec's dtype if every value survives that.

    The array itself is returned when its dtype is the spec's already; arrays of
    ``string`` hold bytes objects. Raises InvalidTensor when the shape is not the spec's,
    a value would change, it is a masked array, or ``spec.finite`` is set and a value is not
    finite.
    """
    if array.__class__ is not np.ndarray and is_masked(array):
        raise InvalidTensor(MASKED, field=path)
    dtype = DTYPE_TABLE[spec.dtype]
    if spec.shape is not None:
        check_shape(array.shape, spec.shape, path)
    if dtype.name == "string":
        return _strings(array, path)
    if array.dtype != dtype.numpy:
        array = _cast(array, dtype, path)
    if spec.finite and dtype.floating:
        index = nonfinite_index(array)
        if index is not None:
            detail = f"expected a finite number, got {array[index]}"
            raise InvalidTensor(detail, field=at(path, index))
    return array


def is_masked(value: object) -> bool:
    """Say whether a value is one of NumPy's masked arrays; NumPy loads them when they are used."""
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


def plain_array(value: object, path: str) -> _Array:
    """Return what a program gives as an array: ``numpy.asarray``, but for masked arrays.

    Raises InvalidTensor for one, and for a list or tuple of them.
    """
    if is_masked(value) or (isinstance(value, list | tuple) and any(map(is_masked, value))):
        raise InvalidTensor(MASKED, field=path)
    return np.asarray(value)


def dtype_name(array: _Array) -> str:
    """Return the dtype by the name that specs use; ``string`` for any array of text."""
    return "string" if array.dtype.kind in "OSU" else array.dtype.newbyteorder("=").name


def nonfinite_index(array: _Array) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity of a floating-point array, or None."""
    finite: _Mask = np.isfinite(cast("npt.NDArray[np.floating]", array))
    return None if finite.all() else _first(~finite)


def _strings(array: _Array, path: str) -> _Array:
    if array.dtype.kind == "S":
        return array.astype(object)
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.dtype.kind != "O":
        raise InvalidTensor(f"expected strings, got {dtype_name(array)}", field=path)
    flat = array.ravel().tolist()
    if {*map(type, flat)} <= {bytes}:
        return array
    encoded = np.empty(len(flat), object)
    encoded[:] = [
        value if isinstance(value, bytes) else _encoded(value, array, number, path)
        for number, value in enumerate(flat)
    ]
    return encoded.reshape(array.shape)


def _encoded(value: object, array: _Array, number: int, path: str) -> bytes:
    detail = f"expected a string, got {shown(value)}"
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            detail = f"expected Unicode text, got a lone surrogate ({error.reason})"
    index = [int(i) for i in np.unravel_index(number, array.shape)]
    raise InvalidTensor(detail, field=at(path, index))


def _cast(array: _Array, dtype: Dtype, path: str) -> _Array:
    source = array.dtype.kind
    if source not in "buif" or not _related(array.dtype, dtype):
        raise InvalidTensor(f"expected {dtype.name}, got {dtype_name(array)}", field=path)
    with np.errstate(all="ignore"):
        lost = _LOSSES[source + dtype.numpy.kind](array, dtype)
        if lost is not None and lost.any():
            index = _first(lost)
            detail = f"{array[index]} is not exact in {dtype.name} (was {dtype_name(array)})"
            raise InvalidTensor(detail, field=at(path, index))
        return array.astype(dtype.numpy)


def _related(source: "np.dtype[np.generic]", dtype: Dtype) -> bool:
    """Say whether both are booleans or both are not, uint8 counting as either."""
    names = {source.newbyteorder("=").name, dtype.name}
    return "bool" not in names or names <= {"bool", "uint8"}


def _first(where: _Mask) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argwhere(where)[0])


# Each says which values a cast would change; None when it never changes any.


def _nothing(_array: _Array, _dtype: Dtype) -> None:
    return None


def _not_zero_or_one(array: _Array, _dtype: Dtype) -> _Mask:
    lost: _Mask = np.greater(cast("npt.NDArray[np.uint8]", array), 1)
    return lost


def _out_of_range(array: _Array, dtype: Dtype) -> _Mask | None:
    if np.can_cast(array.dtype, dtype.numpy, "safe") or not array.size:
        return None
    numbers = cast("npt.NDArray[np.integer]", array)
    info = np.iinfo(numbers.dtype)
    too_low = numbers < max(dtype.low, int(info.min))
    return too_low | (numbers > min(dtype.high, int(info.max)))


def _not_whole(array: _Array, dtype: Dtype) -> _Mask:
    numbers = array.astype(np.float64)
    # high + 1 is a power of two, which a float64 holds exactly; high itself may not be.
    inside = (numbers >= float(dtype.low)) & (numbers < float(dtype.high + 1))
    lost: _Mask = ~(inside & (numbers == np.trunc(numbers)))
    return lost


def _not_exact_whole(array: _Array, dtype: Dtype) -> _Mask | None:
    bits = _EXACT_BITS[dtype.name]
    numbers = cast("npt.NDArray[np.integer]", array)
    if not array.size or max(abs(int(numbers.min())), abs(int(numbers.max()))) <= 1 << bits:
        return None
    near = numbers.astype(dtype.numpy).astype(np.float64)
    lost = [x != y for x, y in zip(numbers.ravel().tolist(), near.ravel().tolist(), strict=True)]
    return np.array(lost, np.bool_).reshape(array.shape)


def _not_exact(array: _Array, dtype: Dtype) -> _Mask | None:
    if np.can_cast(array.dtype, dtype.numpy, "safe"):
        return None
    back = array.astype(dtype.numpy).astype(array.dtype)
    lost: _Mask = (back != array) & ~np.isnan(cast("npt.NDArray[np.floating]", array))
    return lost


_EXACT_BITS = {"float16": 11, "float32": 24, "float64": 53}
"""Whole numbers of up to so many bits are exact in a floating-point dtype."""

_LOSSES = MappingProxyType(
    {
        "bu": _nothing,
        "bb": _nothing,
        "ub": _not_zero_or_one,
        "uu": _out_of_range,
        "ui": _out_of_range,
        "iu": _out_of_range,
        "ii": _out_of_range,
        "uf": _not_exact_whole,
        "if": _not_exact_whole,
        "fu": _not_whole,
        "fi": _not_whole,
        "ff": _not_exact,
    }
)
"""By the letters that NumPy has for the source and the target."""
