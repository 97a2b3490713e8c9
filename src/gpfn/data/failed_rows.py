"""The rows of a file that could not be scored: a line of JSON each, with the reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson

from gpfn.data.seam import Chunk
from gpfn.data.whole_file import WholeFile, cannot_write
from gpfn.json_exact import dumps

if TYPE_CHECKING:
    from io import BufferedWriter

    from gpfn.data.scoring import ScoreJob

__all__ = ["FailedRows"]

_MOST_VALUES = 1000


class FailedRows:
    """The file beside an output that has the failed rows; there is none where none failed.

    A line has ``file``, ``row`` (the first is 0), ``reason``, and ``values`` by column or the
    ``text`` of what could not be read. As a context manager it is finished at the end, also
    after an error: what has failed may be what explains it.
    """

    def __init__(self, job: ScoreJob) -> None:
        self.source = job.source.encode(errors="backslashreplace").decode()
        self._path = job.failed
        self._file: WholeFile | None = None
        self._out: BufferedWriter | None = None
        self.count = 0

    @property
    def hint(self) -> str:
        """Where to read the reasons."""
        return f"the reasons are in {self._path}"

    def add(self, chunk: Chunk, faults: Mapping[int, str]) -> None:
        """Write rows of a chunk. Raises SetupError when that fails."""
        if not faults:
            return
        try:
            if self._out is None:
                self._file = WholeFile(self._path)
                self._out = open(self._file.part, "wb")  # noqa: SIM115 - closed at the end
            for row in sorted(faults):
                self._out.write(self._line(chunk, row, faults[row]))
            self.count += len(faults)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def _line(self, chunk: Chunk, row: int, told: str) -> bytes:
        line: dict[str, Any] = {"file": self.source, "row": chunk.first + row, "reason": told}
        fault = chunk.faults.get(row)
        if fault is not None:
            line["text"] = fault.text
        else:
            line["values"] = {name: _value(chunk, name, row) for name in chunk.columns}
        try:
            return dumps(line, str, orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # lists within lists that are too deep to be written
            line["values"] = {name: _shown(value) for name, value in line["values"].items()}
            return dumps(line, str, orjson.OPT_APPEND_NEWLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._out is None or self._file is None:
            if kind is None:
                with suppress(OSError):
                    os.unlink(self._path)  # of a run before
            return
        try:
            self._out.close()
        except OSError as failure:
            self._file.discard()
            if kind is None:
                raise cannot_write(self._path, failure) from failure
            return
        if kind is None or issubclass(kind, Exception):
            self._file.commit()
        else:
            self._file.discard()


def _shown(value: Any) -> Any:
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else value


def _value(chunk: Chunk, name: str, row: int) -> Any:
    if name in chunk.missing and chunk.missing[name][row]:
        return None
    value = chunk.columns[name][row]
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= _MOST_VALUES else f"{value.size} values"
    return value.item() if isinstance(value, np.generic) else value
