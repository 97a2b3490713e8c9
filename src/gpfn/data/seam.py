"""The seam between gpfn and files of data: columns in, columns out, a chunk at a time.

A format is a module with a reader and a writer, and a row in :mod:`gpfn.data.formats`. Who
reads knows no format: a chunk holds NumPy arrays by the names of their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Chunk", "ColumnSink", "ColumnSource", "Extent", "Fault", "Mask"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_NONE: Mapping[Any, Any] = MappingProxyType({})


class Fault(NamedTuple):
    """A row that cannot be read: why, and its text as it stands in the file."""

    reason: str
    text: str = ""


class Chunk(NamedTuple):
    """Rows of a file, as columns.

    Every array of ``columns`` has ``rows`` rows: [rows], or [rows, n…] for a column of lists of
    one length. Text is an object array of ``str``. What is missing (null) is told by
    ``missing``, a mask of [rows] for each column that has any; the array holds NaN, 0, False
    or None there. ``first`` is the number of the first row in the file, counted from 0.
    ``faults`` are rows, by their number in the chunk, that could not be read at all: every
    column is missing there.

    A format without types of its own (CSV, JSON lines) may give a column another dtype in
    another chunk: numbers where all values are, text where one is not a number.
    """

    columns: dict[str, Array]
    first: int
    rows: int
    missing: Mapping[str, Mask] = _NONE
    faults: Mapping[int, Fault] = _NONE


class Extent(NamedTuple):
    """How far a file is read: ``done`` of ``total`` in bytes or rows, whichever is known."""

    done: int
    total: int


class ColumnSource(Protocol):
    """A file that is read. Open it by `gpfn.data.formats.open_source`, close it after use."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, in the file's order."""

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Names of columns that are there and cannot be read, with the reason.

        ROOT tells it when it is asked for one: to find it out of all branches takes long.
        """

    @property
    def rows(self) -> int | None:
        """The number of its rows; None where only reading tells."""

    @property
    def extent(self) -> Extent:
        """How far it is read by now."""

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows in order, at most ``rows`` in a chunk and never none.

        ``wanted`` are the columns to read, all when None; the others are not decoded.
        Raises SetupError for a name that is no column and for a file that is damaged.
        """

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no row, as those of a chunk would be."""

    def close(self) -> None:
        """Let go of the file; calling it twice is harmless."""


class ColumnSink(Protocol):
    """A file that is written. It has its name when it is closed, and not before.

    As a context manager it is closed at the end, and discarded on any exception.
    """

    def write(self, columns: Mapping[str, Array], missing: Mapping[str, Mask] = _NONE) -> None:
        """Append rows; the first call decides the columns and their dtypes.

        Raises SetupError when that fails, such as on a full disk.
        """

    def close(self) -> None:
        """Finish the file and give it its name."""

    def discard(self) -> None:
        """Remove what was written; harmless after `close`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
