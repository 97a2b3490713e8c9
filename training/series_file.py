"""Reads the column of a series, and that of its times, from files, each value with its place.

Nothing is understood here but the file: values are texts or floats, times are texts.
"""

import codecs
import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.data.seam import Chunk

__all__ = ["MOST_ROWS", "RawSeries", "read_series_files"]

MOST_ROWS = 2_000_000
"""All rows are held in memory, so a series has an end."""

_SEPARATORS = (",", ";", "\t", "|")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK = 65536  # rows
_SHOWN = 12  # columns that an error names


class RawSeries(NamedTuple):
    """The rows of one or more files; ``times`` is empty when no column of times was asked for.

    ``places`` says of each row where it is, such as ``sales.csv:14``. ``doubtful_dots`` is true
    when the separator says that a comma may be the decimal sign and a dot that of thousands.
    """

    column: str
    values: list[str | float]
    times: list[str]
    places: list[str]
    doubtful_dots: bool = False


def read_series_files(files: Sequence[Path], column: str, time: str) -> RawSeries:
    """Return the rows of all files, one file after the other.

    Without ``column`` the files have to have one column alone, besides that of the times.
    Raises SetupError, naming the file and the line, and MissingExtra for a format whose library is
    not installed.
    """
    found = RawSeries(column, [], [], [])
    for file in files:
        if not file.is_file():
            told = "is no file" if file.exists() else "no such file"
            raise SetupError(
                f"{told}; --data takes files such as sales.csv or sales.parquet", field=str(file)
            )
        try:
            read = _read_csv if file.suffix.lower() in _TABULAR else _read_columns
            found = read(file, found, time)
        except OSError as error:
            raise SetupError(f"cannot be read: {error.strerror}", field=str(file)) from None
    if not found.values:
        raise SetupError("has no rows", field=", ".join(map(str, files)))
    return found


def _chosen(file: Path, names: Sequence[str], column: str, time: str) -> tuple[int, int]:
    """Return where the column of the values is, and that of the times, -1 for none."""
    for wanted, option in ((column, "--column"), (time, "--time")):
        if wanted and names.count(wanted) != 1:
            told = "several columns are called" if wanted in names else "no column"
            raise SetupError(f"{told} {wanted!r}; {option} is one of {_listed(names)}",
                             field=str(file))  # fmt: skip
    if not column:
        left = [name for name in names if name != time]
        if len(left) != 1:
            raise SetupError(f"which column? --column is one of {_listed(left)}", field=str(file))
        column = left[0]
    if column == time:
        raise SetupError(f"--column and --time are both {column!r}", field=str(file))
    return names.index(column), names.index(time) if time else -1


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _add(into: RawSeries, place: str, value: str | float, time: str | None) -> None:
    if len(into.values) >= MOST_ROWS:
        raise SetupError(f"more than {MOST_ROWS} rows; take the last of them", field=place)
    into.values.append(value)
    into.places.append(place)
    if time is not None:
        into.times.append(time)


def _read_csv(file: Path, into: RawSeries, time: str) -> RawSeries:
    with file.open("rb") as raw:
        start = raw.read(4096)
    encoding = "utf-16" if start.startswith(_UTF16) else "utf-8-sig"
    if b"\0" in start and encoding != "utf-16":
        raise SetupError("is no CSV: it has bytes that no text has", field=str(file))
    try:
        with file.open(encoding=encoding, newline="") as text:
            return _rows(file, text, into, time)
    except UnicodeError as error:
        told = f"is no UTF-8 ({error.reason if isinstance(error, UnicodeDecodeError) else error})"
        raise SetupError(f"{told}; save it as CSV in UTF-8", field=str(file)) from None


def _rows(file: Path, text: TextIO, into: RawSeries, time: str) -> RawSeries:
    """Read header and rows; the line of a row is that in which it begins."""
    header, skipped = text.readline(), 0
    if header[:4].lower() == "sep=":  # how Excel tells itself the separator
        header, skipped = text.readline(), 1
    if not header.strip():
        raise SetupError("has no first line with names of columns", field=str(file))
    separator = _separator(header, into.column, time)
    reader = csv.reader(itertools.chain([header], text), delimiter=separator, strict=True)
    lines = _lines(file, reader, skipped)
    names = [name.strip() for name in next(lines)[1]]
    at, at_time = _chosen(file, names, into.column, time)
    for line, fields in lines:
        place = f"{file}:{line}"
        if len(fields) != len(names):
            told = f"expected {len(names)} fields between {separator!r}, got {len(fields)}"
            raise SetupError(f"{told}; mend the line", field=place)
        _add(into, place, fields[at], fields[at_time] if time else None)
    doubtful = into.doubtful_dots or separator == ";"
    return into._replace(column=names[at], doubtful_dots=doubtful)


def _separator(header: str, column: str, time: str) -> str:
    """Return what separates the names that are wanted, else what separates the most names."""

    def fit(separator: str) -> tuple[int, int]:
        try:
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        except csv.Error:
            return 0, 0  # whoever reads the line says what is wrong
        return sum(wanted in names for wanted in (column, time) if wanted), len(names)

    return max(_SEPARATORS, key=fit)


def _lines(
    file: Path, reader: Iterable[list[str]], skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """Give every row with the line in which it begins.

    A blank line is nothing, but between values of the only column, where it is a missing one.
    """
    line, width, blank = 1 + skipped, 0, []
    try:
        for fields in reader:
            width = width or len(fields)
            if fields:
                yield from ((each, [""]) for each in blank if width == 1)
                yield line, fields
            blank = [] if fields else [*blank, line]
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        told = f"cannot be read as CSV: {error}; is a quote left open?"
        raise SetupError(told, field=f"{file}:{line}") from None


def _read_columns(file: Path, into: RawSeries, time: str) -> RawSeries:
    """Read a file of any other format that gpfn reads as columns."""
    from gpfn.data.formats import open_source

    source = open_source(str(file))
    try:
        for name in (into.column, time):
            if name in source.unreadable:
                raise SetupError(f"column {name}: {source.unreadable[name]}", field=str(file))
        at, at_time = _chosen(file, source.names, into.column, time)
        wanted = [source.names[each] for each in (at, at_time) if each >= 0]
        for chunk in source.chunks(wanted, _CHUNK):
            for row, fault in chunk.faults.items():
                raise SetupError(fault.reason, field=_row(file, chunk.first + row))
            columns = [_plain(file, chunk, name) for name in wanted]
            for row, (value, *times) in enumerate(zip(*columns, strict=True), chunk.first):
                _add(into, _row(file, row), value, str(times[0]) if times else None)
    finally:
        source.close()
    return into._replace(column=wanted[0])


def _row(file: Path, number: int) -> str:
    return f"{file}: row {number + 1}"


def _plain(file: Path, chunk: "Chunk", name: str) -> list[str | float]:
    """Return a column as texts and numbers, with an empty text for what is missing."""
    array = chunk.columns[name]
    if array.ndim != 1 or array.dtype.kind not in "fiuO":
        told = f"column {name}: {array.dtype} is no number and no time; choose another column"
        raise SetupError(told, field=str(file))
    mask = chunk.missing.get(name)
    values = array.tolist() if mask is None else np.where(mask, "", array.astype(object)).tolist()
    for row, value in enumerate(values, chunk.first):
        if not isinstance(value, str | float | int) or isinstance(value, bool):
            told = f"column {name}: neither a number nor a text; choose another column"
            raise SetupError(told, field=_row(file, row))
    return values


_TABULAR = (".csv", ".tsv", ".txt", "")
"""Suffixes of files that are read here, as CSV, so that an error names a line."""
