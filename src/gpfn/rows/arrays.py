"""Rows of values to the arrays of a model: in few steps where all is right, else by column.

The first way packs all values of a block at once, as they are in JSON. It has no words for what
it refuses: then each column's values are looked at by themselves (:mod:`gpfn.rows.values`). What
both accept gives the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.rows.schema import Block, RowSchema
from gpfn.rows.values import column_values
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.nested import pack
from gpfn.tensors.shapes import over_limit

__all__ = ["Place", "check_count", "rows_to_arrays"]

_Array = npt.NDArray[Any]
_STRING = "string"

Place = Callable[[int], str]
"""Returns the path of a row by its number, as errors have it."""


def check_count(count: int, schema: RowSchema, limits: Limits, path: str) -> None:
    """Raise TooLarge for more rows, or values in them, than the limits allow."""
    if count > limits.rows:
        raise over_limit("rows", limits, path)
    if count * len(schema.columns) > limits.elements:
        raise over_limit("elements", limits, path)


def rows_to_arrays(
    rows: Sequence[Sequence[Any]], schema: RowSchema, limits: Limits, path: str, place: Place
) -> dict[str, _Array]:
    """Return an array for each input of the model; texts are ``str``.

    ``rows`` has the values of each row in the order of the columns, None where one is missing;
    at least one row. Raises InvalidTensor with the row and the column of what is wrong,
    TooLarge over a limit.
    """
    arrays: dict[str, _Array] = {}
    for block in schema.blocks:
        picked = rows if schema.whole else [*map(block.pick, rows)]
        count = len(block.columns)
        flat = _flat(picked, block)
        shape = (len(rows), count) if block.matrix else (count, len(rows), *block.tail)
        array = _packed(flat, block, limits, shape, path) if block.plain else None
        if array is None:
            array = _by_column(picked, block, schema, shape, place)
            if block.dtype == _STRING:
                _check_texts(array.ravel().tolist(), limits, path)
        if block.matrix:
            arrays[block.inputs[0]] = array
        else:
            arrays.update(zip(block.inputs, array, strict=True))
    return arrays


def _flat(picked: Sequence[Sequence[Any]], block: Block) -> list[Any]:
    """Return the values row by row for a matrix, else column by column."""
    if len(picked) == 1:
        return list(picked[0])
    if block.matrix:
        return [*chain.from_iterable(picked)]
    return [*chain.from_iterable(zip(*picked, strict=True))]


def _packed(
    flat: list[Any], block: Block, limits: Limits, shape: tuple[int, ...], path: str
) -> _Array | None:
    if block.dtype != _STRING:
        return pack(flat, DTYPE_TABLE[block.dtype], limits, shape)
    if {*map(type, flat)} != {str}:
        return None
    _check_texts(flat, limits, path)
    return _objects(flat, shape)


def _objects(flat: list[Any], shape: tuple[int, ...]) -> _Array:
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def _check_texts(texts: list[str], limits: Limits, path: str) -> None:
    try:
        size = len("".join(texts).encode())
    except UnicodeEncodeError:
        raise InvalidTensor("expected Unicode text, got half a character", field=path) from None
    if size > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)


def _by_column(
    picked: Sequence[Sequence[Any]],
    block: Block,
    schema: RowSchema,
    shape: tuple[int, ...],
    place: Place,
) -> _Array:
    columns = []
    for number, raw in zip(block.columns, zip(*picked, strict=True), strict=True):
        column = schema.columns[number]
        columns.append(column_values(raw, column, _inside(place, column.name)))
    if block.matrix:
        values = [*chain.from_iterable(zip(*columns, strict=True))]
    else:
        values = [*chain.from_iterable(columns)]
    if block.dtype == _STRING:
        return _objects(values, shape)
    return np.array(values, DTYPE_TABLE[block.dtype].numpy).reshape(shape)


def _inside(place: Place, name: str) -> Place:
    from gpfn.json_exact import path_of

    return lambda number: path_of(place(number), (name,))
