"""The process that scores files for another one: it opens the model once, and asks for work.

Orders come and reports go over one socket. It ends when the socket does, so that nothing goes
on when who has started it is gone, in whatever way.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from gpfn.data.scorer import Scorer
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions, score_file
from gpfn.data.seam import Extent
from gpfn.errors import GpfnError, escaped

__all__ = ["TOLD_EVERY", "scored", "work"]

TOLD_EVERY = 0.2
"""Seconds between two reports of progress."""
_LAST_SECONDS = 1.0


def work(number: int) -> None:
    """Be the process; ``number`` is the descriptor of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started this one decides
    signal.signal(signal.SIGTERM, _end)
    link = Connection(number)
    orders: queue.SimpleQueue[ScoreJob] = queue.SimpleQueue()
    order, options = link.recv()
    threading.Thread(target=_listen, args=(link, orders), daemon=True).start()
    try:
        scorer = Scorer(order)
    except GpfnError as error:
        _tell(link, "broken", (type(error).__name__, error.detail, error.field))
        return
    _tell(link, "ready")
    while True:
        report = scored(orders.get(), scorer, options, _Teller(link))
        _tell(link, "done", report._asdict() | {"job": None})


def _tell(link: Connection, kind: str, value: object = None) -> None:
    """Send a message as JSON: who reads it never unpickles what a model's process says."""
    link.send_bytes(json.dumps((kind, value)).encode())


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(1)  # what is half-written is removed on the way


def _listen(link: Connection, orders: queue.SimpleQueue[ScoreJob]) -> None:
    """Take jobs; end the process when nobody is there to give any."""
    try:
        while True:
            orders.put(link.recv())
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_LAST_SECONDS)  # native code may be at work
        os._exit(1)


class _Teller:
    """Sends progress, not too often."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._next = 0.0

    def __call__(self, rows: int, extent: Extent) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TOLD_EVERY
            _tell(self._link, "progress", (rows, extent))


def scored(job: ScoreJob, scorer: Scorer, options: ScoreOptions, told: Any) -> FileReport:
    """Score a file, and return its report whatever happens; an error is in it."""
    try:
        return score_file(job, scorer, options, told)
    except GpfnError as error:
        named = any(escaped(path) in str(error) for path in (job.source, job.target))
        where = "" if named else f"{job.source}: "
        return FileReport(job, error=where + " ".join(str(error).split()))
    except MemoryError:
        return FileReport(job, error=f"{job.source}: not enough memory; try a smaller --chunk")
    except Exception as error:  # noqa: BLE001 - a file's trouble is not that of the others
        told = " ".join(f"unexpected {type(error).__name__}: {error}".split())
        return FileReport(job, error=f"{job.source}: {told}")
