"""Arrow's columns to NumPy's and back: without a copy where there are numbers and no nulls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from gpfn.data.json_columns import kept_lists
from gpfn.data.seam import Array, Mask
from gpfn.errors import SetupError
from gpfn.json_exact import dumps

__all__ = ["arrow_of", "batch_columns", "empty_batch", "json_text", "obstacle", "record_batch"]

_MATRIX = 2
_LONGEST = 18
"""Digits that an int64 holds, whatever they are."""
_DIGITS = 15
"""Digits that a double holds, whatever they are."""
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_AS_TEXT = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp)


@cache
def obstacle(kind: pa.DataType) -> str:
    """Return why a column of that type cannot be read; nothing where it can."""
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return f"a nested column ({kind}), which is no value a row; write its parts as columns"
    if _is(kind, _LISTS):
        inner = kind.value_type
        if pa.types.is_floating(inner) or pa.types.is_integer(inner) or pa.types.is_boolean(inner):
            return ""
        return f"a column of lists of {inner}; only lists of numbers can be read"
    if pa.types.is_dictionary(kind):
        return obstacle(kind.value_type)
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if _is(kind, (*plain, *_TEXTS, *_AS_TEXT)) or pa.types.is_null(kind):
        return ""
    return f"a column of {kind}, which is neither numbers nor text"


def _is(kind: pa.DataType, able: Sequence[Any]) -> bool:
    return any(test(kind) for test in able)


def batch_columns(
    batch: pa.RecordBatch,
    wanted: Sequence[str] | None,
    path: str,
    kept: Collection[str] = (),
) -> tuple[dict[str, Array], dict[str, Mask]]:
    """Return the columns of a batch as arrays, and what is missing of them.

    No value of those ``kept`` changes. Raises SetupError, with the column, for one of a type
    that is not read; those are left out where ``wanted`` is None.
    """
    columns: dict[str, Array] = {}
    missing: dict[str, Mask] = {}
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if wanted is not None and field.name not in wanted:
            continue
        told = obstacle(field.type)
        if told and wanted is None:
            continue
        if told:
            raise SetupError(told, field=f"{path}: {field.name}")
        if field.name in kept:
            found, mask = _column(_as_it_stands(array, f"{path}: {field.name}"))
            columns[field.name] = kept_lists(found)
        else:
            columns[field.name], mask = _column(array)
        if mask is not None:
            missing[field.name] = mask
    return columns, missing


def empty_batch(fields: Iterable[pa.Field]) -> pa.RecordBatch:
    """Return a batch of no row."""
    schema = pa.schema(fields)
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


@cache
def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _column(array: pa.Array) -> tuple[Array, Mask | None]:
    kind = array.type
    if not array.null_count and _is_number(kind):
        return array.to_numpy(), None
    if pa.types.is_dictionary(kind):
        return _column(array.dictionary_decode())
    if _is(kind, _LISTS):
        return _lists(array)
    if pa.types.is_decimal(kind):
        return _column(array.cast(_decimal_type(kind)))
    if _is(kind, _AS_TEXT):
        return _column(array.cast(pa.string()))
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan), np.ones(len(array), np.bool_)
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if mask is not None and not _is(kind, _TEXTS):
        zero: Any = False if pa.types.is_boolean(kind) else 0
        fill = pa.scalar(float("nan") if pa.types.is_floating(kind) else zero, kind)
        array = pc.fill_null(array, fill)
    plain = not (pa.types.is_boolean(kind) or _is(kind, _TEXTS))
    return array.to_numpy(zero_copy_only=plain), mask


def _as_it_stands(array: pa.Array, where: str) -> pa.Array:
    """Return a column that is kept as one of which no value changes. Raises SetupError."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_it_stands(array.dictionary_decode(), where)
    if pa.types.is_decimal(kind) and kind.scale and kind.precision > _DIGITS:
        return array.cast(pa.string())
    if _is(kind, _LISTS) and array.flatten().null_count:
        told = "a list with a null in it, which is no list of numbers; it cannot be kept"
        raise SetupError(told, field=where)
    return array


def _decimal_type(kind: pa.DataType) -> pa.DataType:
    """Return what holds a decimal: whole ones exactly, as numbers or, where too long, as text."""
    if kind.scale:
        return pa.float64()
    return pa.int64() if kind.precision <= _LONGEST else pa.string()


