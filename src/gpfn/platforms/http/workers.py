"""The settings of ``gpfn run http``, and the bounded number of threads that run its calls.

Not a ThreadPoolExecutor: these threads are daemons, so that a handler that hangs cannot
keep the process from ending, and a call whose deadline passes while it waits is not begun.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded
from gpfn.settings import read_duration, read_whole

__all__ = ["HttpSettings", "Workers"]


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How many calls run at once and how long each may take; times are in seconds.

    :meth:`from_env` reads them from ``GPFN_WORKERS``, ``GPFN_QUEUE``, ``GPFN_REQUEST_TIMEOUT``
    and ``GPFN_START_WINDOW``.

    ``workers`` threads run handlers that are not async; 0 asks for four more than there
    are processors. ``queue`` more calls may wait; one beyond is answered 503.
    ``request_timeout`` is for the whole of a call, its body's arrival included.
    """

    workers: int = 0
    queue: int = 64
    request_timeout: float = 30.0
    start_window: float = 4.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> HttpSettings:
        """Return the settings with what the environment overrides; raises SetupError."""
        return cls(
            workers=read_whole("GPFN_WORKERS", 0, environ=environ),
            queue=read_whole("GPFN_QUEUE", 64, environ=environ),
            request_timeout=read_duration("GPFN_REQUEST_TIMEOUT", 30.0, environ=environ),
            start_window=read_duration("GPFN_START_WINDOW", 4.0, environ=environ),
        )

    @property
    def threads(self) -> int:
        """The number of worker threads."""
        from gpfn.models.threads import available_cpus

        return self.workers or available_cpus() + 4


class _Job:
    """One call for a thread to run; ``abandoned`` once nobody waits for its result."""

    __slots__ = ("abandoned", "future", "loop", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.abandoned = False

    def run(self) -> None:
        result: object = None
        failure: BaseException | None = None
        try:
            result = self.work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failure = error
        try:
            self.loop.call_soon_threadsafe(self._settle, result, failure)
        except RuntimeError:  # the loop has ended, and with it whoever waited
            self.abandoned = True

    def _settle(self, result: object, failure: BaseException | None) -> None:
        if self.abandoned:
            return
        if failure is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(failure)


class Workers:
    """At most ``threads`` threads, each started when it is first needed."""

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._started = 0
        self._idle = 0
        self._waiting = 0
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()

    async def run(self, work: Callable[[], Any], deadline: Deadline) -> Any:
        """Return what ``work`` returns in a thread; raise what it raises.

        Raises DeadlineExceeded when the time is up: what runs then runs on, and keeps its
        thread until it ends; what still waits is never begun.
        """
        job = _Job(work)
        self._put(job)
        left = deadline.remaining()
        scope = asyncio.timeout(None if left == float("inf") else left)
        try:
            async with scope:
                return await job.future
        except TimeoutError:
            if not scope.expired():
                raise
            raise DeadlineExceeded("the deadline passed while the function ran") from None
        finally:
            job.abandoned = True

    def _put(self, job: _Job) -> None:
        with self._lock:
            self._waiting += 1
            grow = self._waiting > self._idle and self._started < self._most
            self._started += grow
            number = self._started
        self._jobs.put(job)
        if grow:
            threading.Thread(target=self._serve, name=f"gpfn-worker-{number}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
                self._waiting -= 1
            if not job.abandoned:
                job.run()
            del job  # or its result would live as long as this thread is idle
