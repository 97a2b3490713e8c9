"""Rows of texts as a model's inputs: which column goes where.

When columns have names of the model's inputs, each is an input of its own, whatever its place;
else all columns, in their order, are the values of the one input there is, whatever its shape
for a row. What a text means is its column's to say, as in a function of rows
(:mod:`gpfn.rows.values`): nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.usage import did_you_mean
from gpfn.errors import InvalidTensor

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits
    from gpfn.models.columns import Column
    from gpfn.rows.schema import RowSchema
    from gpfn.tensors.spec import TensorSpec

    _Arrays = dict[str, np.ndarray[Any, Any]]

__all__ = ["TextRows", "fits_by_name", "inputs_of_rows", "rows_of_pairs"]

_SHOWN = 40


class TextRows(NamedTuple):
    """Rows of cells as they were written, and where each row stands, for errors.

    ``names`` are those of the columns, empty when nothing says them. ``path`` names them all.
    ``gaps`` says that a text without a letter is a missing value.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    places: Sequence[str]
    path: str
    gaps: bool = True


def rows_of_pairs(rows: Sequence[Sequence[str]], *, path: str) -> TextRows:
    """Return rows of ``NAME=VALUE`` texts as rows of the first one's names, in its order.

    Raises InvalidTensor for a text that is no pair, a name that is twice in a row, and for
    names that differ from row to row.
    """
    named = [_pairs(row, f"{path} {at}") for at, row in enumerate(rows, 1)]
    names = list(named[0])
    for at, row in enumerate(named[1:], 2):
        if {*row} != {*names}:
            told = f"other columns than in the first row, which has {', '.join(names)}"
            hint = f"a row's columns all stand behind one {path}: {path} a=1 b=2"
            raise InvalidTensor(f"{told}; {hint}", field=f"{path} {at}")
    places = [f"{path} {at}" for at in range(1, len(named) + 1)]
    return TextRows(names, [[row[name] for name in names] for row in named], places, path)


def _pairs(texts: Sequence[str], place: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            told = f"expected NAME=VALUE, got {text[:_SHOWN]!r}"
            raise InvalidTensor(f"{told}; what is no pair stands before {place[:5]}", field=place)
        if name.strip() in pairs:
            raise InvalidTensor("given twice", field=f"{place}.{name.strip()}")
        pairs[name.strip()] = value
    return pairs


def fits_by_name(names: Sequence[str], specs: Sequence[TensorSpec]) -> bool:
    """Say whether columns of these names are inputs, each of its own."""
    return len(specs) > 1 or any(spec.name in names for spec in specs)


def inputs_of_rows(
    table: TextRows,
    specs: Sequence[TensorSpec],
    limits: Limits,
    declared: Sequence[Column] = (),
) -> _Arrays:
    """Return the arrays that rows hold, by the names of the inputs.

    ``declared`` are the columns of the model's ``model.toml``. Without ``specs`` all values are
    float64 under an empty name. Raises InvalidTensor, which names the row and the column,
    SetupError where the declared columns do not fit, and TooLarge over a limit.
    """
    from gpfn.rows.arrays import check_count, rows_to_arrays
    from gpfn.tensors.spec import TensorSpec

    specs = specs or [TensorSpec("float64", None, "")]
    schema = _schema(table, specs, declared)
    check_count(len(table.rows), schema, limits, table.path)
    rows = _in_order(table, schema)
    arrays = rows_to_arrays(rows, schema, limits, table.path, table.places.__getitem__)
    return {spec.name: _shaped(arrays[spec.name], spec, table.path) for spec in specs}


def _schema(table: TextRows, specs: Sequence[TensorSpec], declared: Sequence[Column]) -> RowSchema:
    """Return the columns: an input for each, or all of them in the one input there is."""
    from gpfn.models.columns import Column
    from gpfn.rows.schema import row_schema
    from gpfn.tensors.spec import TensorSpec

    if declared or (table.names and fits_by_name(table.names, specs)):
        flat = [TensorSpec(spec.dtype, (None,), spec.name) for spec in specs]
        return row_schema(specs if len(specs) == 1 and declared else flat, declared)
    if len(specs) > 1:
        told = f"expected a first line with the inputs' names: {', '.join(s.name for s in specs)}"
        raise InvalidTensor(told, field=table.path)
    width = len(table.rows[0])
    _check_width(width, specs[0], table)
    names = table.names or [f"column{at}" for at in range(1, width + 1)]
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise InvalidTensor(f"the column {twice[0]!r} is there twice", field=table.path)
    matrix = TensorSpec(specs[0].dtype, (None, width), specs[0].name)
    return row_schema([matrix], [Column(name) for name in names])


def _in_order(table: TextRows, schema: RowSchema) -> list[tuple[str | None, ...]]:
    """Return the rows in the order of the columns, None for one that may be missing."""
    from gpfn.rows.csv_rows import check_named, without_gaps
    from gpfn.rows.json_rows import missing_columns
    from gpfn.rows.schema import picker

    names = list(table.names or schema.names)
    if table.names:
        check_named(names, table.path)
    if len({*names}) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise InvalidTensor(f"the column {twice!r} is there twice", field=table.path)
    problem = missing_columns(names, schema)
    if problem is not None:
        unknown = next((name for name in names if name not in schema.names), "")
        hint = did_you_mean(unknown, schema.names) if unknown else ""
        raise InvalidTensor(problem[1] + hint, field=table.path)
    where = {name: at for at, name in enumerate(names)}
    pick = picker([where.get(name, -1) for name in schema.names])
    rows = [pick([*row, None]) for row in table.rows]
    return [without_gaps(row, schema) for row in rows] if table.gaps else rows


def _shaped(array: np.ndarray[Any, Any], spec: TensorSpec, path: str) -> np.ndarray[Any, Any]:
    """Return rows in the shape that the input has for a row."""
    from gpfn.tensors.shapes import complete_shape
    from gpfn.tensors.spec import TensorSpec

    if spec.shape is None:
        return array
    whole = (len(array), *spec.shape[1:]) if spec.shape else ()
    return array.reshape(complete_shape(TensorSpec(spec.dtype, whole), array.size, path=path))


def _check_width(width: int, spec: TensorSpec, table: TextRows) -> None:
    """Raise InvalidTensor when a row has another number of values than the input has for it."""
    sizes = (spec.shape or ())[1:]
    fixed = [size for size in sizes if size is not None]
    if spec.shape and len(fixed) == len(sizes) and math.prod(fixed) != width:
        from gpfn.tensors.shapes import counted, spec_text

        told = f"expected {counted(math.prod(fixed), 'column')}, as {spec.name or 'the input'} is"
        raise InvalidTensor(f"{told} {spec_text(spec)}, got {width}", field=table.path)
