"""Records from a file of lines, each a structured CloudEvent in JSON; from a pipe as well.

An offset is the byte position of a line. What is done is kept in a cursor beside the file, so
that a run goes on where the one before ended; a pipe has none. A file that is followed may be
renamed or cut off meanwhile, as log files are: the rest of the old one comes first.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from gpfn.bridge.files.cursor import Cursor, Progress, lock_file, read_cursor, write_cursor
from gpfn.bridge.files.dead_lines import read_dead_line
from gpfn.bridge.files.lines import TextLine
from gpfn.bridge.files.reader import FileReader, Piece
from gpfn.bridge.record import Header, Partition, Record
from gpfn.bridge.seam import Listener
from gpfn.bridge.unreadable import unreadable
from gpfn.errors import BackendError, CallerError, GpfnError, SetupError

__all__ = ["FileSource"]

_T = TypeVar("_T")
_HEADERS: tuple[Header, ...] = (("content-type", b"application/cloudevents+json"),)
_SOONEST, _LATEST = 0.002, 0.1
"""Seconds between two looks whether a file has grown: while it grows, and otherwise."""
_WRITE_SECONDS = 0.2
"""How long what is done may wait to be written down."""
_GIVEN = 256
"""Most records that are given at once."""
_SPAN = 10
"""How many windows may lie between the oldest record that is not done and the newest."""


class FileSource:
    """The seam `gpfn.bridge.seam.Source`, on a file."""

    def __init__(
        self,
        path: str | Path,
        *,
        follow: bool = False,
        cursor: Path | None = None,
        form: Literal["events", "records"] = "events",
        limit: int = 8 << 20,
        window: int = 1000,
        window_bytes: int = 64 << 20,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """At most ``window`` records, of so many bytes, are given and not done.

        ``form`` is ``events``, or ``records`` for what `FileSink` writes in that form.
        A line of more than ``limit`` bytes is an unreadable record. The ``cursor`` is
        ``<path>.cursor`` unless another file is named.
        """
        self._path = str(path)
        self._topic = "stdin" if self._path == "-" else os.path.basename(self._path)
        self._cursor = cursor or Path(f"{self._path}.cursor")
        self._whole = form == "records"
        self._window = window
        self._window_bytes = window_bytes
        self._warn = warn
        self._reader = FileReader(self._path, follow=follow, limit=limit, warn=self._say)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="file")
        self._lock = -1
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._progress = Progress()
        self._ahead: deque[TextLine] = deque()
        """Lines that were read and not given: there was no room."""
        self._end = 0
        self._done_before: set[int] = set()
        self._paused = False
        self._free = asyncio.Event()
        self._write_timer: asyncio.TimerHandle | None = None

    async def start(self, listener: Listener) -> None:
        """Begin to read. Raises SetupError with the file's or the cursor's path as field."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._close()
            raise
        self._listener = listener
        listener.assigned([(self._topic, 0)])
        self._running = self._loop.create_task(self._run())

    def done(self, record: Record) -> None:
        """Note that the record is done; that is written down within 0.2 s."""
        if record.topic == self._topic and self._progress.finish(record.offset):
            self._free.set()
            self._write_soon()

    def tried(self, record: Record, attempts: int) -> None:
        """Note how often the record was tried; that is written down within 0.2 s."""
        if record.topic == self._topic and self._progress.is_open(record.offset):
            self._progress.tries[record.offset] = attempts
            self._write_soon()

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Give nothing more for now."""
        if (self._topic, 0) in partitions:
            self._paused = True

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Go on."""
        if (self._topic, 0) in partitions:
            self._paused = False
            self._free.set()

    async def lag(self) -> Mapping[Partition, int]:
        """Return how many lines are not done; of a large file the end is estimated.

        Blank lines that were not read yet count. Of a pipe only what was read is known.
        """
        if self._listener is None:
            raise BackendError("the file is closed", field=self._path)
        lines = self._progress.unfinished + len(self._ahead) - len(self._done_before)
        if self._reader.regular:
            try:
                lines += await self._in_thread(self._reader.count_ahead)
            except OSError as error:
                raise BackendError(f"cannot be read: {error.strerror}", field=self._path) from error
        return {(self._topic, 0): max(lines, 0)}

    async def stop(self) -> None:
        """Write down what is done, and close the file."""
        if self._listener is None or self._running is None:
            return
        self._listener = None
        self._reader.interrupt()
        self._running.cancel()
        if self._write_timer is not None:
            self._write_timer.cancel()
        if self._lock >= 0:
            try:
                await self._in_thread(partial(self._write, self._reached()))
            except BackendError as error:
                self._warn(f"what was done last comes again: {error}")
        await self._in_thread(self._close)

    async def _run(self) -> None:
        try:
            await self._read_all()
        except OSError as error:
            self._fail(BackendError(f"cannot be read: {error.strerror}", field=self._path))

    async def _read_all(self) -> None:
        delay = _SOONEST
        while True:
            piece = await self._in_thread(self._reader.read)
            self._ahead.extend(piece.lines)
            self._end = piece.end
            await self._give_all()
            if piece.lines:
                delay = _SOONEST
            elif piece.state == "nothing":
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LATEST)
            if piece.state == "ended":
                break
            if piece.state == "moved":
                await self._move_on(piece)
        if self._listener is not None:
            self._listener.ended()

    async def _move_on(self, piece: Piece) -> None:
        """Go on with the file that has the path now, once all of this one is done.

        Then a cursor speaks of one file. The one before is looked at once more by then:
        somebody may have written to it still.
        """
        if piece.lines or self._progress.unfinished:
            while self._progress.unfinished:
                self._free.clear()
                await self._free.wait()
        else:
            await self._in_thread(self._reader.move_on)
            self._write_soon()

    async def _give_all(self) -> None:
        """Give what was read, as far as there is room, and wait for more room."""
        while self._ahead:
            records = self._next_records()
            if records and self._listener is not None:
                self._listener.received(records)
                await asyncio.sleep(0)
            elif self._ahead:
                self._free.clear()
                await self._free.wait()

    def _next_records(self) -> list[Record]:
        records: list[Record] = []
        while self._ahead and len(records) < _GIVEN and self._has_room():
            line = self._ahead.popleft()
            if line.offset in self._done_before:
                self._done_before.remove(line.offset)
                self._progress.skip(line.offset)
            else:
                record = self._record(line)
                self._progress.give(record.offset, record.size)
                records.append(record)
        return records

    def _has_room(self) -> bool:
        progress = self._progress
        return (
            not self._paused
            and progress.unfinished < self._window
            and progress.bytes < self._window_bytes
            and progress.span < self._window * _SPAN
        )

    def _record(self, line: TextLine) -> Record:
        tries = self._progress.tries.get(line.offset, 0)
        record = Record(self._topic, 0, line.offset, None, line.value, _HEADERS, -1, tries)
        if line.problem:
            return unreadable(record, line.problem)
        if not self._whole:
            return record
        try:
            _, key, value, headers = read_dead_line(line.value)
        except CallerError as error:
            return unreadable(record, str(error))
        return record._replace(key=key, value=value, headers=headers)

    # What is written down, and what the thread does.

    def _write_soon(self) -> None:
        if self._write_timer is None and self._lock >= 0 and self._loop is not None:
            self._write_timer = self._loop.call_later(_WRITE_SECONDS, self._begin_write)

    def _begin_write(self) -> None:
        self._write_timer = None
        if self._loop is not None and self._listener is not None:
            write = partial(self._write, self._reached())
            self._loop.run_in_executor(self._thread, write).add_done_callback(self._written)

    def _written(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self._warn(f"what is done is not written down: {error}")
            self._write_soon()

    def _reached(self) -> tuple[int, list[int], dict[int, int]]:
        """Return what a cursor has besides the file."""
        low = self._progress.low(self._ahead[0].offset if self._ahead else self._end)
        return low, self._progress.done() + sorted(self._done_before), dict(self._progress.tries)

    def _write(self, reached: tuple[int, list[int], dict[int, int]]) -> None:
        write_cursor(self._cursor, Cursor(self._reader.mark(), self._reader.base, *reached))

    def _open(self) -> None:
        cursor = None
        if self._path != "-" and os.path.isfile(self._path):
            self._lock = lock_file(Path(f"{self._cursor}.lock"), "reads the file by this cursor")
            cursor = read_cursor(self._cursor)
        self._reader.open(cursor)
        self._end = self._reader.offset
        if cursor is not None:
            base = self._reader.base
            self._done_before = {offset for offset in cursor.done if offset >= base}
            tries = {offset: count for offset, count in cursor.tries.items() if offset >= base}
            self._progress.tries = tries
        if self._lock >= 0:
            try:
                self._write(self._reached())
            except BackendError as error:
                raise SetupError(error.detail, field=error.field) from None

    def _close(self) -> None:
        self._reader.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, do: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    def _fail(self, error: GpfnError) -> None:
        if self._listener is not None:
            self._listener.failed(error)

    def _say(self, text: str) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._warn, text)
