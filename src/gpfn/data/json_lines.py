"""JSON lines: an object a line, or a CloudEvent a line whose data are the row.

The members of an object are columns; data that are no object are one column, ``data``. An
event's ``id`` and ``source`` are the columns ``ce_id`` and ``ce_source``, so that an answer can
be told to whom it belongs. A line that is neither is a fault, and the others are read.

What is written is an object a row, null for what is missing or not finite.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

import numpy as np
import orjson

from gpfn.data.json_columns import column_of, json_values, kept_column
from gpfn.data.npy_file import DATA
from gpfn.data.seam import Array, Chunk, Extent, Fault, Mask
from gpfn.data.sink import PartSink
from gpfn.data.wanted import check_wanted
from gpfn.errors import GpfnError, SetupError
from gpfn.json_exact import UnreadableNumber, dumps, loads
from gpfn.limits import Limits
from gpfn.models.labels import UNNAMED, ClassNames, class_keys

__all__ = ["EVENT_COLUMNS", "JsonLinesSink", "JsonLinesSource"]

EVENT_COLUMNS = ("ce_id", "ce_source")
"""The columns that every event has besides its data."""

_HEAD = 1000
"""Rows whose members tell the names of the columns."""
_LONGEST = 64 << 20
"""Bytes that a line may have."""
_MOST_BYTES = 8 << 20
"""Bytes of lines that are read at once; the values in them take ten times as much."""
_SHOWN = 2000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class JsonLinesSource:
    """A file of JSON lines; see `gpfn.data.seam.ColumnSource`.

    Columns that are ``kept`` are of objects: each value as it came.
    """

    def __init__(self, path: str, kept: Sequence[str] = ()) -> None:
        self._path = path
        self._kept = frozenset(kept)
        self._file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - closed by close
        self._total = os.fstat(self._file.fileno()).st_size
        names: dict[str, None] = {}
        for row in map(_row, islice(self._lines(), _HEAD)):
            if isinstance(row, dict):
                names |= dict.fromkeys(row)
        self.names = tuple(names)
        self.unreadable: Mapping[str, str] = {}
        self.rows: int | None = None
        if not names:
            self.close()
            raise SetupError(f"no JSON object in its first {_HEAD} lines", field=path)
        self._file.seek(0)

    @property
    def extent(self) -> Extent:
        """How many bytes were given."""
        return Extent(0 if self._file.closed else self._file.tell(), self._total)

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows; see `gpfn.data.seam.ColumnSource`.

        Names are those of the first rows: a member that comes later alone is no column.
        """
        names = self.names if wanted is None else tuple(wanted)
        check_wanted(names, self.names, self._path)
        first = 0
        for found in self._pieces(rows):
            yield _chunk(found, names, first, self._kept)
            first += len(found)

    def _pieces(self, rows: int) -> Iterator[list[dict[str, Any] | Fault]]:
        """Give the rows, at most ``rows`` at once and those of about `_MOST_BYTES`."""
        found: list[dict[str, Any] | Fault] = []
        size = 0
        for line in self._lines():
            found.append(_row(line))
            size += len(line)
            if len(found) == rows or size >= _MOST_BYTES:
                yield found
                found, size = [], 0
        if found:
            yield found

    def _lines(self) -> Iterator[bytes]:
        while line := self._file.readline(_LONGEST + 1):
            if len(line) > _LONGEST:
                raise SetupError(f"a line of more than {_LONGEST} bytes", field=self._path)
            if line.strip():
                yield line

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no row; see `gpfn.data.seam.ColumnSource`."""
        return {name: column_of([]) for name in names}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _row(line: bytes) -> dict[str, Any] | Fault:
    try:
        return _members(line)
    except GpfnError as error:
        told = str(error)
    except UnreadableNumber as error:
        told = error.detail
    except orjson.JSONDecodeError as error:
        told = f"not JSON: {error.msg}"
    return Fault(told, line[:_SHOWN].decode(errors="backslashreplace").strip())


def _members(line: bytes) -> dict[str, Any] | Fault:
    value = loads(line)
    if not isinstance(value, dict):
        return Fault("expected an object", line[:_SHOWN].decode(errors="backslashreplace").strip())
    return _event_row(line) if "specversion" in value else value


def _event_row(line: bytes) -> dict[str, Any] | Fault:
    from gpfn.events.json_format import read_event
    from gpfn.media import is_json
    from gpfn.tensors.codec import decode_bytes

    event = read_event(line)
    about = dict(zip(EVENT_COLUMNS, (event.id, event.source), strict=True))
    media = event.datacontenttype or "application/json"
    if is_json(media):
        data = event.json()
        members = data if isinstance(data, dict) else {DATA: data}
        if twice := about.keys() & members:  # whose answer it is would be said by the data
            told = f"the event's data have a member {min(twice)}, which is the event's own"
            return Fault(told, line[:_SHOWN].decode(errors="backslashreplace").strip())
        return about | members
    more = {name: str(value) for name, value in event.extensions.items()}
    found = decode_bytes(event.data or b"", media, (), Limits(), attributes=more)
    return about | {DATA: next(iter(found.values()))}


def _chunk(
    found: Sequence[dict[str, Any] | Fault],
    names: Sequence[str],
    first: int,
    kept: frozenset[str],
) -> Chunk:
    faults = {at: row for at, row in enumerate(found) if isinstance(row, Fault)}
    rows: list[Mapping[str, Any]] = [{} if isinstance(row, Fault) else row for row in found]
    columns: dict[str, Array] = {}
    missing: dict[str, Mask] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        columns[name] = kept_column(values) if name in kept else column_of(values)
        if None in map(_none_or_not, values):
            missing[name] = np.array([value is None for value in values])
    return Chunk(columns, first, len(rows), missing, faults)


def _none_or_not(value: object) -> bool | None:
    return None if value is None else True  # an array has no == of one truth


class JsonLinesSink(PartSink):
    """A file of JSON lines that is written; see `gpfn.data.seam.ColumnSink`.

    Values whose classes are known are an object by class.
    """

    def __init__(self, path: str, classes: ClassNames = UNNAMED) -> None:
        super().__init__(path)
        self._classes = classes
        self._out: IO[bytes] = open(self._part, "wb")  # noqa: SIM115 - closed by _finish

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        values = [
            [*json_values(array, missing.get(name), class_keys(name, array, self._classes))]
            for name, array in columns.items()
        ]
        names = [*columns]
        self._out.writelines(
            dumps(dict(zip(names, row, strict=True)), option=_OPTIONS)
            for row in zip(*values, strict=True)
        )

    def _finish(self) -> None:
        self._out.close()

    def _abandon(self) -> None:
        self._out.close()
