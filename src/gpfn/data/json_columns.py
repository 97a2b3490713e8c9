"""Values of JSON as one array, and back.

It is of numbers where they all are, else of objects as they came.

No value changes: a column with whole numbers and fractions is of float64 only where that
holds every whole number exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from gpfn.data.seam import Array, Mask

__all__ = ["column_of", "json_values", "kept_column", "kept_lists"]

_EXACT = 1 << 53
_INT64 = range(-(1 << 63), 1 << 63)
_AXES = 16
"""Lists within lists that can be an array; deeper ones stay as they came."""


def column_of(values: Sequence[Any]) -> Array:
    """Return the values as an array; one that is None counts as NaN, 0, False or None.

    Lists of numbers, all of one shape, become [rows, n…].

    >>> column_of([1, 2]).dtype, column_of([1, 2.5]).dtype, column_of(["a", 1]).dtype
    (dtype('int64'), dtype('float64'), dtype('O'))
    """
    kinds = {*map(type, values)} - {type(None)}
    if not kinds:
        return np.full(len(values), np.nan)
    if kinds == {bool}:
        return np.array([bool(value) for value in values])
    if kinds <= {int, float} and _holds(values, kinds):
        gap = 0 if kinds == {int} else np.nan
        dtype = np.int64 if kinds == {int} else np.float64
        return np.array([gap if value is None else value for value in values], dtype)
    if kinds <= {list, np.ndarray} and type(None) not in {*map(type, values)}:
        found = _stacked(values)
        if found is not None:
            return found
    return _objects(values)


def _holds(values: Sequence[Any], kinds: set[type]) -> bool:
    whole = [value for value in values if type(value) is int]
    if kinds == {int}:
        return min(whole) in _INT64 and max(whole) in _INT64
    return not whole or max(map(abs, whole)) <= _EXACT


def _stacked(values: Sequence[Any]) -> Array | None:
    """Return lists of one shape as one array; None where they are not, or hold other things."""
    flat: list[Any] = []
    shapes = {_shape(value, flat, _AXES) for value in values}
    if len(shapes) != 1 or None in shapes:
        return None
    [shape] = shapes
    column = column_of(flat) if flat and None not in flat else None
    if column is None or column.dtype == object:
        return None
    return column.reshape(len(values), *(shape or ()))


def _shape(value: Any, flat: list[Any], axes: int) -> tuple[int, ...] | None:
    """Return the shape of nested lists, whose values are added to ``flat``.

    None where they have none, or one of more than ``axes`` axes.
    """
    if isinstance(value, np.ndarray):
        flat.extend(value.ravel().tolist())
        return value.shape if value.dtype.kind in "biuf" else None
    if not isinstance(value, list) or not axes:
        return None
    if not any(isinstance(item, list) for item in value):
        flat.extend(value)
        return (len(value),)
    inner = {_shape(item, flat, axes - 1) for item in value}
    if len(inner) != 1 or None in inner:
        return None
    return (len(value), *(inner.pop() or ()))


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    for number, value in enumerate(values):
        array[number] = value
    return array


def kept_column(values: Sequence[Any]) -> Array:
    """Return the values as they came, whatever is beside them; arrays as `column_of` does."""
    if any(isinstance(value, np.ndarray) for value in values):
        return kept_lists(column_of(values))
    return _objects(values)


def kept_lists(array: Array) -> Array:
    """Return a column that is kept; lists of one value as objects, which are written as lists.

    Of an array of [rows, 1] the plain values are written, which the lists of other rows are not.
    """
    return _objects([*array]) if len(array) and array.shape[1:] == (1,) else array


def json_values(array: Array, mask: Mask | None, labels: Sequence[str] = ()) -> Iterator[Any]:
    """Give the values of a column as JSON has them; a float32 as its shortest text.

    With ``labels`` a row's values are an object by those.
    """
    if array.shape[1:] == (1,) and not labels:
        array = array[:, 0]
    if array.dtype.kind == "f":
        plain = array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64)
        values = orjson.loads(
            orjson.dumps(np.ascontiguousarray(plain), option=orjson.OPT_SERIALIZE_NUMPY)
        )
    else:
        values = array.tolist()
    if labels:
        values = [dict(zip(labels, row, strict=True)) for row in values]
    if mask is None:
        yield from values
    else:
        yield from (None if gap else value for value, gap in zip(values, mask, strict=True))
