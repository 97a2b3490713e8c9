"""The threads of a pool: what they have to do, and what they have done."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gpfn.deadline import Deadline

__all__ = ["Done", "Job", "Team"]

Done = Callable[[Any, BaseException | None], object]
"""Hears the result of a job, or its error."""


class Job:
    """Work that was handed over; ``done(result, error)`` is called once, on the loop's thread."""

    __slots__ = ("_done", "deadline", "error", "result", "work")

    def __init__(self, work: Callable[[], Any], deadline: Deadline, done: Done) -> None:
        self.work = work
        self.deadline = deadline
        self._done: Done | None = done
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def settled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._done is None

    def abandon(self) -> None:
        """Let nobody wait for it; what runs runs on, what waits is never begun."""
        self._done = None
        self.work = _nothing  # and with the work what it would have worked on

    def settle(self) -> None:
        """Tell who waits, unless that was told before."""
        done, self._done = self._done, None
        result, error, self.result, self.error = self.result, self.error, None, None
        self.work = _nothing
        if done is not None:  # the error holds this job by its trace: it must not be held by it
            done(result, error)

    def run(self) -> None:
        """Do the work, on a thread."""
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - told to who waits, a SystemExit as well
            self.error = error


def _nothing() -> None:
    """Do the work that nobody waits for any more."""


class Team:
    """At most ``most`` threads; the loop calls all but what begins with an underscore."""

    def __init__(self, most: int, niceness: int = 0) -> None:
        """With ``niceness``, threads get less of a processor that the loop wants as well."""
        self._most = most
        self._niceness = niceness
        self._jobs: deque[Job] = deque()
        self._done: deque[Job] = deque()
        self._guard = threading.Condition(threading.Lock())
        self._quiet = threading.Lock()  # held while the loop waits for the work to be done
        self._waited = False
        self._signalled = False
        self._threads = 0
        self._idle = 0
        self._closed = False
        self.finished: Callable[[], None] = lambda: None

    def take(self, jobs: list[Job]) -> bool:
        """Take work; False when there is no thread for it."""
        with self._guard:
            self._jobs.extend(jobs)
            if self._idle == self._threads:
                self._help()
            if self._threads:
                return True
            self._jobs.clear()
            return False

    def help(self) -> None:
        """Have one more thread at work, if there may be one more."""
        with self._guard:
            self._help()

    @property
    def done(self) -> int:
        """How many jobs are done and not collected."""
        return len(self._done)

    def oldest(self) -> Job | None:
        """Return the job that has waited for longest."""
        with self._guard:
            return self._jobs[0] if self._jobs else None

    def wait(self, seconds: float) -> bool:
        """Wait until all work is done; False when it takes longer."""
        with self._guard:
            if not self._jobs and self._idle == self._threads:
                return True
            self._waited = True
            self._quiet.acquire(blocking=False)
        quiet = self._quiet.acquire(timeout=seconds)
        with self._guard:
            self._waited = False
            if self._done and not quiet:
                self._signalled = True  # who has waited collects it
        return quiet

    def collect(self) -> list[Job]:
        """Return what has been done since the last time."""
        self._signalled = False
        done = self._done
        return [done.popleft() for _ in range(len(done))]

    def close(self) -> None:
        """Let the threads end, each when nothing waits any more; from any thread."""
        with self._guard:
            self._closed = True
            self._guard.notify_all()

    def _help(self) -> None:
        if self._idle:
            self._idle -= 1
            self._guard.notify()
        elif self._threads < self._most:
            self._start()

    def _start(self) -> None:
        number = self._threads + 1
        thread = threading.Thread(target=self._serve, name=f"gpfn-worker-{number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give; the others go on
            return
        self._threads = number

    def _serve(self) -> None:
        guard = self._guard
        if self._niceness:
            with suppress(OSError):  # a system that has it for processes only
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            with guard:
                while not self._jobs:
                    if self._closed:
                        return
                    self._rest()
                    guard.wait()
                job = self._jobs.popleft()
            if not job.settled:
                job.run()
            self._done.append(job)
            if not self._waited and not self._signalled:
                self._signalled = True
                self._tell()
            del job  # or its result would live as long as this thread is idle

    def _rest(self) -> None:
        """Count a thread that has nothing to do; the last of them tells the loop that waits."""
        self._idle += 1
        if self._waited and self._idle == self._threads:
            self._waited = False
            self._quiet.release()

    def _tell(self) -> None:
        try:
            self.finished()
        except RuntimeError:  # the loop has ended, and with it whoever waited
            self._signalled = False
