"""Rows in parsed JSON: an object, a list of objects, a list of lists, or the values of one column.

Values go by the names of the columns, or in lists by their order: never by the order in which
an object's members came. A member that is no column is refused, as a misspelt name would be
a missing value otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.json_exact import path_of
from gpfn.limits import Limits
from gpfn.rows.arrays import Place, check_count, rows_to_arrays
from gpfn.rows.schema import RowSchema, listed
from gpfn.tensors.shapes import over_limit

__all__ = ["JsonForm", "JsonRows", "check_text", "decode_json_rows", "missing_columns"]

JsonForm = Literal["row", "rows"]
"""Whether there was one row or a list of them; the answer is the same."""


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class JsonRows(NamedTuple):
    """The arrays of rows, and the form that they came in."""

    arrays: dict[str, npt.NDArray[Any]]
    form: JsonForm


def check_text(
    text: bytes | bytearray | memoryview, schema: RowSchema, limits: Limits, path: str
) -> None:
    """Raise TooLarge for JSON text of more rows than the limits allow, before it is parsed.

    Parsed, it would take up to fifty times its size. Each row is an object or a list, or a
    value in the outer list; and there are no others, in what is no error anyway.
    """
    if len(text) <= limits.rows:
        return  # as nearly every text
    data = bytes(text)
    if _is_beyond(data, schema, limits) and _is_beyond(_STRING.sub(b"", data), schema, limits):
        raise over_limit("rows", limits, path)


def _is_beyond(text: bytes, schema: RowSchema, limits: Limits) -> bool:
    rows, values = text.count(b"{") + text.count(b"[") - 1, text.count(b",") + 1
    return rows > limits.rows or values > limits.rows * len(schema.names)


def decode_json_rows(
    value: object, schema: RowSchema, limits: Limits, *, path: str = "data", mixed: bool = False
) -> JsonRows:
    """Return the arrays for rows in a parsed JSON value.

    ``mixed`` says that the members of an object may be somebody else's too: those that are no
    column are set aside. Raises InvalidTensor, which names row and column and never a value,
    TooLarge over a limit.
    """
    kind = type(value)
    if kind is dict:
        rows: list[Any] = [_without_others(cast("Any", value), schema) if mixed else value]
        return JsonRows(_of_objects(rows, schema, limits, path, lambda _: path), "row")
    if kind is not list:
        if len(schema.columns) > 1:
            told = "expected a row as an object, or a list of rows"
            raise InvalidTensor(told, field=path)
        return JsonRows(rows_to_arrays([(value,)], schema, limits, path, lambda _: path), "row")
    rows = cast("list[Any]", value)
    if not rows:
        raise InvalidTensor("an empty list; expected at least one row", field=path)
    check_count(len(rows), schema, limits, path)
    place = partial(_place, path)
    first = type(rows[0])
    for number, row in enumerate(rows):
        if type(row) is not first and (first in _ROWS or type(row) in _ROWS):
            told = "expected rows of one kind: objects only, or lists only"
            raise InvalidTensor(told, field=place(number))
    if first is dict:
        return JsonRows(_of_objects(rows, schema, limits, path, place), "rows")
    if first is list:
        _check_widths(rows, schema, place)
    elif len(schema.columns) == 1:
        rows = [(each,) for each in rows]
    else:
        told = "expected a list of rows, each an object or a list; the columns are"
        raise InvalidTensor(f"{told} {listed(schema.names)}", field=path)
    return JsonRows(rows_to_arrays(rows, schema, limits, path, place), "rows")


_ROWS = (dict, list)


def _place(path: str, number: int) -> str:
    return f"{path}[{number}]"


def _without_others(row: Mapping[str, Any], schema: RowSchema) -> dict[str, Any]:
    return {name: row[name] for name in schema.names if name in row}


def _of_objects(
    rows: Sequence[Mapping[str, Any]], schema: RowSchema, limits: Limits, path: str, place: Place
) -> dict[str, npt.NDArray[Any]]:
    width = len(schema.names)
    try:
        picked = [*map(schema.pick, rows)]
        whole = {*map(len, rows)} == {width}  # all are there, so nothing else is
    except KeyError:
        whole = False
    if not whole:
        picked = [_completed(row, schema, place(number)) for number, row in enumerate(rows)]
    return rows_to_arrays(picked, schema, limits, path, place)


def _completed(row: Mapping[str, Any], schema: RowSchema, path: str) -> tuple[Any, ...]:
    """Return a row's values in order, None for what is missing and has a default."""
    if len(row) != len(schema.names) or any(name not in row for name in schema.names):
        problem = missing_columns([*row], schema)
        if problem is not None:
            name, told = problem
            raise InvalidTensor(told, field=path_of(path, (name,)))
    return tuple([row.get(name) for name in schema.names])


def missing_columns(names: Sequence[str], schema: RowSchema) -> tuple[str, str] | None:
    """Return what is wrong with the names of a row: the first such name, and what to tell.

    None where only columns with a default are missing.
    """
    given = {*names}
    needed = [c.name for c in schema.columns if c.default is None and c.name not in given]
    known = {*schema.names}
    unknown = [str(name) for name in names if name not in known]
    parts = []
    if needed:
        parts.append(f"missing column{'s' * (len(needed) > 1)} {listed(needed)}")
    if unknown:
        parts.append(f"unknown column{'s' * (len(unknown) > 1)} {listed(unknown)}")
    if not parts:
        return None
    told = f"{'; '.join(parts)}; the columns are {listed(schema.names)}"
    return (needed or unknown)[0], told


def _check_widths(rows: Sequence[Sequence[Any]], schema: RowSchema, place: Place) -> None:
    width = len(schema.names)
    for number, row in enumerate(rows):
        if len(row) != width:
            told = f"expected {width} values in the order of the columns, got {len(row)};"
            told += f" the columns are {listed(schema.names)}"
            raise InvalidTensor(told, field=place(number))
