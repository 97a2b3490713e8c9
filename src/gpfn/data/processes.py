"""Files scored in several processes at once, each of which has the model open.

A process that dies takes the file that it had with it, and no other: the file is tried once more
in a new process, and then reported with what happened.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from gpfn import errors
from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.seam import Extent
from gpfn.data.whole_file import remove_leftovers
from gpfn.errors import GpfnError, SetupError

__all__ = ["Followed", "score_in_processes"]

Followed = Callable[[ScoreJob, int, Extent], None]
"""Is called with a job, the rows of it that are done, and how far its file is read."""

_CODE = (
    "import sys; number, sys.path[:] = int(sys.argv[1]), sys.argv[2:];"
    "from gpfn.data.worker import work; work(number)"
)
_TRIES = 2
_END_SECONDS = 2.0
_MOST_TOLD = 16 << 20


class _Try(NamedTuple):
    """A job, and how often it was begun before."""

    job: ScoreJob
    before: int = 0


class _Worker:
    """A process, and the job that it has."""

    def __init__(self, order: ModelOrder, options: ScoreOptions) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-c", _CODE, str(theirs.fileno()), *sys.path],
                stdin=subprocess.DEVNULL,
                env={"OMP_NUM_THREADS": str(order.threads), **os.environ},  # Arrow's too
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.link = Connection(ours.detach())
        self.ready = False
        self.given: _Try | None = None
        with suppress(OSError):  # it has ended, which is heard of when it is listened to
            self.link.send((order, options))

    def give(self, attempt: _Try) -> None:
        self.given = attempt
        with suppress(OSError):  # it has ended, which is heard of when it is listened to
            self.link.send(attempt.job)

    def ended(self) -> str:
        """Return how it ended, after it has closed its socket."""
        self.link.close()
        self.kill(_END_SECONDS)
        status = self._popen.returncode
        if status >= 0:
            return f"ended with exit code {status}"
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:  # one of those that have numbers only
            return f"was ended by signal {-status}"

    def stop(self) -> None:
        """Ask it to end."""
        self._popen.terminate()

    def kill(self, wait_seconds: float = 0.0) -> None:
        """End it, and remove what it could not."""
        with suppress(subprocess.TimeoutExpired):  # then it is ended
            self._popen.wait(wait_seconds)
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        with suppress(OSError):  # it is closed already
            self.link.close()
        if self.given is not None:
            for path in (self.given.job.target, self.given.job.failed):
                remove_leftovers(Path(path))


def score_in_processes(
    jobs: Sequence[ScoreJob],
    order: ModelOrder,
    options: ScoreOptions,
    count: int,
    followed: Followed | None = None,
) -> Iterator[FileReport]:
    """Give the report of each file as it is done, scored by ``count`` processes.

    Raises SetupError when the model cannot be opened there. However it ends, also when its
    caller does not want the rest, no process and nothing half-written is left.
    """
    waiting = deque(map(_Try, jobs))
    pool = [_Worker(order, options) for _ in range(min(count, len(jobs)))]
    try:
        while waiting or any(worker.given for worker in pool):
            for worker in _heard(pool):
                report = _listened(worker, waiting, followed)
                if report is not None:
                    yield report
                if worker.link.closed:
                    pool.remove(worker)
            _fill(pool, waiting, order, options, count)
    finally:
        _end(pool)


def _heard(pool: Sequence[_Worker]) -> list[_Worker]:
    said = wait([worker.link for worker in pool])
    return [worker for worker in pool if worker.link in said]


def _listened(
    worker: _Worker, waiting: deque[_Try], followed: Followed | None
) -> FileReport | None:
    """Take one message of a process; returns the report of a file that is done, or lost."""
    try:
        kind, value = json.loads(worker.link.recv_bytes(_MOST_TOLD))
    except (EOFError, OSError):
        return _lost(worker, waiting)
    if kind == "broken":
        raise _error(*value)
    if kind == "progress":
        if followed is not None and worker.given is not None:
            rows, extent = value
            followed(worker.given.job, rows, Extent(*extent))
        return None
    report = None
    if kind == "done" and worker.given is not None:
        told = value | {"job": worker.given.job, "notes": tuple(value["notes"])}
        report = FileReport(**told)
    worker.ready, worker.given = True, None
    if waiting:
        worker.give(waiting.popleft())
    return report


def _lost(worker: _Worker, waiting: deque[_Try]) -> FileReport | None:
    """Deal with the end of a process: its file is tried again, or reported."""
    told = worker.ended()
    attempt, worker.given = worker.given, None
    if attempt is None:
        if not worker.ready:
            raise SetupError(f"the process that opened the model {told}", field="model")
        return None
    if attempt.before + 1 < _TRIES:
        waiting.append(attempt._replace(before=attempt.before + 1))
        return None
    file = attempt.job.source
    return FileReport(attempt.job, error=f"{file}: the process that scored it {told}, twice")


def _fill(
    pool: list[_Worker],
    waiting: deque[_Try],
    order: ModelOrder,
    options: ScoreOptions,
    count: int,
) -> None:
    """Start processes for those that have ended, where there is work for them."""
    idle = [worker for worker in pool if worker.given is None]
    for worker in idle:
        if worker.ready and waiting:
            worker.give(waiting.popleft())
    coming = sum(not worker.ready for worker in pool)
    while len(pool) < count and coming < len(waiting):
        pool.append(_Worker(order, options))
        coming += 1


def _end(pool: Sequence[_Worker]) -> None:
    for worker in pool:
        worker.stop()
    until = time.monotonic() + _END_SECONDS
    for worker in pool:
        worker.kill(max(0.0, until - time.monotonic()))


def _error(kind: str, detail: str, field: str | None) -> GpfnError:
    found: Any = getattr(errors, kind, SetupError)
    try:
        error: GpfnError = found(detail, field=field)
    except TypeError:  # it is made of other things
        error = SetupError(detail, field=field)
    return error
