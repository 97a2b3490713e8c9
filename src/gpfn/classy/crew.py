"""Threads that work for all calls of a process: so many at a time, and so many for each host.

A server of pictures that is asked by a thousand connections at once answers none of them, so
what is over the limits waits. Hosts take turns: a slow one holds up nobody else's pictures. Nothing
more is asked for a caller who has left (`gpfn.scope`).
Threads are started when there is work, and end when there is none for them; they are daemons,
so that a download that hangs does not keep the process from ending.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from threading import TIMEOUT_MAX, Event, Lock, Thread

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, Overloaded
from gpfn.scope import SCOPE, CallScope
from gpfn.settings import read_whole

__all__ = ["Crew", "Errand", "shared_crew"]

_MOST = 1000


class Errand:
    """Work for a host, such as fetching a picture from it; ``work`` keeps its result itself."""

    __slots__ = ("error", "host", "round", "work")

    def __init__(self, host: str, work: Callable[[], None]) -> None:
        self.host = host
        self.work = work
        self.round: _Round | None = None
        self.error: BaseException | None = None


class _Round:
    """The errands of one caller: how many are left, and whether the wait for them has ended."""

    __slots__ = ("ended", "left", "scope")

    def __init__(self, count: int, scope: CallScope | None) -> None:
        self.left = count
        self.ended = Event()
        self.scope = scope

    def wait(self, deadline: Deadline) -> None:
        """Return when all have ended, at the deadline, or when the caller has left.

        Who tells us of the last may be an event loop: it takes no lock of ours, and drops nothing.
        """
        if self.scope is not None:
            self.scope.watch(self.ended.set)
        try:
            self.ended.wait(min(deadline.remaining(), TIMEOUT_MAX))
        finally:
            if self.scope is not None:
                self.scope.forget(self.ended.set)


class Crew:
    """Does errands, at most ``parallel`` at a time and ``per_host`` of them for one host."""

    __slots__ = ("_active", "_lock", "_parallel", "_per_host", "_threads", "_waiting")

    def __init__(self, parallel: int = 16, per_host: int = 6) -> None:
        self._parallel = parallel
        self._per_host = per_host
        self._lock = Lock()
        self._threads = 0
        self._active: dict[str, int] = {}
        self._waiting: dict[str, deque[Errand]] = {}

    def do(self, errands: Sequence[Errand], deadline: Deadline) -> None:
        """Do all errands; at the deadline those that still wait are dropped.

        One that has been begun by then is not waited for: it has the same deadline. When the call
        that all this is for is cancelled, those that still wait are dropped as well.

        Raises Overloaded when not a single thread can be started, DeadlineExceeded when the call
        was cancelled, and what an errand has raised.
        """
        if not errands:
            return
        mine = _Round(len(errands), SCOPE.get())
        with self._lock:
            for errand in errands:
                errand.round = mine
                self._waiting.setdefault(errand.host, deque()).append(errand)
            staffed = self._staff()
        if staffed:
            mine.wait(deadline)
        self._drop(mine)
        if not staffed:
            raise Overloaded("no more threads can be started")
        if mine.scope is not None and mine.scope.cancelled:
            raise DeadlineExceeded("nobody waits for the pictures any more")
        for errand in errands:
            if errand.error is not None:
                raise errand.error

    def _staff(self) -> bool:
        """Start threads for errands that may begin; say whether there is any thread at all."""
        while self._threads < self._parallel and (errand := self._next()) is not None:
            thread = Thread(target=self._work, args=(errand,), name="fetch a picture", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads: those that are there do it, one by one
                self._leave(errand.host)
                self._waiting.setdefault(errand.host, deque()).appendleft(errand)
                return self._threads > 0
            self._threads += 1
        return True

    def _next(self) -> Errand | None:
        """Take the next errand whose host is not at its limit; its host's turn then is over."""
        for host, queue in self._waiting.items():
            if self._active.get(host, 0) < self._per_host:
                errand = queue.popleft()
                del self._waiting[host]
                if queue:
                    self._waiting[host] = queue
                self._active[host] = self._active.get(host, 0) + 1
                return errand
        return None

    def _leave(self, host: str) -> None:
        self._active[host] -= 1
        if not self._active[host]:
            del self._active[host]

    def _work(self, errand: Errand | None) -> None:
        while errand is not None:
            assert errand.round is not None, "set when it was given"  # noqa: S101
            scope = errand.round.scope
            SCOPE.set(scope)  # what it asks of others ends with the call
            try:
                if scope is not None:
                    scope.check()  # it may have ended before those that wait were dropped
                errand.work()
            except BaseException as error:  # noqa: BLE001 - raised where the errands were given
                errand.error = error
            with self._lock:
                self._leave(errand.host)
                self._tick_off(errand)
                errand = self._next()
                self._threads -= errand is None

    def _tick_off(self, errand: Errand) -> None:
        assert errand.round is not None, "set when it was given"  # noqa: S101
        errand.round.left -= 1
        if not errand.round.left:
            errand.round.ended.set()

    def _drop(self, mine: _Round) -> None:
        with self._lock:
            if not mine.left:
                return
            for host, queue in list(self._waiting.items()):
                kept = deque(errand for errand in queue if errand.round is not mine)
                if kept:
                    self._waiting[host] = kept
                else:
                    del self._waiting[host]


_crews: dict[int, Crew] = {}


def shared_crew() -> Crew:
    """Return the crew of this process, by ``GPFN_DOWNLOAD_PARALLEL`` and ``…_PER_HOST``.

    A process that was forked has one of its own: threads do not come along. Raises SetupError.
    """
    found = _crews.get(os.getpid())
    if found is None:
        parallel = read_whole("GPFN_DOWNLOAD_PARALLEL", 16, least=1, most=_MOST)
        per_host = read_whole("GPFN_DOWNLOAD_PER_HOST", 6, least=1, most=_MOST)
        found = _crews.setdefault(os.getpid(), Crew(parallel, per_host))
    return found
