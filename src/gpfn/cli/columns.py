"""Rows of texts as a model's inputs: which column goes where, and what its texts mean.

When columns have names of the model's inputs, each is an input of its own, whatever its place;
else all columns, in their order, are the values of the one input there is. No text is guessed
at: an input of strings takes it as it stands, one of numbers takes numbers and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.usage import did_you_mean
from gpfn.errors import InvalidTensor

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits
    from gpfn.tensors.spec import TensorSpec

__all__ = ["TextRows", "fits_by_name", "inputs_of_rows", "rows_of_pairs"]

_SHOWN = 40
_DIGITS = 24  # more than 64 bits have, and far fewer than Python refuses
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_Cell = int | float | bool | str


class TextRows(NamedTuple):
    """Rows of cells as they were written, and where each row stands, for errors.

    ``names`` are those of the columns, empty when nothing says them. ``path`` names them all.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    places: Sequence[str]
    path: str


def rows_of_pairs(rows: Sequence[Sequence[str]], *, path: str) -> TextRows:
    """Return rows of ``NAME=VALUE`` texts as rows of the first one's names, in its order.

    Raises InvalidTensor for a text that is no pair, a name that is twice in a row, and for
    names that differ from row to row.
    """
    named = [_pairs(row, f"{path} {at}") for at, row in enumerate(rows, 1)]
    names = list(named[0])
    for at, row in enumerate(named[1:], 2):
        _check_names(list(row), names, f"{path} {at}", "the first row has")
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
            raise InvalidTensor("given twice", field=f"{place}: {name.strip()}")
        pairs[name.strip()] = value
    return pairs


def fits_by_name(names: Sequence[str], specs: Sequence[TensorSpec]) -> bool:
    """Say whether columns of these names are inputs, each of its own."""
    return len(specs) > 1 or any(spec.name in names for spec in specs)


def inputs_of_rows(
    table: TextRows, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays that rows hold, by the names of the inputs.

    Without ``specs`` all of them are float64 under an empty name. Raises InvalidTensor, which
    names the row and the column, and TooLarge over a limit.
    """
    names = table.names
    if names and fits_by_name(names, specs):
        by_name = {spec.name: spec for spec in specs}
        _check_names(names, list(by_name), table.path, "the model takes")
        return {
            name: _array(_part(table, [at]), by_name[name], limits, f"{table.path}.{name}")
            for at, name in enumerate(names)
        }
    if len(specs) > 1:
        told = f"expected a first line with the inputs' names: {_listed(specs)}"
        raise InvalidTensor(told, field=table.path)
    from gpfn.tensors.spec import TensorSpec

    spec = specs[0] if specs else TensorSpec("float64", None, "")
    return {spec.name: _array(table, spec, limits, table.path)}


def _check_names(names: Sequence[str], known: Sequence[str], place: str, who: str) -> None:
    """Raise InvalidTensor for a column that is not known, is there twice, or is missing."""
    for at, name in enumerate(names):
        if name not in known:
            hint = did_you_mean(name, known) or f"; {who} {', '.join(known)}"
            raise InvalidTensor(f"unknown column {name[:_SHOWN]!r}{hint}", field=place)
        if name in names[:at]:
            raise InvalidTensor(f"the column {name!r} is there twice", field=place)
    for name in known:
        if name not in names:
            told = f"the column {name!r} is missing; {who} {', '.join(known)}"
            raise InvalidTensor(told, field=place)


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs)


def _part(table: TextRows, columns: Sequence[int]) -> TextRows:
    rows = [[row[at] for at in columns] for row in table.rows]
    return table._replace(names=[table.names[at] for at in columns], rows=rows)


def _array(table: TextRows, spec: TensorSpec, limits: Limits, path: str) -> np.ndarray[Any, Any]:
    """Return rows as an input: each row's values in the shape that the input has for a row."""
    from gpfn.tensors.nested import decode_nested
    from gpfn.tensors.shapes import complete_shape
    from gpfn.tensors.spec import TensorSpec

    read = _READERS.get(spec.dtype, _number)
    width = len(table.rows[0])
    values = [
        [read(text, _Place(table, row, at)) for at, text in enumerate(cells)]
        for row, cells in enumerate(table.rows)
    ]
    _check_width(width, spec, table)
    flat = decode_nested(values, TensorSpec(spec.dtype, (len(values), width)), limits, path=path)
    if spec.shape is None or len(spec.shape) == 2:
        return flat
    whole = (len(values), *spec.shape[1:]) if spec.shape else ()
    return flat.reshape(complete_shape(TensorSpec(spec.dtype, whole), flat.size, path=path))


def _check_width(width: int, spec: TensorSpec, table: TextRows) -> None:
    """Raise InvalidTensor when a row has another number of values than the input has for it."""
    sizes = (spec.shape or ())[1:]
    fixed = [size for size in sizes if size is not None]
    if spec.shape and len(fixed) == len(sizes) and math.prod(fixed) != width:
        from gpfn.tensors.shapes import counted, spec_text

        told = f"expected {counted(math.prod(fixed), 'column')}, as {spec.name or 'the input'} is"
        raise InvalidTensor(f"{told} {spec_text(spec)}, got {width}", field=table.path)


class _Place(NamedTuple):
    """Where a cell stands; its text is made only when it is told."""

    table: TextRows
    row: int
    column: int

    def wrong(self, told: str) -> InvalidTensor:
        """Return the error for what stands there."""
        names = self.table.names
        column = names[self.column] if names else f"column {self.column + 1}"
        return InvalidTensor(told, field=f"{self.table.places[self.row]}: {column}")


def _number(text: str, place: _Place) -> _Cell:
    """Return a number as JSON would have it; whether it fits is told where the array is made."""
    text = text.strip()
    plain = text.isascii() and "_" not in text  # Python reads more, and nobody else
    try:
        whole = plain and text.lstrip("+-").isdigit() and len(text) <= _DIGITS
        number = int(text) if whole else float(text if plain else "none")
    except ValueError:
        told = (
            f"expected a number, got {text[:_SHOWN]!r}" if text else "expected a number, got none"
        )
        raise place.wrong(told) from None
    if isinstance(number, float) and not math.isfinite(number):
        raise place.wrong(f"{text[:_SHOWN]} is no finite number")
    return number


def _boolean(text: str, place: _Place) -> _Cell:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise place.wrong(f"expected true or false, got {text[:_SHOWN]!r}")
    return value


def _text(text: str, _place: _Place) -> _Cell:
    return text


_READERS: dict[str, Callable[[str, _Place], _Cell]] = {"bool": _boolean, "string": _text}
