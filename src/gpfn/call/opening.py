"""Opening what answers calls, before or beside them: one attempt at a time, again after a failure.

A function's model and a served model are opened through this, in the calling thread or in a
thread of its own, so that a server can tell meanwhile that it is not ready. The first success
is one record in the log: the seconds of importing, loading and warming up.
"""

from __future__ import annotations

import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Mapping

from gpfn.call.contract import Opened
from gpfn.errors import Overloaded
from gpfn.log import Log

__all__ = ["NotReady", "Opening"]


class NotReady(Overloaded):
    """The function cannot be called yet; ``detail`` says why."""

    type = "not-ready"
    title = "Not ready"


class Opening:
    """The attempts to open one thing; ``opened`` once one has succeeded.

    ``failure`` is what the last attempt failed with. ``opener`` raises when it cannot open,
    ``start`` are named seconds that were spent before it, for the log.
    """

    def __init__(
        self,
        opener: Callable[[], Opened],
        log: Log,
        start: Mapping[str, float] | None = None,
        *,
        log_failures: bool = True,
    ) -> None:
        """``log_failures`` is off where who makes the attempt raises the failure anyway."""
        self._opener = opener
        self._log = log
        self._log_failures = log_failures
        self._start = dict(start or {})
        self._guard = allocate_lock()
        self._busy = False  # whether an attempt is under way
        self._then: list[Callable[[], object]] = []
        self._began = 0.0
        self.opened: Opened | None = None
        self.failure: BaseException | None = None

    def run(self) -> bool:
        """Open in this thread, or wait for the attempt under way; says whether it is open."""
        if self._take(None):
            self._run()
        else:
            self.wait()
        return self.opened is not None

    def begin(self, then: Callable[[], object] | None = None) -> None:
        """Start an attempt in a thread that no process waits for, unless one is under way.

        ``then`` is called in that thread when the attempt has ended, whatever came of it.
        """
        if self._take(then):
            start_new_thread(self._run, ())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until no attempt is under way; False when ``seconds`` were not enough."""
        ended = allocate_lock()
        ended.acquire()
        with self._guard:
            if not self._busy:
                return True
            self._then.append(ended.release)
        return ended.acquire(timeout=-1 if seconds is None else seconds)

    def check(self) -> None:
        """Raise NotReady with the reason unless it is open; begins another attempt if need be."""
        if self.opened is not None:
            return
        failure = self.failure
        self.begin()
        if failure is not None:
            raise NotReady(f"the model cannot be opened: {failure}")
        raise NotReady(f"opening the model since {time.perf_counter() - self._began:.1f} s")

    def _take(self, then: Callable[[], object] | None) -> bool:
        """Return whether the caller is to make the attempt; ``then`` is kept either way."""
        with self._guard:
            if then is not None:
                self._then.append(then)
            if self._busy:
                return False
            self._busy = True
            self._began = time.perf_counter()
            return True

    def _run(self) -> None:
        try:
            self._attempt()
        finally:
            with self._guard:
                self._busy = False
                waiting, self._then = self._then, []
            for then in waiting:
                then()

    def _attempt(self) -> None:
        if self.opened is not None:
            return
        try:
            opened = self._opener()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told to whoever asks
            self.failure = error
            if self._log_failures:
                self._log.failure(error)
            return
        self.opened, self.failure = opened, None
        if opened.warmup_failure:
            self._log.warning(f"not warmed up: {opened.warmup_failure}")
        seconds = dict(self._start)
        if opened.uri:
            seconds |= {"load": opened.load_seconds, "warm-up": opened.warmup_seconds}
        self._log.ready(seconds, f" ({opened.uri})" if opened.uri else "")
