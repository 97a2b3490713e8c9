"""A training in a process of its own: what it takes of memory is given back when it ends.

The process is a new interpreter, so nothing of the parent's threads or locks is in it. It ends by
SIGTERM with all its clean-ups, and by itself when the parent is gone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from gpfn.errors import GpfnError

__all__ = ["TrainOnce", "Trained", "TrainingEnded", "TrainingRefused", "train_in_child"]

_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_LOOK = 0.2  # seconds between looks whether it is to end
_MOST_TOLD = 16 << 20


class Trained(NamedTuple):
    """What a training has left in its folder: the model's name there, and what it says of it."""

    model: str
    summary: str
    metrics: Mapping[str, Any]


TrainOnce = Callable[[Sequence[Path], Path], Trained]
"""Trains on files, into a folder that is there and empty; a picklable function.

It raises SetupError for data that cannot be trained on, whose text names the file.
"""


class TrainingRefused(Exception):
    """The data cannot be trained on; the text says where and why."""


class TrainingEnded(Exception):
    """A training was killed, or has crashed: its data may be good."""


def train_in_child(
    train: TrainOnce, files: Sequence[Path], out: Path, stopped: Callable[[], bool]
) -> Trained | None:
    """Run a training to its end; None when ``stopped`` said so before.

    Raises TrainingRefused with the training's own words, and TrainingEnded when it has crashed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(train, [*files], out, theirs))
    with ours:
        process.start()
        theirs.close()
        try:
            while not wait([ours, process.sentinel], _LOOK):
                if stopped():
                    return None
            told = b""
            with suppress(EOFError, OSError):  # it has ended without a word
                told = ours.recv_bytes(_MOST_TOLD)
            process.join(_GRACE)
            return _result(told, process.exitcode)
        finally:
            _end(process)


def _end(process: Any) -> None:
    if process.is_alive():
        process.terminate()
        process.join(_GRACE)
    if process.is_alive():
        process.kill()
    process.join()
    process.close()


def _result(told: bytes, code: int | None) -> Trained:
    if told:  # JSON, not a pickle: the child has read files of others
        trained, refusal = json.loads(told)
        if trained is None:
            raise TrainingRefused(refusal)
        return Trained(*trained)
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    raise TrainingEnded(f"the training's process ended by {how} and has left no model")


def _work(train: TrainOnce, files: list[Path], out: Path, theirs: Connection) -> None:
    """Be the child: train, and send what came of it in one message at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent acts
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.dup2(2, 1)  # the parent's standard output is for its own words
    try:
        trained = train(files, out)
        answer = json.dumps((trained._replace(metrics=dict(trained.metrics)), ""))
    except GpfnError as error:
        answer = json.dumps((None, str(error)))
    theirs.send_bytes(answer.encode())


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(_GRACE)
        os.kill(os.getpid(), signal.SIGKILL)
