"""Rows in a CSV file, as they stand: a line is a row.

A first line of names says which column is which: one that has a name of the model's inputs in
it, or no number at all. Commas, semicolons, tabs and bars separate; a byte order mark and quotes
are as spreadsheets write them. Which line is a row is as in a function of rows: an empty cell is
a missing value, and only empty lines at the end are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.cli.columns import TextRows, inputs_of_rows
from gpfn.errors import InvalidTensor, TooLarge

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits
    from gpfn.models.columns import Column
    from gpfn.tensors.spec import TensorSpec

__all__ = ["read_csv", "read_rows"]

_SEPARATORS = ",;\t|"


def read_csv(
    data: bytes,
    specs: Sequence[TensorSpec],
    limits: Limits,
    *,
    path: str,
    declared: Sequence[Column] = (),
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays that a CSV file holds, by the names of the inputs.

    ``declared`` are the columns of the model's ``model.toml``. Raises InvalidTensor, which names
    line and column, and TooLarge over a limit.
    """
    names = [*(spec.name for spec in specs), *(each.name for each in declared)]
    rows = read_rows(data, limits, path=path, known=names)
    return inputs_of_rows(rows, specs, limits, declared)


def read_rows(data: bytes, limits: Limits, *, path: str, known: Sequence[str] = ()) -> TextRows:
    """Return the names of the columns, if there are any, and the rows of a CSV file.

    ``known`` are names that make a first line one of names, whatever else stands in it. Raises
    as :func:`read_csv` does.
    """
    from gpfn.rows.csv_rows import csv_lines

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidTensor("not UTF-8; save it as UTF-8 (CSV UTF-8)", field=path) from None
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    names: Sequence[str] = []
    rows: list[Sequence[str]] = []
    places: list[str] = []
    count = 0
    for line, cells in csv_lines(text, separator, path):
        if not rows and not names and _are_names(cells, known):
            names = [cell.strip() for cell in cells]
            continue
        place = f"{path}:{line}"
        width = len(names or (rows or [cells])[0])
        if len(cells) != width:
            told = f"expected {width} columns, got {len(cells)}"
            raise InvalidTensor(told, field=place)
        count += width
        if count > limits.elements:
            raise TooLarge(f"more than {limits.elements} numbers", field=place)
        if len(rows) == limits.rows:
            raise _many(limits, path)
        rows.append(cells)
        places.append(place)
    if not rows:
        raise InvalidTensor("no row of values in it", field=path)
    return TextRows(names, rows, places, path)


def _many(limits: Limits, path: str) -> TooLarge:
    from gpfn.tensors.shapes import over_limit

    return over_limit("rows", limits, path)


def _are_names(cells: Sequence[str], known: Sequence[str]) -> bool:
    if any(cell.strip() in known for cell in cells):
        return True
    return any(map(str.strip, cells)) and not any(map(_is_number, cells))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
