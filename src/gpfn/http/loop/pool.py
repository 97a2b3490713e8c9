"""Threads for work that would hold the loop up.

Most work is short: a model's answer takes microseconds. Two threads that both want the
interpreter's lock would spend more than that on taking it from each other. So the loop
hands over at the end of its turn what came in it, and waits as long as no job takes more than a
millisecond: short work costs little more than on the loop itself, and long work holds the loop up
for a millisecond. A second thread is not woken because work has come, but because work has
waited: who computes is left alone, who blocks gets help.

Not a ThreadPoolExecutor: these threads are daemons, so that work that hangs cannot keep
the process from ending, and work whose deadline passes while it waits is never begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NoReturn

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, Overloaded
from gpfn.http.loop.team import Done, Job, Team

__all__ = ["WorkPool"]

_TURN_SECONDS = 0.001
"""How long the loop waits for one job of those it has handed over."""
_LONGEST_TURN_SECONDS = 0.02
"""How long it waits for all of them, before it looks after its connections again."""
_HASTE = 50
"""Turns that do not wait after one that waited in vain: the work is long."""
_PATIENCE = 0.002
"""Seconds that work waits before another thread is asked for."""
_NICENESS = 10
_LOOK_SECONDS = 0.25  # a job that came later may have the earlier deadline


class WorkPool:
    """At most ``threads`` threads, each started when it is needed; ``queue`` jobs may wait.

    Everything but what the threads do is for the loop's thread. One that is not ``patient``
    never waits for its threads: it is known that the work is long. Its threads have a lower
    priority than the loop, which only ever needs a moment.
    """

    def __init__(self, threads: int, queue: int, *, patient: bool = True) -> None:
        self._patient = patient
        self._places = threads + queue
        self._team = Team(threads, 0 if patient else _NICENESS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[Job] = set()  # every job that was not settled
        self._coming: list[Job] = []  # those of this turn
        self._oldest: Job | None = None
        self._watching = False
        self._timing = False
        self._haste = 0

    @property
    def load(self) -> int:
        """How many jobs run or wait."""
        return len(self._open)

    def submit(self, work: Callable[[], Any], deadline: Deadline, done: Done) -> None:
        """Have ``work`` done; ``done`` hears its result or error, or DeadlineExceeded in time.

        Raises Overloaded when as many jobs wait as may.
        """
        self._submit(Job(work, deadline, done))

    async def run(self, work: Callable[[], Any], deadline: Deadline) -> Any:
        """Return what ``work`` returns in a thread; raise what it raises, or DeadlineExceeded."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        job = Job(work, deadline, done)
        self._submit(job)
        try:
            return await future
        finally:
            job.abandon()

    def close(self) -> None:
        """End its threads once they have done what was submitted: nothing more will be."""
        self._team.close()

    def refuse(self, calls: int) -> NoReturn:
        """Raise Overloaded: that many calls are running or waiting already."""
        raise Overloaded(f"{calls} calls are running or waiting; GPFN_QUEUE sets this")

    def _submit(self, job: Job) -> None:
        if len(self._open) >= self._places:
            self.refuse(len(self._open))
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._begin(loop)
        self._open.add(job)
        if not self._coming:
            loop.call_soon(self._hand_over)
        self._coming.append(job)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for a loop; what another one that has ended waited for is forgotten."""
        self._loop = loop
        self._team.finished = self._wake
        self._open.clear()
        self._coming.clear()
        self._watching = self._timing = False

    def _hand_over(self) -> None:
        """Give the jobs of this turn to the threads, and wait a moment for them."""
        jobs, self._coming = self._coming, []
        if not self._team.take(jobs):
            for job in jobs:
                job.error = Overloaded("no thread can be started; try again later")
                self._end(job)
            return
        if self._haste:
            self._haste -= 1
        elif self._patient:
            self._stand_by()
        else:
            self._team.help()
        self._settle()
        if self._open:
            self._watch()
            self._time()

    def _stand_by(self) -> None:
        """Wait as long as the threads finish one job after the other."""
        until = time.monotonic() + _LONGEST_TURN_SECONDS
        done = -1
        while not self._team.wait(_TURN_SECONDS):
            before, done = done, self._team.done
            if done == before:
                self._haste = _HASTE
                return
            if time.monotonic() > until:
                return

    def _wake(self) -> None:
        """Have what is finished told, from a thread."""
        assert self._loop is not None, "it was set with the first job"  # noqa: S101
        self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        for job in self._team.collect():
            self._end(job)

    def _end(self, job: Job) -> None:
        """Tell who waits for a job; who raises then keeps no other job from being told."""
        self._open.discard(job)
        self._tell(job)

    def _tell(self, job: Job) -> None:
        try:
            job.settle()
        except Exception as error:  # noqa: BLE001 - logged by the loop's handler
            if self._loop is not None:
                self._loop.call_exception_handler({"message": "a job", "exception": error})

    def _watch(self) -> None:
        if not self._watching and self._loop is not None:
            self._watching = True
            self._loop.call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        """Ask for another thread when the oldest job has waited since the last look."""
        self._watching = False
        oldest = self._team.oldest()
        if oldest is not None and oldest is self._oldest:
            self._team.help()
        self._oldest = oldest
        if oldest is not None:
            self._watch()

    def _time(self) -> None:
        if not self._timing and self._loop is not None:
            waiting = [job.deadline.at for job in self._open if not job.settled]
            left = min(waiting, default=float("inf")) - time.monotonic()
            if left != float("inf"):
                self._timing = True
                self._loop.call_later(min(_LOOK_SECONDS, max(0.001, left)), self._expire)

    def _expire(self) -> None:
        """Settle every job whose time is up."""
        self._timing = False
        now = time.monotonic()
        for job in [job for job in self._open if job.deadline.at <= now and not job.settled]:
            job.error = DeadlineExceeded("the deadline passed while the function ran")
            self._tell(job)
        if any(not job.settled for job in self._open):
            self._time()
