"""Rows in CSV text: a line of names or none, quotes as in RFC 4180, any of four separators.

The media type says what is not plain: ``text/csv; header=absent; separator=semicolon;
charset=windows-1252``. Nothing of that is guessed from the rows. Where ``header`` is not said, the
first line is one of names when a column's name is in it.
An empty cell is a missing value, and nothing else is, unless the column says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy.typing as npt

from gpfn.errors import InvalidTensor, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.media import charset, essence
from gpfn.rows.arrays import check_count, rows_to_arrays
from gpfn.rows.json_rows import missing_columns
from gpfn.rows.schema import RowSchema, listed, picker

__all__ = [
    "CSV_TYPES",
    "SEPARATORS",
    "CsvRows",
    "check_named",
    "csv_lines",
    "decode_csv_rows",
    "text_of",
    "without_gaps",
]

CSV_TYPES = {"text/csv": ",", "application/csv": ",", "text/tab-separated-values": "\t"}
"""The media types of such text, with their separators."""

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What the parameter ``separator`` may say."""

_HEADERS = ("present", "absent")
_Line = tuple[int, Sequence[str]]


class CsvRows(NamedTuple):
    """The arrays of rows, and what separated their cells; the answer has the same."""

    arrays: dict[str, npt.NDArray[Any]]
    separator: str


def decode_csv_rows(
    data: bytes | bytearray | memoryview,
    media_type: str,
    schema: RowSchema,
    limits: Limits,
    *,
    path: str = "data",
) -> CsvRows:
    """Return the arrays for rows in CSV text.

    Raises InvalidTensor, which names line and column and never a value, UnsupportedMedia for
    parameters that are unknown, TooLarge over a limit before the rows beyond it are read.
    """
    sheet = _Sheet(schema, _separator(media_type, path), path)
    header = _said(media_type, "header", _HEADERS, path)
    lines = csv_lines(text_of(data, media_type, path), sheet.separator, path)
    first = next(lines, None)
    if first is None:
        raise InvalidTensor("empty; expected rows", field=path)
    if not header:
        known = {*schema.names}
        header = "present" if any(cell.strip() in known for cell in first[1]) else "absent"
    order = [*range(len(schema.names))]
    if header == "present":
        order = sheet.order(first)
    else:
        lines = chain([first], lines)
    rows, numbers = sheet.cells(lines, order, limits)
    if not rows:
        raise InvalidTensor("a line of names and no rows", field=path)
    arrays = rows_to_arrays(rows, schema, limits, path, lambda row: f"{path}:{numbers[row]}")
    return CsvRows(arrays, sheet.separator)


def csv_lines(text: str, separator: str, path: str) -> Iterator[_Line]:
    """Give each line's number and cells; empty lines at the end are left out.

    Any other empty line is one empty cell, where lines have one. Raises InvalidTensor for other
    empty lines, and for what is no CSV.
    """
    source = io.StringIO(text.rstrip("\r\n"), newline="")
    reader = csv.reader(source, delimiter=separator, strict=True)
    width, empty = 0, []  # before the first line with cells nobody knows how many there are
    try:
        for cells in reader:
            width = width or len(cells)
            if not cells:
                empty.append(reader.line_num)
            if empty and width > 1:
                told = f"an empty line; expected {width} cells in each"
                raise InvalidTensor(told, field=f"{path}:{empty[0]}")
            if empty and width:
                yield from ((line, [""]) for line in empty)
                empty.clear()
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        told = f"not CSV: {error}"
        raise InvalidTensor(told, field=f"{path}:{reader.line_num}") from None


def check_named(names: Sequence[str], path: str) -> None:
    """Raise InvalidTensor for a line of names that has an empty cell: a comma too many."""
    if "" in names:
        raise InvalidTensor(f"cell {names.index('') + 1} of the names is empty", field=path)


