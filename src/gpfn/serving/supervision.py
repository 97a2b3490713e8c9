"""The workers of a model server, and the process that looks after them.

A worker whose loop stands, or that a model has ended, is replaced; the version that it was
computing gets processes of its own from then on. What keeps the first workers from serving is
raised in the process that started them, as if there were none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from mmap import mmap
from typing import TYPE_CHECKING, NoReturn

import orjson

from gpfn.errors import GpfnError, SetupError
from gpfn.http.loop.pulse import Pulse
from gpfn.http.loop.workers import BROKEN, Workers
from gpfn.serving.board import Board
from gpfn.serving.engine.making import Mark

if TYPE_CHECKING:
    from gpfn.http.loop.workers import Loss
    from gpfn.log import Log
    from gpfn.serving.wanted import ModelSource

__all__ = ["Supervision"]

_OPENING_SECONDS = 30.0
"""How long opening a model may keep the interpreter to itself: loading a large library does."""
_MOST_TOLD = 4096
_MOST_DETAIL = 600  # characters, each of which may take six bytes of JSON


class _BoardMark(Mark):
    """Notes on the board of all workers what is being computed."""

    def __init__(self, board: Board, identity: str) -> None:
        self._board = board
        self.row = board.row
        self.slot = board.slot(identity)

    def enter(self) -> int:
        return self._board.enter(self.slot)

    def leave(self, place: int) -> None:
        self._board.leave(place)


class Supervision:
    """Made before the processes part; `begin` and `begun` are for workers."""

    def __init__(self, processes: int, stall_seconds: float, log: Log) -> None:
        self.board = Board(processes)
        self._pulse = Pulse(processes, stall_seconds)
        self._processes = processes
        self._log = log
        self._told = mmap(-1, _MOST_TOLD)  # 1: it has served; or why it could not begin, as JSON

    def run(self, work: Callable[[int], object], grace: float, ending: Callable[[], object]) -> int:
        """Have workers work until SIGTERM; returns the exit code.

        ``ending`` is called here before they are told to end. Raises GpfnError when they could
        not begin.
        """
        workers = Workers(
            self._processes,
            work,
            self._log,
            grace,
            pulse=self._pulse,
            lost=self._lost,
            ending=ending,
        )
        code = workers.run()
        if code and not self.has_begun:
            self._raise_told()
        return code

    @property
    def has_begun(self) -> bool:
        """Whether any worker has served."""
        return self._told[:1] == b"1"

    def begin(self, number: int) -> None:
        """Be a worker of that number; on its loop."""
        self._pulse.begin(number)

    def begun(self) -> None:
        """Take note that this worker serves."""
        self._told[:1] = b"1"

    def end(self) -> None:
        """Let the loop end in its own time."""
        self._pulse.end()

    def give_up(self, error: BaseException) -> NoReturn:
        """End this worker, which cannot begin, and have the error raised by who started it."""
        known = error if isinstance(error, GpfnError) else None
        detail = known.detail if known else f"{type(error).__name__}: {error}"
        detail = detail[:_MOST_DETAIL].encode(errors="replace").decode()
        kind = type(error).__name__
        text = orjson.dumps([kind, detail, known.field if known else None])
        self._told[: len(text) + 1] = text + b"\0"
        os._exit(BROKEN)

    def opening(self) -> AbstractContextManager[None]:
        """Allow the loop to stand while a model is opened in a thread."""
        return self._pulse.patience(_OPENING_SECONDS)

    def mark(self, source: ModelSource) -> Mark:
        """Return what notes that a source is being computed."""
        return _BoardMark(self.board, "\0".join((*source.key, source.uri)))

    def has_cost(self, mark: Mark) -> bool:
        """Say whether a source has cost any worker."""
        return bool(self.board.cost(mark.slot))

    def _lost(self, number: int, loss: Loss) -> None:
        if slots := self.board.blame(number, loss):
            told = "what it was computing gets processes of its own"
            self._log.error(f"{told} ({len(slots)} of the versions)")

    def _raise_told(self) -> NoReturn:
        text = self._told[:].partition(b"\0")[0]
        try:
            kind, detail, field = orjson.loads(text)
        except (orjson.JSONDecodeError, ValueError):
            raise SetupError("no worker could begin; the log says why") from None
        import gpfn.errors

        found = getattr(gpfn.errors, kind, SetupError)
        plain = issubclass(found, SetupError) and found.__init__ is GpfnError.__init__
        raise (found if plain else SetupError)(detail, field=field)
