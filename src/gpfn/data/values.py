"""A column of a chunk as an input takes it: whole columns at once, rows only where one is wrong.

A number with a fraction is rounded to the input's precision, as one of JSON or CSV is. A whole
number, a truth value and text arrive as they are, or the row has a reason. What is told of a row
never depends on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gpfn.data.seam import Array, Mask
from gpfn.rows.values import RowColumn, WrongValue, checked
from gpfn.tensors.dtypes import Dtype

__all__ = ["Taken", "taken"]

_EXACT = 1 << 53
_MISSING = "missing, and the column has no default"
_INEXACT = "a whole number from 2**53 on, which the model's {} cannot hold exactly"
_NONE: Mapping[int, str] = MappingProxyType({})


class Taken(NamedTuple):
    """A column in its input's dtype, and why some rows, which hold anything, are not in it."""

    values: Array
    faults: Mapping[int, str] = _NONE


def taken(array: Array, mask: Mask | None, column: RowColumn) -> Taken:
    """Return a column as its input takes it.

    ``array`` has [rows] or [rows, n…] values, of which ``mask`` says the missing rows. A column
    with a default has it in their place, of one without they are faults.
    """
    own = column.dtype is column.taken
    if mask is None and own and array.dtype == column.taken.numpy and array.dtype.kind != "O":
        return Taken(array)
    faults: dict[int, str] = {}
    if mask is not None and column.default is None:
        faults = {int(row): _MISSING for row in np.flatnonzero(mask)}
    if array.dtype.kind == "O":
        return Taken(_one_by_one(array, column, faults), faults)
    for target in dict.fromkeys((column.dtype, column.taken)):
        if array.dtype.kind == "b" and target is not column.dtype:
            array = array.view(np.uint8)  # the column is declared as one of truth values
        found, wrong = _cast(array, target)
        for row in wrong:
            if mask is None or not mask[row]:
                faults.setdefault(row, _told(array[row], column))
        array = found
    if mask is not None and column.default is not None:
        array = array.copy()
        array[mask] = column.default
    return Taken(array, faults)


def _one_by_one(array: Array, column: RowColumn, faults: dict[int, str]) -> Array:
    """Return objects as the values that the column's dtype reads them as."""
    values: list[Any] = []
    for row, value in enumerate(array.tolist()):
        found: Any = column.default
        if row not in faults and value is not None:
            try:
                found = _value(value, column)
            except WrongValue as error:
                faults[row] = str(error)
        values.append(_ZEROS[column.taken.numpy.kind] if found is None else found)
    if column.taken.numpy.kind == "O":
        texts = np.empty(len(values), object)
        texts[:] = values
        return texts
    with np.errstate(all="ignore"):
        return np.array(values, column.taken.numpy)


_ZEROS: Mapping[str, Any] = {"b": False, "u": 0, "i": 0, "f": 0.0, "O": ""}


def _value(value: Any, column: RowColumn) -> Any:
    """Return one value. Raises WrongValue."""
    if isinstance(value, str) and (value in column.missing or _is_gap(value, column)):
        if column.default is None:
            raise WrongValue(_MISSING)
        return column.default
    if column.dtype.floating and column.taken.floating:
        if isinstance(value, str):
            return _number(value, column)
        if type(value) is float:
            return _rounded(value, column.taken)
        if type(value) is int:
            _check_exact(value, column.taken)
    return checked(value, column)


def _is_gap(text: str, column: RowColumn) -> bool:
    return column.dtype.name != "string" and not text.strip()


def _number(text: str, column: RowColumn) -> float:
    """Return the number of a text, also NaN and infinity, as Arrow reads it."""
    told = f"expected a number ({column.dtype.name}), got text"
    if not text.isascii() or "_" in text:
        raise WrongValue(told)
    try:
        number = float(text)
    except ValueError:
        raise WrongValue(told) from None
    if np.isinf(number) and any(sign.isdigit() for sign in text):
        raise WrongValue("too large for float64")
    if abs(number) >= _EXACT and text.strip().lstrip("+-").isdigit():
        _check_exact(int(text), column.taken)
    return _rounded(number, column.taken)