def text_of(data: bytes | bytearray | memoryview, media_type: str, path: str) -> str:
    """Return text in the charset that its media type says, without a byte order mark.

    Raises UnsupportedMedia for an unknown charset, InvalidTensor for bytes that are none of it.
    """
    codec = charset(media_type)
    if codec is None:
        raise UnsupportedMedia(f"an unknown charset: {media_type}", field=path)
    try:
        text = bytes(data).decode("utf-8" if codec == "ascii" else codec)
    except UnicodeDecodeError:
        told = f"not {codec.upper()}; a media type may say another charset=…"
        raise InvalidTensor(told, field=path) from None
    return text.removeprefix("\ufeff")  # which utf-16 takes away by itself, and utf-16le does not


def _separator(media_type: str, path: str) -> str:
    said = _said(media_type, "separator", tuple(SEPARATORS), path)
    return SEPARATORS[said] if said else CSV_TYPES[essence(media_type)]


def _said(media_type: str, name: str, choices: Sequence[str], path: str) -> str:
    """Return a parameter of the media type, empty without one. Raises UnsupportedMedia."""
    for part in media_type.split(";")[1:]:
        key, equals, value = part.partition("=")
        if equals and key.strip().lower() == name:
            found = value.strip().strip('"').lower()
            if found in choices:
                return found
            told = f"expected {name}={'|'.join(choices)} in the media type"
            raise UnsupportedMedia(told, field=path)
    return ""


class _Sheet:
    """The lines of a text as rows of a schema; ``path`` is what errors call the text."""

    def __init__(self, schema: RowSchema, separator: str, path: str) -> None:
        self.schema = schema
        self.separator = separator
        self.path = path

    def order(self, first: _Line) -> list[int]:
        """Return where in a line each column stands, -1 for one that is not there."""
        names = [cell.strip() for cell in first[1]]
        where = f"{self.path}:{first[0]}"
        check_named(names, where)
        if len({*names}) < len(names):
            twice = next(name for number, name in enumerate(names) if name in names[:number])
            raise InvalidTensor("a column that is there twice", field=f"{where}.{twice}")
        problem = missing_columns(names, self.schema)
        if problem is not None:
            name, told = problem
            hint = self._hint(names)
            raise InvalidTensor(told + hint, field=where if hint else f"{where}.{name}")
        places = {name: number for number, name in enumerate(names)}
        return [places.get(name, -1) for name in self.schema.names]

    def cells(
        self, lines: Iterator[_Line], order: list[int], limits: Limits
    ) -> tuple[list[tuple[str | None, ...]], list[int]]:
        """Return the cells of each row in the order of the columns, and the rows' lines."""
        columns = self.schema.columns
        width = sum(place >= 0 for place in order)
        pick = None if order == [*range(width)] else picker(order)
        texts = any(column.dtype.name == "string" for column in columns)
        rows: list[tuple[str | None, ...]] = []
        numbers: list[int] = []
        for number, cells in lines:
            if len(cells) != width:
                told = f"expected {width} cells, got {len(cells)}; the columns are"
                told += f" {listed(self.schema.names)}{self._hint(cells)}"
                raise InvalidTensor(told, field=f"{self.path}:{number}")
            if len(rows) % _STEP == 0:
                check_count(len(rows) + 1, self.schema, limits, self.path)
            row: Sequence[str | None] = cells if pick is None else pick([*cells, None])
            rows.append(without_gaps(row, self.schema) if texts and "" in row else tuple(row))
            numbers.append(number)
        if rows:
            check_count(len(rows), self.schema, limits, self.path)
        return rows, numbers

    def _hint(self, cells: Sequence[str]) -> str:
        """Return what to tell when another separator would fit a line better."""
        line, names = self.separator.join(cells), self.schema.names
        for word, other in SEPARATORS.items():
            parts = line.split(other)
            fits = len(parts) == len(names) > len(cells)
            if other != self.separator and (fits or (len(parts) > 1 and {*parts} <= {*names})):
                return f"; if {word}s separate the cells, send it as text/csv; separator={word}"
        return ""


def without_gaps(row: Sequence[str | None], schema: RowSchema) -> tuple[str | None, ...]:
    """Return a row's cells, None for an empty one of text: it is missing as one of numbers is."""
    both = zip(row, schema.columns, strict=True)
    return tuple(None if cell == "" and c.dtype.name == "string" else cell for cell, c in both)


_STEP = 1024
"""Rows that may be read beyond a limit, so that not each of them is counted."""
