"""The table of formats of data files, and how a file is opened for reading and for writing.

A row has texts only: what ``module:function`` names is imported when a file is opened. A new
format is one module and one row here.
"""

from __future__ import annotations

import os
import stat
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from gpfn.data.seam import ColumnSink, ColumnSource
from gpfn.errors import MissingExtra, SetupError

__all__ = ["FORMATS", "FileFormat", "find_format", "format_named", "open_sink", "open_source"]


class FileFormat(NamedTuple):
    """A kind of data file.

    ``reads`` and ``writes`` are ``module:function``: the first takes the path and the options
    by their names and gives a `ColumnSource`; the second takes the path, gives a `ColumnSink`.
    ``options`` are the names of those that reading takes, ``sink_options`` that writing takes.
    ``packages`` are what both import, which come with ``extra``. ``texts`` says whether text can
    be written.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    reads: str
    writes: str
    extra: str = ""
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    sink_options: tuple[str, ...] = ()
    texts: bool = True


FORMATS: tuple[FileFormat, ...] = (
    FileFormat(
        name="parquet",
        title="Parquet",
        suffixes=(".parquet", ".pq"),
        reads="gpfn.data.parquet:ParquetSource",
        writes="gpfn.data.parquet:ParquetSink",
        extra="data",
        packages=("pyarrow",),
        options=("kept",),
    ),
    FileFormat(
        name="csv",
        title="CSV",
        suffixes=(".csv", ".tsv"),
        reads="gpfn.data.csv_file:CsvSource",
        writes="gpfn.data.csv_sink:CsvSink",
        extra="data",
        packages=("pyarrow",),
        options=("separator", "types"),
        sink_options=("separator", "classes"),
    ),
    FileFormat(
        name="root",
        title="ROOT",
        suffixes=(".root",),
        reads="gpfn.data.root:RootSource",
        writes="gpfn.data.root_writer:RootSink",
        extra="hep",
        packages=("uproot", "awkward"),
        options=("mapping", "tree", "columns"),
        sink_options=("tree", "compression"),
        texts=False,
    ),
    FileFormat(
        name="npy",
        title="NumPy's .npy",
        suffixes=(".npy",),
        reads="gpfn.data.npy_file:NpySource",
        writes="gpfn.data.npy_file:NpySink",
        texts=False,
    ),
    FileFormat(
        name="jsonl",
        title="JSON lines, of events or of objects",
        suffixes=(".jsonl", ".ndjson"),
        reads="gpfn.data.json_lines:JsonLinesSource",
        writes="gpfn.data.json_lines:JsonLinesSink",
        options=("kept",),
        sink_options=("classes",),
    ),
)
"""Every format that data is read from and written to."""


def open_source(
    path: str | os.PathLike[str], format_name: str = "", **options: Any
) -> ColumnSource:
    """Open a data file, by its suffix or as the format that is named.

    ``options`` are what formats take, each under its name: ``separator`` (a character; by
    default it is found in the first line) and ``types`` (a dtype by column, ``string`` for
    text as it stands) of CSV; of ROOT ``mapping`` (a `BranchMapping`), ``tree`` (its name) and
    ``columns`` (names that will be asked for, such as ``Jet_pt[0]``); of JSON lines and Parquet
    ``kept`` (names of columns that are only carried over, so that no value may change).

    Raises SetupError for a file that is absent, empty or damaged, for an unknown format and
    for an option that its format does not have; MissingExtra when its package is not there.
    """
    name = os.fspath(path)
    found = format_named(format_name) if format_name else find_format(name)
    _check_options(found, found.options, options, name)
    _check_name(found, name)
    _check_file(name)
    source: ColumnSource = _named(found, found.reads)(name, **options)
    return source


def open_sink(path: str | os.PathLike[str], format_name: str = "", **options: Any) -> ColumnSink:
    """Begin a data file, which gets its name when it is closed.

    Raises SetupError when it cannot be begun, MissingExtra when its package is not there.
    """
    name = os.fspath(path)
    found = format_named(format_name) if format_name else find_format(name)
    _check_options(found, found.sink_options, options, name)
    _check_name(found, name)
    sink: ColumnSink = _named(found, found.writes)(name, **options)
    return sink


def find_format(path: str | os.PathLike[str]) -> FileFormat:
    """Return the format of a file by its suffix. Raises SetupError for an unknown one."""
    name = os.fspath(path)
    suffix = Path(name).suffix.lower()
    for row in FORMATS:
        if suffix in row.suffixes:
            return row
    known = ", ".join(suffix for row in FORMATS for suffix in row.suffixes)
    told = f"which format? Its name ends in none of {known}; say it with --format"
    raise SetupError(told, field=name)


def format_named(name: str) -> FileFormat:
    """Return the format of that name. Raises SetupError for an unknown one."""
    for row in FORMATS:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in FORMATS)
    raise SetupError(f"no format {name!r}; there are {known}", field="--format")


def _check_options(
    row: FileFormat, able: tuple[str, ...], options: dict[str, Any], path: str
) -> None:
    for name in options:
        if name not in able:
            raise SetupError(f"{row.title} has no {name}", field=path)


def _check_name(row: FileFormat, path: str) -> None:
    """Raise SetupError for a name that Arrow, which takes text, cannot open."""
    try:
        path.encode()
    except UnicodeEncodeError:
        if "pyarrow" in row.packages:
            told = f"{row.title} needs a name in UTF-8, which this one is not; rename it"
            raise SetupError(told, field=path) from None


def _check_file(path: str) -> None:
    try:
        about = os.stat(path)
        if stat.S_ISREG(about.st_mode):
            with open(path, "rb"):
                pass  # it may be read
    except OSError as error:
        raise SetupError(f"cannot read it: {error.strerror}", field=path) from error
    if not stat.S_ISREG(about.st_mode):
        raise SetupError("not a file: what is read has to lie on a disk", field=path)
    if not about.st_size:
        raise SetupError("an empty file", field=path)


def _named(row: FileFormat, target: str) -> Any:
    for package in row.packages:
        try:
            import_module(package)
        except ImportError:
            told = f"{package}, which {row.title} needs,"
            raise MissingExtra(told, row.extra) from None
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)
