"""Records as lines at the end of a file, told of when they are on the disk; or to a pipe.

All that was sent in one turn of the event loop, and while the lines before were written, is
written and synced at once. A file has one writer, which a lock sees to; what is already in it
stays, and a line that somebody left without its end gets one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import orjson

from gpfn.bridge.files.dead_lines import write_dead_line
from gpfn.bridge.files.line_file import LineFile
from gpfn.bridge.record import Header, Outgoing
from gpfn.bridge.seam import Delivered
from gpfn.errors import BackendError, BackendTimeout, GpfnError, InvalidEvent, SetupError
from gpfn.json_exact import loads_loosely

__all__ = ["FileSink"]

_BYTES = 16 << 20
"""Most that is written at once."""
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")

_Sent = tuple[bytes, Delivered]


class FileSink:
    """The seam `gpfn.bridge.seam.Sink`, on one file: every topic's records go there."""

    def __init__(self, path: str | Path, *, form: Literal["events", "records"] = "events") -> None:
        """``-`` is standard output.

        In the form ``events`` a line is a structured event, and only such can be sent; in
        ``records`` it is a whole record, of whatever bytes (`dead_lines`).
        """
        self._path = str(path)
        self._file = LineFile(self._path)
        self._line = _event_line if form == "events" else write_dead_line
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lines")
        self._open = False
        self._waiting: deque[_Sent] = deque()
        self._writing: list[_Sent] = []
        self._begin_due = False
        self._empty = asyncio.Event()

    async def start(self, topics: Sequence[str]) -> None:  # noqa: ARG002 - any topic will do
        """Open the file. Raises SetupError with the path as field."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._open = True

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        """Write the record with what else was sent in this turn of the loop."""
        try:
            if not self._open:
                raise BackendError("the file is closed", field=self._path)
            line = self._line(outgoing)
        except GpfnError as error:
            delivered(error)
            return
        self._waiting.append((line, delivered))
        self._begin_soon()

    async def stop(self, seconds: float) -> None:
        """Wait until all is written, or the time is up, and close the file."""
        if not self._open:
            return
        self._open = False
        try:
            async with asyncio.timeout(seconds):
                while self._waiting or self._writing:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            late = BackendTimeout(f"not written within {seconds:g} s", field=self._path)
            left = [*self._writing, *self._waiting]
            self._writing = []
            self._waiting.clear()
            _tell(left, late)
        self._file.interrupt()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    def _begin_soon(self) -> None:
        if not self._begin_due and not self._writing and self._waiting:
            self._begin_due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._begin_due = False
        size = 0
        while self._waiting and size < _BYTES:
            sent = self._waiting.popleft()
            self._writing.append(sent)
            size += len(sent[0])
        if self._writing:
            data = b"\n".join([*[line for line, _ in self._writing], b""])
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._file.write, data)
            work.add_done_callback(partial(self._written, self._writing))

    def _written(self, writing: list[_Sent], work: asyncio.Future[None]) -> None:
        if writing is not self._writing:
            return  # their time was up
        self._writing = []
        error = None if work.cancelled() else work.exception()
        if isinstance(error, BrokenPipeError):
            error = SetupError("nobody reads it any more", field=self._path)
        elif isinstance(error, OSError):
            error = BackendError(f"cannot be written to: {error.strerror}", field=self._path)
        elif error is not None and not isinstance(error, GpfnError):
            error = GpfnError(f"unexpected {type(error).__name__}", field=self._path)
        _tell(writing, error)
        self._begin_soon()
        if not self._waiting:
            self._empty.set()


def _tell(sent: Sequence[_Sent], error: GpfnError | None) -> None:
    for _, delivered in sent:
        delivered(error)


def _event_line(outgoing: Outgoing) -> bytes:
    """Return a structured event as one line. Raises InvalidEvent for what is none."""
    _, _, value, headers = outgoing
    if value is None or not _is_structured(headers):
        raise InvalidEvent("only a structured event in JSON is a line of events")
    if b"\n" not in value and b"\r" not in value:
        return value
    try:
        loads_loosely(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the event is no JSON: {error}") from None
    return value.translate(_LINE_ENDS)  # in JSON they stand between words only, never in one


def _is_structured(headers: Sequence[Header]) -> bool:
    found = [value for name, value in headers if name.lower() == "content-type" and value]
    return bool(found) and found[0].lower().startswith(b"application/cloudevents+json")
