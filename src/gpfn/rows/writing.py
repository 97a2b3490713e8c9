"""A model's answer as rows: a row for each that was asked, in the same order, by output.

What an output gives for a row is a value, a list, or where its classes are known an object of
a value by class. In CSV each value of a list or an object has a column of its own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from gpfn.errors import BackendError, ModelFailed
from gpfn.media import JSON, TEXT_UTF8
from gpfn.models.labels import ClassNames, class_keys
from gpfn.rows.csv_rows import SEPARATORS
from gpfn.tensors.cast import MASKED, is_masked
from gpfn.tensors.codec import text_or_base64

__all__ = [
    "Written",
    "are_rows",
    "check_rows",
    "row_objects",
    "write_csv",
    "write_json",
    "write_text",
]

_Array = npt.NDArray[Any]
_MATRIX = 2
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Written(NamedTuple):
    """Bytes with their media type; ``nonfinite`` says that a value is null or empty for it."""

    body: bytes
    media_type: str
    nonfinite: bool = False


# What a NamedTuple's own constructor does, without the Python function around it.
_written: Callable[..., Written] = tuple.__new__


def are_rows(arrays: Mapping[str, _Array], count: int) -> bool:
    """Say whether each array has ``count`` rows along its first axis."""
    for array in arrays.values():  # noqa: SIM110 - half the time of all()
        if not array.ndim or len(array) != count:
            return False
    return True


def check_rows(arrays: Mapping[str, _Array], count: int) -> None:
    """Raise ModelFailed for an output that is none of rows."""
    for name, array in arrays.items():
        if not array.ndim or len(array) != count:
            told = f"the model gave {name} in the shape {list(array.shape)} for {count} rows"
            raise ModelFailed(told)


def row_objects(
    arrays: Mapping[str, _Array], classes: ClassNames, *, nonfinite: str = "null"
) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows, and whether a number among them is not finite, and None therefore.

    Raises BackendError for one with ``nonfinite="refuse"``, and for what is no value of a row.
    """
    odd = False
    columns = []
    for name, array in arrays.items():
        values, has_null = _values(name, array)
        if has_null:
            if nonfinite == "refuse":
                raise BackendError("a value is not finite, which rows cannot hold", field=name)
            odd = True
        if array.ndim == _MATRIX:
            labels = class_keys(name, array, classes)
            if labels:
                values = [dict(zip(labels, row, strict=True)) for row in values]
            elif array.shape[1] == 1:
                values = [one for (one,) in values]
        columns.append(values)
    names = [*arrays]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], odd


def write_json(
    arrays: Mapping[str, _Array], classes: ClassNames, *, one: bool, nonfinite: str = "null"
) -> Written:
    """Return the rows as a JSON list of objects; the object alone with ``one``."""
    rows, odd = row_objects(arrays, classes, nonfinite=nonfinite)
    return _written(Written, (orjson.dumps(rows[0] if one else rows), JSON, odd))


def write_csv(
    arrays: Mapping[str, _Array], classes: ClassNames, separator: str, *, nonfinite: str = "null"
) -> Written:
    """Return the rows as CSV with a line of names, CRLF at the ends of lines (RFC 4180)."""
    rows, odd = row_objects(arrays, classes, nonfinite=nonfinite)
    names = [column for name, array in arrays.items() for column in _columns(name, array, classes)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(names)
    writer.writerows([[_cell(value) for value in _spread([*row.values()])] for row in rows])
    return Written(out.getvalue().encode(), _csv_type(separator), odd)


def write_text(
    arrays: Mapping[str, _Array], classes: ClassNames, *, nonfinite: str = "null"
) -> Written:
    """Return the answer to one text: a text where that is all, else the row as JSON."""
    if len(arrays) == 1:
        [array] = arrays.values()
        if array.dtype.kind == "O" and array.size == 1 and isinstance(array.flat[0], str):
            return Written(array.flat[0].encode(), TEXT_UTF8)
    return write_json(arrays, classes, one=True, nonfinite=nonfinite)


def _values(name: str, array: _Array) -> tuple[list[Any], bool]:
    """Return an array as lists of what JSON has, and whether one of them is null.

    orjson writes the shortest number that a float32 reads back from, and null for NaN.
    """
    kind = array.dtype.kind
    if is_masked(array):
        raise BackendError(MASKED, field=name)
    if kind in "iub":
        return array.tolist(), False
    if kind == "f":
        if array.dtype.itemsize not in _SIZES or not array.dtype.isnative:
            array = array.astype(np.float32 if array.dtype.itemsize < _SIZES[0] else np.float64)
        text = orjson.dumps(np.ascontiguousarray(array), option=_NUMPY)
        return orjson.loads(text), b"n" in text
    values = array.tolist()
    if kind in "SU" or (kind == "O" and {*map(type, array.ravel().tolist())} <= {bytes, str}):
        return text_or_base64(values), False  # type: ignore[return-value] # a list as it was
    raise BackendError(f"an array of {array.dtype} is no tensor", field=name)


_SIZES = (4, 8)
"""Bytes of the floating-point numbers that orjson writes."""


def _columns(name: str, array: _Array, classes: ClassNames) -> Iterator[str]:
    """Give the names of the CSV columns of an output."""
    labels = class_keys(name, array, classes)
    if not labels and (array.ndim == 1 or array.shape[1:] == (1,)):
        yield name
        return
    for each in labels or range(array[0].size if len(array) else 0):
        yield f"{name}.{each}"


def _spread(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _spread(value)
        elif isinstance(value, dict) and [*value] != ["b64"]:
            yield from value.values()
        else:
            yield value


def _cell(value: Any) -> object:
    """Return a value as CSV has it: a missing one is empty, and what is no text is base64."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return value["b64"]
    return value


def _csv_type(separator: str) -> str:
    if separator == "\t":
        return "text/tab-separated-values; charset=utf-8"
    word = next(word for word, each in SEPARATORS.items() if each == separator)
    said = "" if word == "comma" else f"; separator={word}"
    return f"text/csv; charset=utf-8; header=present{said}"
