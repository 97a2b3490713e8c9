"""A run over many files: what was done before is left out, the rest is scored and written down.

One file, or ``count`` of 1, is scored in this process; several are in processes of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gpfn.data.journal import Journal, source_stamp
from gpfn.data.processes import Followed, score_in_processes
from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.seam import Extent
from gpfn.data.worker import scored

__all__ = ["ScoreRun", "Through", "score_files"]


class ScoreRun(NamedTuple):
    """What to score, with which model, and how.

    ``processes`` score at once. ``again`` does what was done before once more.
    """

    jobs: Sequence[ScoreJob]
    order: ModelOrder
    options: ScoreOptions = ScoreOptions()
    processes: int = 1
    again: bool = False


Through = Callable[[ScoreRun, Followed | None], Iterator[FileReport]]
"""Something else that hands files out, and gives the report of each."""


def score_files(
    run: ScoreRun, followed: Followed | None = None, through: Through | None = None
) -> Iterator[FileReport]:
    """Give the report of each file as it is done; an error of one is in its report.

    ``through`` is what scores them, when it is not processes of this machine.

    Raises SetupError or ModelUnreadable when the model cannot be opened.
    """
    journal = Journal(run.order, run.options)
    left, stamps = [], {}
    for job in run.jobs:
        stamps[job] = source_stamp(job)  # of what will be read, or of what is older
        before = None if run.again else journal.done(job)
        if before is None:
            left.append(job)
        else:
            yield before
    if not left:
        return
    if through is not None:
        reports = through(run._replace(jobs=left), followed)
    elif run.processes > 1 and len(left) > 1:
        reports = _in_processes(run, left, followed)
    else:
        reports = _here(run, left, followed)
    for report in reports:
        if report.error:
            yield _failed(report)
            continue
        journal.note(report, stamps[report.job])
        yield report


def _failed(report: FileReport) -> FileReport:
    """Return a report that says whether what lies there as the output is an older one."""
    target = report.job.target
    if not os.path.lexists(target):
        return report
    return report._replace(error=f"{report.error}; what is at {target} is not of this run")


def _in_processes(
    run: ScoreRun, jobs: Sequence[ScoreJob], followed: Followed | None
) -> Iterator[FileReport]:
    return score_in_processes(jobs, run.order, run.options, run.processes, followed)


def _here(
    run: ScoreRun, jobs: Sequence[ScoreJob], followed: Followed | None
) -> Iterator[FileReport]:
    scorer = Scorer(run.order)
    try:
        for job in jobs:

            def told(rows: int, extent: Extent, job: ScoreJob = job) -> None:
                if followed is not None:
                    followed(job, rows, extent)

            yield scored(job, scorer, run.options, told)
    finally:
        scorer.close()
