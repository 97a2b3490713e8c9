"""Whether the loops of worker processes still turn, told through memory that they share.

Each worker's loop writes the time a few times a second; the process that looks after them
reads it. A loop that stands is the worker's own fault only when it could have turned: not while
it was stopped by a signal or a debugger, not while it got no processor, and not while
the machine, or who looks, stood still as well.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap

__all__ = ["Pulse"]

_LOOK_SECONDS = 0.25
_LOOKS = 4
"""So often somebody has to look, and see nothing new, before a loop stands."""
_BEATS = 0.8  # of the time between two looks
_ROW = 8  # numbers, of eight bytes: a line of the processor's cache for each worker
_BEAT, _PATIENCE = 0, 1


class _Seen:
    """What was seen of a worker: its last beat, for how long that did not change, its CPU time."""

    __slots__ = ("beat", "silent", "spent")

    def __init__(self) -> None:
        self.beat = self.silent = 0.0
        self.spent = -1


class Pulse:
    """Made before the processes part; `begin` and `patience` are for workers, `stands` is not."""

    def __init__(self, workers: int, stall_seconds: float = 1.0) -> None:
        """A loop that has not turned for ``stall_seconds`` stands.

        Somebody has to look every ``look_seconds``.
        """
        self.stall_seconds = stall_seconds
        self.look_seconds = min(_LOOK_SECONDS, stall_seconds / _LOOKS)
        self._rows = memoryview(mmap(-1, workers * _ROW * 8)).cast("d")
        self._seen = [_Seen() for _ in range(workers)]
        self._looked = time.monotonic()
        self._passed = 0.0
        self._row: memoryview[float] | None = None
        self._patience: list[float] = []
        self._lock = threading.Lock()

    def begin(self, worker: int) -> None:
        """Beat with the loop that runs, as the worker of that number, until `end`."""
        self._row = self._rows[worker * _ROW : (worker + 1) * _ROW]
        self._change_patience()
        self._beat(asyncio.get_running_loop())

    def end(self) -> None:
        """Beat no more, because the loop is to end: what comes then may take its time."""
        if self._row is not None:
            self._row[_BEAT], self._row = 0.0, None

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Let the loop stand for up to ``seconds`` in the block, in any thread.

        For what is known to keep the interpreter to itself, such as loading a large library.
        """
        with self._lock:
            self._patience.append(seconds)
            self._change_patience()
        try:
            yield
        finally:
            with self._lock:
                self._patience.remove(seconds)
                if self._row is not None and self._row[_BEAT]:
                    self._row[_BEAT] = time.monotonic()  # the loop is to turn from here on
                self._change_patience()

    def forget(self, worker: int) -> None:
        """Expect nothing of a worker that has ended; the next one in its place begins anew."""
        row = worker * _ROW
        self._rows[row + _BEAT] = self._rows[row + _PATIENCE] = 0.0
        self._seen[worker] = _Seen()

    def look(self) -> None:
        """Note how much time has passed, before workers are asked about with `stands`."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self._passed = min(passed, self.look_seconds) if passed < self.stall_seconds else 0.0

    def stands(self, worker: int, pid: int) -> bool:
        """Say whether the worker's loop, which has begun, does not turn any more."""
        row, seen = worker * _ROW, self._seen[worker]
        patience = self._rows[row + _PATIENCE]  # before the beat: its end writes the beat first
        beat = self._rows[row + _BEAT]
        if not beat or beat != seen.beat:
            seen.beat, seen.silent, seen.spent = beat, 0.0, -1
            return False
        state, spent = _state_of(pid)
        if state in "Tt":  # stopped, or held by a debugger: what was before does not count either
            seen.silent = 0.0
        elif state != "R" or spent != seen.spent:  # "R" without progress: it waits for a processor
            seen.silent += self._passed
        seen.spent = spent
        return seen.silent >= max(self.stall_seconds, patience)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._row is not None:
            self._row[_BEAT] = time.monotonic()
            loop.call_later(_BEATS * self.look_seconds, self._beat, loop)

    def _change_patience(self) -> None:
        if self._row is not None:
            self._row[_PATIENCE] = max(self._patience, default=0.0)


def _state_of(pid: int) -> tuple[str, int]:
    """Return the state of a process's first thread, which runs the loop, and its CPU time."""
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):  # it has just ended, or the system does not tell
        return "S", 0
