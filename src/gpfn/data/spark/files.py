"""Files scored by tasks of Spark, a file a task: what each writes is what a process here would.

The workers see the files and the folder of outputs under the paths that they have here. An
output appears whole or not at all, so that a task that Spark begins twice does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gpfn.data.batches import opened_scorer
from gpfn.data.running import ScoreRun
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.spark.carried import CarriedModel, carried_model
from gpfn.data.spark.session import RunningSpark
from gpfn.data.spark.waiting import run_watched
from gpfn.data.worker import scored

__all__ = ["score_in_tasks"]


class _Task(NamedTuple):
    """What a worker is given besides the file."""

    model: CarriedModel
    options: ScoreOptions
    finished: Any
    """Spark's accumulator: carries each report to who waits, as soon as its task is done."""
    folder: str
    """The working directory, on this machine."""

    def __call__(self, numbered: tuple[int, ScoreJob]) -> tuple[int, FileReport]:
        number, job = numbered
        if self.folder:
            os.chdir(self.folder)
        done = number, scored(job, opened_scorer(self.model.here()), self.options, None)
        self.finished.add([done])
        return done


class _Reports:
    """How Spark adds up lists of reports."""

    def zero(self, _value: list[Any]) -> list[Any]:
        return []

    def addInPlace(self, value: list[Any], more: list[Any]) -> list[Any]:  # noqa: N802 - Spark's
        value.extend(more)
        return value


def score_in_tasks(
    run: ScoreRun, session: RunningSpark, noted: Callable[[str], None] | None = None
) -> Iterator[FileReport]:
    """Give the report of each file as its task is done; an error of one is in its report.

    ``noted`` is called with what a user should know meanwhile. Raises SetupError when the model
    cannot be opened by the workers, and what PySpark raises when Spark gives up; what is
    finished by then stays.
    """
    context = session.spark.sparkContext
    finished = context.accumulator([], _Reports())
    jobs = sent = list(run.jobs)
    folder = os.getcwd()
    if not session.master.here:  # workers of a cluster have working directories of their own
        sent, folder = [ScoreJob(*map(os.path.abspath, job)) for job in jobs], ""
    task = _Task(carried_model(run.order, session), run.options, finished, folder)
    told: set[int] = set()

    def work() -> list[tuple[int, FileReport]]:
        pieces = context.parallelize(list(enumerate(sent)), len(sent))
        return [*pieces.map(task).collect()]

    for running in run_watched(session, work, noted):
        for number, report in [*finished.value, *(running.result or ())]:
            if number not in told:
                told.add(number)
                yield _checked(report._replace(job=jobs[number]))


def _checked(report: FileReport) -> FileReport:
    """Return a report, with an error where its output cannot be seen from here."""
    if report.error or os.path.exists(report.job.target):
        return report
    told = (
        f"{report.job.target}: a worker wrote it, and it is not here; name a folder that all "
        "machines share"
    )
    return report._replace(error=told)
