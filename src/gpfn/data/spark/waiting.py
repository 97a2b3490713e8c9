"""A job of Spark that runs in a thread, so that what it has done can be told meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from gpfn.data.spark.session import RunningSpark

__all__ = ["IDLE_SECONDS", "Running", "TaskCount", "run_watched"]

_EVERY = 0.2
IDLE_SECONDS = 60.0
"""Seconds without a task at work before it is told that no worker takes any."""
_GROUP = "gpfn-score"


class TaskCount(NamedTuple):
    """How many tasks there are in the stages begun, how many of them are done or at work."""

    done: int
    active: int
    total: int


class Running:
    """What a job is at, for who waits: its result, or the error that it ended with.

    Spark is asked in threads. Who waits may be interrupted at any moment, and must not be
    in the middle of a question then: the next one would read its answer.
    """

    def __init__(self, session: RunningSpark, work: Callable[[], Any]) -> None:
        from pyspark import InheritableThread

        self._session = session
        self._work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.tasks = TaskCount(0, 0, 0)
        self._thread: threading.Thread = InheritableThread(
            target=self._do, session=session.spark, daemon=True
        )
        self._thread.start()
        threading.Thread(target=self._count, daemon=True).start()

    def _do(self) -> None:
        try:
            self._session.spark.sparkContext.setJobGroup(_GROUP, "gpfn score")
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - is raised to who waits
            self.error = error

    def _count(self) -> None:
        """Keep ``tasks`` up to date."""
        tracker = self._session.spark.sparkContext.statusTracker()
        with suppress(Exception):  # the session ends; it is only for show
            while self._thread.is_alive():
                self.tasks = _counted(tracker)
                self._thread.join(_EVERY)
            self.tasks = _counted(tracker)

    def alive(self) -> bool:
        """Wait a moment; returns whether it still runs."""
        self._thread.join(_EVERY)
        return self._thread.is_alive()


def _counted(tracker: Any) -> TaskCount:
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(_GROUP)]
    numbers = [stage for job in jobs if job is not None for stage in job.stageIds]
    found = [tracker.getStageInfo(number) for number in numbers]
    stages = [stage for stage in found if stage is not None]
    return TaskCount(
        sum(stage.numCompletedTasks for stage in stages),
        sum(stage.numActiveTasks for stage in stages),
        sum(stage.numTasks for stage in stages),
    )


def run_watched(
    session: RunningSpark, work: Callable[[], Any], noted: Callable[[str], None] | None = None
) -> Iterator[Running]:
    """Do ``work``, which starts jobs of Spark, and give how far it is, again and again.

    The last one given has the result. Raises what the work raised. Whoever stops listening
    has the job cancelled.
    """
    running = Running(session, work)
    idle = time.monotonic()
    try:
        while running.alive():
            yield running
            idle = _told_idle(running, session, idle, noted)
    finally:
        if running.alive():
            session.spark.sparkContext.cancelAllJobs()
    if running.error is not None:
        raise running.error
    yield running


def _told_idle(
    running: Running, session: RunningSpark, since: float, noted: Callable[[str], None] | None
) -> float:
    """Tell, once in a while, that no worker takes a task; returns since when that is so."""
    now = time.monotonic()
    if running.tasks.active:
        return now
    if now - since < IDLE_SECONDS or noted is None:
        return since
    noted(
        f"no worker of {session.master.url} took a task for {IDLE_SECONDS:.0f} s; "
        "are there workers with a free processor and memory?"
    )
    return now