def _lists(array: pa.Array) -> tuple[Array, Mask | None]:
    """Return lists of one length as a matrix, others as an object array of arrays."""
    rows = len(array)
    if not rows:
        size = array.type.list_size if pa.types.is_fixed_size_list(array.type) else 0
        return np.zeros((0, size), _column(array.flatten())[0].dtype), None
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if mask is None:
        sizes = pc.list_value_length(array)
        ends = pc.min_max(sizes).as_py()
        if ends["min"] == ends["max"] and not array.flatten().null_count:
            values, _ = _column(array.flatten())
            return values.reshape(rows, ends["min"]), None
    lists = np.empty(rows, object)
    broken = np.zeros(rows, np.bool_) if mask is None else mask.copy()
    for number, one in enumerate(array):
        if one.is_valid:
            values, gaps = _column(one.values)
            lists[number] = values
            broken[number] = gaps is not None
    return lists, broken if broken.any() else None


def arrow_of(array: Array, mask: Mask | None = None) -> pa.Array:
    """Return an array of rows as Arrow's, null where ``mask`` is true.

    Lists of one length for more than one axis, unless that length is 1.
    """
    if array.ndim == _MATRIX and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        if array.dtype.kind == "O":
            return _objects(array, mask)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return pa.array(np.ascontiguousarray(array), mask=mask)
    size = array.shape[1]
    inner = arrow_of(array.reshape(len(array) * size, *array.shape[2:]))
    if not size:
        return pa.array([[]] * len(array), pa.list_(inner.type), mask=mask)
    nulls = None if mask is None else pa.array(mask)
    return pa.FixedSizeListArray.from_arrays(inner, size, mask=nulls)


def _objects(array: Array, mask: Mask | None) -> pa.Array:
    """Return text as Arrow's, also that of JSON's values; arrays of several lengths as lists."""
    values = array.tolist()
    lists = [value for value in values if isinstance(value, np.ndarray)]
    if lists:
        kind = pa.list_(pa.from_numpy_dtype(np.result_type(*{each.dtype for each in lists})))
        if mask is not None:
            values = [None if gap else v for v, gap in zip(values, mask, strict=True)]
        return pa.array(values, kind)
    try:
        return pa.array(values, pa.string(), mask=mask)
    except pa.ArrowTypeError:  # values of JSON, of any kinds
        return pa.array([json_text(value) for value in values], pa.string(), mask=mask)


def json_text(value: Any) -> str | None:
    """Return a value as the text of a cell: text as it is, None for None, all else as its JSON."""
    if value is None or isinstance(value, str):
        return value
    return dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _typed(array: Array, mask: Mask | None, kind: pa.DataType) -> pa.Array:
    if mask is not None and mask.all():  # of lists nothing is known then
        return pa.nulls(len(array), kind)
    if array.ndim == _MATRIX and pa.types.is_list(kind):
        found = _any_length(array, mask)
    else:
        found = arrow_of(array, mask)
    return found if found.type == kind else found.cast(kind)


def _any_length(array: Array, mask: Mask | None) -> pa.Array:
    """Return the rows of a matrix as lists that may have other lengths in other batches."""
    offsets = pa.array(np.arange(len(array) + 1) * array.shape[1], pa.int32())
    nulls = None if mask is None else pa.array(mask)
    return pa.ListArray.from_arrays(offsets, arrow_of(array.reshape(-1)), mask=nulls)


def record_batch(
    columns: Mapping[str, Array],
    missing: Mapping[str, Mask],
    schema: pa.Schema | None = None,
) -> pa.RecordBatch:
    """Return columns as a batch, of the schema's types where one is given.

    Raises SetupError, with the column, for values that are not of its type.
    """
    if schema is None:
        arrays = [arrow_of(array, missing.get(name)) for name, array in columns.items()]
        return pa.RecordBatch.from_arrays(arrays, [*columns])
    arrays = []
    for (name, array), field in zip(columns.items(), schema, strict=True):
        try:
            arrays.append(_typed(array, missing.get(name), field.type))
        except pa.ArrowException as error:
            raise SetupError(f"is no longer {field.type}: {error}", field=name) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
