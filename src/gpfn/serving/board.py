"""Which versions of models each worker is computing right now, in memory that survives it.

A model may end its process, or keep it busy for ever. Whoever looks after the workers then finds
here what the worker was computing, and counts for each of these versions how many workers it has
cost. All workers see the counts: such a version is to be computed in processes of its own.

A version has a slot: a number from 1 on that all workers know it by. Everything is made before
the processes part.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from mmap import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.http.loop.workers import Loss

__all__ = ["Board"]

_INLINE = 0
_POOL = 16
"""So many versions in threads of one worker are told; more of them are not noticed."""
_ROW = 32  # numbers of a worker's row: the first is the loop's, then come the threads'
_SLOTS = 4096


class Board:
    """What the workers compute, and what that has cost.

    ``row`` is this worker's own: the loop's thread writes the slot into ``row[0]`` before it
    computes, and 0 after it. That is two stores; a method would cost more than these.
    """

    def __init__(self, workers: int) -> None:
        self._descriptor = os.memfd_create("gpfn-board", os.MFD_CLOEXEC)
        sizes = (workers * _ROW, 1 + _SLOTS, _SLOTS * 2)  # rows; changes and costs; identities
        os.ftruncate(self._descriptor, 4 * sum(sizes))
        numbers = memoryview(mmap(self._descriptor, 4 * sum(sizes))).cast("I")
        costs, keys = sizes[0], sizes[0] + sizes[1]
        self._rows = [numbers[n * _ROW : (n + 1) * _ROW] for n in range(workers)]
        self._costs = numbers[costs:keys]
        self._keys = numbers[keys:]
        self._lock = threading.Lock()
        self.begin(0)

    def begin(self, worker: int) -> None:
        """Be the worker of that number from now on, which computes nothing yet."""
        self.row = self._rows[worker]
        self._free = list(range(_POOL, 0, -1))
        self._clear(worker)

    def slot(self, identity: str) -> int:
        """Return the slot of a version; 0, which nothing is told of, when there is none left.

        ``identity`` tells it from every other one, also from what had its name before: with
        a hash of its files.
        """
        key = int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little") or 1
        parts = (key & 0xFFFFFFFF, key >> 32)
        with self._alone():
            for at in range(0, 2 * (_SLOTS - 1), 2):
                known = (self._keys[at], self._keys[at + 1])
                if known == (0, 0):
                    self._keys[at], self._keys[at + 1] = parts
                if known in ((0, 0), parts):
                    return 1 + at // 2
        return 0

    def enter(self, slot: int) -> int:
        """Tell that a thread is about to compute; returns what `leave` takes. For any thread."""
        try:
            place = self._free.pop()
        except IndexError:  # more threads than places
            return 0
        self.row[place] = slot
        return place

    def leave(self, place: int) -> None:
        """Tell that the thread is done."""
        if place:
            self.row[place] = 0
            self._free.append(place)

    @property
    def changes(self) -> int:
        """A number that grows with every loss: whoever knows it need not look at the costs."""
        return int(self._costs[0])

    def cost(self, slot: int) -> int:
        """Return how many workers a version has cost."""
        return int(self._costs[slot]) if slot else 0

    def blame(self, worker: int, loss: Loss) -> list[int]:
        """Count a lost worker for what it was computing, and return these slots.

        Of a loop that stood it is what the loop computed, or else what kept the interpreter to
        itself: some thread. A signal may come from any of them. Who leaves by itself in
        good order computes nothing on the loop, and its threads have done no harm.
        """
        row = self._rows[worker]
        inline = [row[_INLINE]]
        threads = [] if loss == "exit" or (loss == "stall" and row[_INLINE]) else row[1 : 1 + _POOL]
        suspects = sorted({*inline, *threads} - {0})
        for slot in suspects:
            self._costs[slot] += 1
        if suspects:
            self._costs[0] += 1
        self._clear(worker)
        return suspects

    def _clear(self, worker: int) -> None:
        row = self._rows[worker]
        for at in range(_ROW):
            row[at] = 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads and processes out; a process that dies keeps nobody out."""
        with self._lock:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