def _rounded(number: float, dtype: Dtype) -> float:
    with np.errstate(all="ignore"):
        if np.isfinite(number) and not np.isfinite(np.float64(number).astype(dtype.numpy)):
            raise WrongValue(f"too large for {dtype.name}")
    return number


def _check_exact(number: int, dtype: Dtype) -> None:
    if abs(number) > _EXACT and not _is_exact(number, dtype):
        raise WrongValue(_INEXACT.format(dtype.name))


def _is_exact(number: int, dtype: Dtype) -> bool:
    try:
        with np.errstate(all="ignore"):
            held = float(np.float64(number).astype(dtype.numpy))
        return np.isfinite(held) and int(held) == number
    except OverflowError:
        return False


def _told(value: Any, column: RowColumn) -> str:
    """Return why a value of a row, or one of its values, does not fit; never the value itself."""
    for each in np.asarray(value).ravel().tolist():
        try:
            _value(each, column)
        except WrongValue as error:
            return str(error)
    return f"expected {column.dtype.name}, got another kind of value"


def _cast(array: Array, target: Dtype) -> tuple[Array, list[int]]:
    """Return numbers in another dtype, and the rows that would have another value there."""
    if array.dtype == target.numpy:
        return array, []
    loss = _LOSS.get(array.dtype.kind + target.numpy.kind)
    if loss is None:
        zeros = np.zeros(array.shape, target.numpy)
        return zeros, [*range(len(array))]
    with np.errstate(all="ignore"):
        found = array.astype(target.numpy)
        wrong = loss(array, found, target)
    if wrong is None or not wrong.any():
        return found, []
    return found, np.flatnonzero(wrong.reshape(len(array), -1).any(1)).tolist()


def _overflows(array: Array, found: Array, target: Dtype) -> Mask | None:
    if array.dtype.itemsize <= target.numpy.itemsize or np.isfinite(found).all():
        return None
    overflow: Mask = np.isfinite(array) & ~np.isfinite(found)
    return overflow


def _is_inexact(array: Array, found: Array, target: Dtype) -> Mask | None:
    if not array.size:
        return None
    if max(abs(int(array.min())), abs(int(array.max()))) <= min(_EXACT, _largest(target)):
        return None
    wrong = np.zeros(array.shape, np.bool_)
    far = np.abs(array.astype(np.float64)) >= min(_EXACT, _largest(target))
    for at in zip(*np.nonzero(far), strict=True):
        number = int(array[at])
        far_off = abs(number) > _EXACT or not np.isfinite(found[at])
        wrong[at] = far_off and not _is_exact(number, target)
    return wrong


def _largest(target: Dtype) -> int:
    info: Any = np.finfo(target.numpy)
    return int(info.max)


def _leaves_range(array: Array, _found: Array, target: Dtype) -> Mask | None:
    if np.can_cast(array.dtype, target.numpy, "safe") or not array.size:
        return None
    info = np.iinfo(array.dtype)
    low, high = max(target.low, int(info.min)), min(target.high, int(info.max))
    wrong: Mask = (array < low) | (array > high)
    return wrong


def _has_fraction(array: Array, _found: Array, target: Dtype) -> Mask:
    numbers = array.astype(np.float64)
    inside = (numbers >= float(target.low)) & (numbers < float(target.high + 1))
    wrong: Mask = ~(inside & (numbers == np.trunc(numbers)) & (np.abs(numbers) < _EXACT))
    return wrong


def _is_no_switch(array: Array, _found: Array, _target: Dtype) -> Mask:
    wrong: Mask = (array != 0) & (array != 1)
    return wrong


_LOSS: Mapping[str, Callable[[Array, Array, Dtype], Mask | None]] = MappingProxyType(
    {
        "ff": _overflows,
        "if": _is_inexact,
        "uf": _is_inexact,
        "fi": _has_fraction,
        "fu": _has_fraction,
        "ii": _leaves_range,
        "iu": _leaves_range,
        "ui": _leaves_range,
        "uu": _leaves_range,
        "ub": _is_no_switch,
        "bb": _is_no_switch,
    }
)
"""By the letters of two dtypes: which values the second does not hold; None for none."""
