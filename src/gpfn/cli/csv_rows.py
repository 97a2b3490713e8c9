"""Rows of numbers in a CSV file as a model's inputs: a line is a row.

A first line of names says which column is which. When they are the names of the model's inputs,
each column is an input of its own; else the columns, in their order, are the values of the one
input there is, whatever its shape for a row. Commas, semicolons and tabs separate.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.errors import InvalidTensor, TooLarge

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits
    from gpfn.tensors.spec import TensorSpec

__all__ = ["read_csv"]

_SEPARATORS = ",;\t"


def read_csv(
    data: bytes, specs: Sequence[TensorSpec], limits: Limits, *, path: str
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays that a CSV file holds, by the names of the inputs.

    Raises InvalidTensor, which names line and column, and TooLarge over a limit.
    """
    names, rows = _table(data, limits, path)
    by_name = {spec.name: spec for spec in specs}
    if names and set(names) == set(by_name):
        return {
            name: _array([[row[at]] for row in rows], by_name[name], limits, f"{path}.{name}")
            for at, name in enumerate(names)
        }
    if len(specs) > 1:
        told = f"expected a first line with the inputs' names: {', '.join(by_name)}"
        raise InvalidTensor(told, field=path)
    if not specs:
        from gpfn.tensors.nested import decode_nested
        from gpfn.tensors.spec import TensorSpec

        return {"": decode_nested(rows, TensorSpec("float64"), limits, path=path)}
    return {specs[0].name: _array(rows, specs[0], limits, path)}


def _table(data: bytes, limits: Limits, path: str) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns, if there are any, and the rows of numbers."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidTensor("not UTF-8", field=path) from None
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    names: list[str] = []
    rows: list[list[Any]] = []
    count = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1):
            if not "".join(cells).strip():
                continue
            if not rows and not names and not any(map(_is_number, cells)):
                names = [cell.strip() for cell in cells]
                continue
            width = len(names or (rows or [cells])[0])
            if len(cells) != width:
                told = f"expected {width} columns, got {len(cells)}"
                raise InvalidTensor(told, field=f"{path}:{number}")
            count += width
            if count > limits.elements:
                raise TooLarge(f"more than {limits.elements} numbers", field=f"{path}:{number}")
            rows.append([_value(cell, f"{path}:{number}[{at}]") for at, cell in enumerate(cells)])
    except csv.Error as error:
        raise InvalidTensor(str(error), field=path) from None
    if not rows:
        raise InvalidTensor("no row of numbers in it", field=path)
    return names, rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _value(text: str, path: str) -> int | float | str:
    """Return a cell as JSON would have it; what is no number stays text, for inputs of text."""
    text = text.strip()
    if "_" in text:  # which Python reads, and nobody else
        return text
    try:
        number = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text
    if isinstance(number, float) and not math.isfinite(number):
        raise InvalidTensor(f"{text} is no finite number", field=path)
    return number


def _array(
    rows: list[list[Any]], spec: TensorSpec, limits: Limits, path: str
) -> np.ndarray[Any, Any]:
    """Return rows as an input: each row's values in the shape that the input has for a row."""
    from gpfn.tensors.nested import decode_nested
    from gpfn.tensors.shapes import complete_shape
    from gpfn.tensors.spec import TensorSpec

    flat = decode_nested(rows, TensorSpec(spec.dtype, (len(rows), len(rows[0]))), limits, path=path)
    if spec.shape is None or len(spec.shape) == 2:
        return flat
    whole = (len(rows), *spec.shape[1:]) if spec.shape else ()
    return flat.reshape(complete_shape(TensorSpec(spec.dtype, whole), flat.size, path=path))
