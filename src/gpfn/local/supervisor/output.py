"""What a process writes, as the log of the call during which it came.

Two pipes are looked at all the time, so that a process is never held up by its own output; what
is over the limit is counted and thrown away. What comes between two calls stands at the
beginning of the next one's log, as on both platforms: Fn holds the streams of a frozen
container, and OpenWhisk reads on from where the last activation ended. What a runner writes right
after its answer is of the call that it has answered all the same: see `LateLines`.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import time
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from time import monotonic

from gpfn.hosts.openwhisk import SENTINEL

__all__ = ["LateLines", "LogLine", "OutputPipes", "ProcessLog"]

LogLine = tuple[float, str, str]
"""Seconds since the epoch, ``stdout`` or ``stderr``, the text without its line break."""

_NAMES = ("stdout", "stderr")
_READ = 1 << 16
_MOST_DRAINED = 32
_PIPE_BYTES = 1 << 20  # what a process may write until the next look
_LOOK_SECONDS, _SOON_SECONDS = 0.02, 0.001
_LATE_SECONDS = 0.05  # as long as a process of Fn's goes on before it stands still
_LINE_COST = 64  # what a line takes in memory beside its text
_END = SENTINEL.encode()
_NO_TROUBLE = re.compile(r"[0-9-]{10}T[0-9:.]{12}Z info ")


class ProcessLog:
    """Lines of both streams, at most ``limit`` bytes for a call.

    ``cut`` is the line that tells so. ``ended`` counts the sentinel lines of each stream, which
    are no lines of the log; a line that holds one is dropped whole, as OpenWhisk does.
    """

    def __init__(self, limit: int, cut: str) -> None:
        self._limit = limit
        self._cut = cut
        self._parts = [b"", b""]
        self._lines: list[LogLine] = []
        self._size = 0
        self._over = False
        self.ended = [0, 0]

    def feed(self, stream: int, data: bytes) -> None:
        """Add what was read from stdout (0) or stderr (1)."""
        data = self._parts[stream] + data
        *lines, rest = data.split(b"\n") if not self._over else self._passed(stream, data)
        now = time.time()
        for line in lines:
            if _END in line:
                self.ended[stream] += 1
            else:
                self._add(now, stream, line)
        if len(rest) > self._limit:  # a line without an end
            self._add(now, stream, rest)
            rest = b""
        self._parts[stream] = rest

    def _passed(self, stream: int, data: bytes) -> list[bytes]:
        """Look for sentinels in what is not kept any more; returns lines, the last one open."""
        self.ended[stream] += data.count(_END + b"\n")
        tail = data[data.rfind(b"\n") + 1 :]
        return [tail[-len(_END) - 1 :]]

    def _add(self, now: float, stream: int, line: bytes) -> None:
        if self._over:
            return
        self._size += len(line) + 1
        left = self._limit - self._size
        if left < 0 or len(self._lines) * _LINE_COST > self._limit:
            self._over = True
            line = line[: max(0, len(line) + left)]
        if line or not self._over:
            text = line.decode("utf-8", "replace").removesuffix("\r")
            self._lines.append((now, _NAMES[stream], text))

    def take(self) -> tuple[LogLine, ...]:
        """Return the call's lines, and begin with the next one's."""
        now = time.time()
        for stream, rest in enumerate(self._parts):
            if rest and not self._over:
                self._add(now, stream, rest)
        if self._over:
            self._lines.append((now, _NAMES[1], self._cut))
        lines, self._lines = tuple(self._lines), []
        self._parts, self.ended = [b"", b""], [0, 0]
        self._size, self._over = 0, False
        return lines

    def take_of(self, word: str) -> tuple[LogLine, ...]:
        """Return the lines that have a word; they are none of this call's."""
        found = tuple(line for line in self._lines if word in line[2])
        if found:
            self._lines = [line for line in self._lines if word not in line[2]]
        return found

    def drop(self, line: LogLine) -> None:
        """Forget a line that is none of the function's."""
        self._lines.remove(line)

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """What has come since the last call."""
        return tuple(self._lines)

    def last(self) -> str:
        """Return the last line that says what may be wrong, "" without any.

        That it is ready, and what it has answered, a runner says of itself all the time.
        """
        rests = [rest.decode("utf-8", "replace") for rest in self._parts]
        texts = [text for _, _, text in self._lines] + rests
        told = (text.strip() for text in reversed(texts) if not _NO_TROUBLE.match(text))
        return next(filter(None, told), "")


