"""An array that is already there, against a spec: the same values or an error.

Unlike a JSON number, whose text has no width, an array has a dtype of its own; so a cast
is made only where every value survives it. Booleans are not numbers, except that
uint8 zeros and ones are how GraphPipe spells booleans.
"""

from types import MappingProxyType
from typing import cast

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.tensors.dtypes import KINDS, Kind
from gpfn.tensors.shapes import at, check_shape, shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["dtype_name", "fit", "nonfinite_place"]

_Array = npt.NDArray[np.generic]
_Places = npt.NDArray[np.bool_]


def fit(array: _Array, spec: TensorSpec, *, path: str) -> _Array:
    """Return ``array``, cast to the spec's dtype if every value survives that.

    Raises InvalidTensor when the shape differs, a value would change, or
    ``spec.finite`` is set and a value is not finite. The array itself is returned when
    it fits as it is; arrays of ``string`` hold bytes objects.
    """
    kind = KINDS[spec.dtype]
    if spec.shape is not None:
        check_shape(array.shape, spec.shape, path)
    if kind.name == "string":
        return _strings(array, path)
    if array.dtype != kind.dtype:
        array = _cast(array, kind, path)
    if spec.finite and kind.floating:
        place = nonfinite_place(array)
        if place is not None:
            raise InvalidTensor(
                f"expected a finite number, got {array[place]}", field=at(path, place)
            )
    return array


def dtype_name(array: _Array) -> str:
    """Return the dtype by the name that specs use; ``string`` for any array of text."""
    return "string" if array.dtype.kind in "OSU" else array.dtype.newbyteorder("=").name


def nonfinite_place(array: _Array) -> tuple[int, ...] | None:
    """Return where the first NaN or infinity of a floating-point array is."""
    finite: _Places = np.isfinite(cast("npt.NDArray[np.floating]", array))
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
        value if isinstance(value, bytes) else _encoded(value, array, index, path)
        for index, value in enumerate(flat)
    ]
    return encoded.reshape(array.shape)


def _encoded(value: object, array: _Array, index: int, path: str) -> bytes:
    detail = f"expected a string, got {shown(value)}"
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            detail = f"expected Unicode text, got a lone surrogate ({error.reason})"
    place = [int(i) for i in np.unravel_index(index, array.shape)]
    raise InvalidTensor(detail, field=at(path, place))


def _cast(array: _Array, kind: Kind, path: str) -> _Array:
    source = array.dtype.kind
    if source not in "buif" or not _related(array.dtype, kind):
        raise InvalidTensor(f"expected {kind.name}, got {dtype_name(array)}", field=path)
    with np.errstate(all="ignore"):
        lost = _LOSSES[source + kind.dtype.kind](array, kind)
        if lost is not None and lost.any():
            place = _first(lost)
            detail = f"{array[place]} is not exact in {kind.name} (was {dtype_name(array)})"
            raise InvalidTensor(detail, field=at(path, place))
        return array.astype(kind.dtype)


def _related(dtype: "np.dtype[np.generic]", kind: Kind) -> bool:
    """Say whether both are booleans or both are not, uint8 counting as either."""
    names = {dtype.newbyteorder("=").name, kind.name}
    return "bool" not in names or names <= {"bool", "uint8"}


def _first(where: _Places) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argwhere(where)[0])


# Each says which values a cast would change; None when it never changes any.


def _nothing(_array: _Array, _kind: Kind) -> None:
    return None


def _not_zero_or_one(array: _Array, _kind: Kind) -> _Places:
    lost: _Places = np.greater(cast("npt.NDArray[np.uint8]", array), 1)
    return lost


def _out_of_range(array: _Array, kind: Kind) -> _Places | None:
    if np.can_cast(array.dtype, kind.dtype, "safe") or not array.size:
        return None
    numbers = cast("npt.NDArray[np.integer]", array)
    info = np.iinfo(numbers.dtype)
    too_low = numbers < max(kind.low, int(info.min))
    return too_low | (numbers > min(kind.high, int(info.max)))


def _not_whole(array: _Array, kind: Kind) -> _Places:
    numbers = array.astype(np.float64)
    # high + 1 is a power of two, which a float64 holds exactly; high itself may not be.
    inside = (numbers >= float(kind.low)) & (numbers < float(kind.high + 1))
    lost: _Places = ~(inside & (numbers == np.trunc(numbers)))
    return lost


def _not_exact_whole(array: _Array, kind: Kind) -> _Places | None:
    bits = _EXACT_BITS[kind.name]
    numbers = cast("npt.NDArray[np.integer]", array)
    if not array.size or max(abs(int(numbers.min())), abs(int(numbers.max()))) <= 1 << bits:
        return None
    near = numbers.astype(kind.dtype).astype(np.float64)
    lost = [x != y for x, y in zip(numbers.ravel().tolist(), near.ravel().tolist(), strict=True)]
    return np.array(lost, np.bool_).reshape(array.shape)


def _not_exact(array: _Array, kind: Kind) -> _Places | None:
    if np.can_cast(array.dtype, kind.dtype, "safe"):
        return None
    back = array.astype(kind.dtype).astype(array.dtype)
    lost: _Places = (back != array) & ~np.isnan(cast("npt.NDArray[np.floating]", array))
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
"""By source and target kind, in NumPy's letters."""
