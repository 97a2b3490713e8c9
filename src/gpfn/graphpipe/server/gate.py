"""A bounded queue in front of the model."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gpfn.deadline import Deadline
from gpfn.errors import Overloaded

__all__ = ["Gate"]


class Gate:
    """Lets ``workers`` callers through at once and ``queue`` more wait.

    >>> gate = Gate(workers=1, queue=0)
    >>> with gate.passage(Deadline.after(1.0)):
    ...     gate.running
    1
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._slots = threading.Semaphore(workers)
        self._room = workers + queue
        self._lock = threading.Lock()
        self._inside = 0
        self.running = 0

    @contextmanager
    def passage(self, deadline: Deadline) -> Iterator[None]:
        """Hold one slot.

        Raises Overloaded at once when the queue is full, and when no slot came free
        before the deadline.
        """
        self._enter()
        try:
            if not self._slots.acquire(timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)):
                raise Overloaded("no worker came free before the deadline")
            try:
                self._count_running(1)
                yield
            finally:
                self._count_running(-1)
                self._slots.release()
        finally:
            with self._lock:
                self._inside -= 1

    def _enter(self) -> None:
        with self._lock:
            if self._inside >= self._room:
                raise Overloaded(f"{self._inside} requests are running or waiting already")
            self._inside += 1

    def _count_running(self, change: int) -> None:
        with self._lock:
            self.running += change