class OutputPipes:
    """Both pipes of a process, read on the loop."""

    def __init__(self, log: ProcessLog, heard: Callable[[], object]) -> None:
        """``heard`` is called when something has come."""
        self.log = log
        self._heard = heard
        self._ends: list[int | None] = [None, None]
        self.waits = select.poll()  # for both ends, and for what else is looked at with them
        self._writers: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> tuple[int, int]:
        """Return the ends that the process writes to; started() closes them here."""
        for stream in (0, 1):
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            with suppress(OSError):  # all that a user may have is taken: the usual size does
                fcntl(writer, F_SETPIPE_SZ, _PIPE_BYTES)
            self._ends[stream] = reader
            self.waits.register(reader, select.POLLIN)
            self._writers.append(writer)
        return self._writers[0], self._writers[1]

    def started(self) -> None:
        """Begin to read: the process has its own copies of the other ends."""
        self._close_writers()
        self._look_in(_LOOK_SECONDS)

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Read what has come, and look again: soon when there is much.

        A runner writes its record of a call after the answer. To be woken for that each time
        would cost as much as half of the next call.
        """
        self._timer = None
        much = self.drain()
        if any(end is not None for end in self._ends):
            self._look_in(_SOON_SECONDS if much else _LOOK_SECONDS)

    def _close_writers(self) -> None:
        while self._writers:
            os.close(self._writers.pop())

    def _read(self, stream: int) -> int:
        """Read once; returns how many bytes came."""
        end = self._ends[stream]
        if end is None:
            return 0
        try:
            data = os.read(end, _READ)
        except BlockingIOError:
            return 0
        if data:
            self.log.feed(stream, data)
        else:
            self._close(stream)
        return len(data)

    def look(self) -> list[int]:
        """Read what lies in the pipes, and return what else there is that was waited for.

        Mostly there is nothing, which costs one system call then.
        """
        found = [number for number, _ in self.waits.poll(0)]
        others = [number for number in found if number not in self._ends]
        if len(found) > len(others):
            self.drain()
        return others

    def drain(self) -> bool:
        """Read what lies in the pipes: what was written before an answer is of its call.

        Says whether there was so much that there may be more.
        """
        heard = much = False
        for stream in (0, 1):
            for _ in range(_MOST_DRAINED):  # one that never stops writing must not hold the loop
                count = self._read(stream)
                heard = heard or count > 0
                much = much or count == _READ
                if count < _READ:
                    break
        if heard:
            self._heard()
        return much

    def _close(self, stream: int) -> None:
        end, self._ends[stream] = self._ends[stream], None
        if end is not None:
            self.waits.unregister(end)
            os.close(end)

    def close(self) -> None:
        """Read no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_writers()
        for stream in (0, 1):
            self._close(stream)


class LateLines:
    """What a process writes of a call that it has answered.

    A runner writes its record of a call, with the trace of what was raised, when nobody waits for
    the answer any more. To wait for it would cost the caller that time. So for a moment, and until
    the next call begins, all lines are the last one's, and then those that name it.
    """

    def __init__(self, pipes: OutputPipes, call: str) -> None:
        """``call`` is the call's id, as it stands in the lines of its runner."""
        self._pipes = pipes
        self._call = call
        self._until = monotonic() + _LATE_SECONDS
        self._lines: tuple[LogLine, ...] = ()

    def __call__(self) -> tuple[LogLine, ...]:
        """Return all that has come until now."""
        self._pipes.look()
        log, alone = self._pipes.log, monotonic() < self._until
        self._lines += log.take() if alone else log.take_of(self._call)
        return self._lines

    def end(self) -> None:
        """Take what has come: another call begins."""
        self()
        self._until = 0.0
