"""Versions that hang, or end the process that computes them, get processes of their own."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError
from gpfn.serving.engine.making import Mark

if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.serving.library import Library
    from gpfn.serving.opener import Opener
    from gpfn.serving.supervision import Supervision
    from gpfn.serving.version import ServedVersion
    from gpfn.serving.wanted import ModelSource

__all__ = ["Isolation"]


class Isolation:
    """What one process knows of such versions. Methods are for the loop's thread.

    ``supervision`` notes on a board which version is being computed; without it, only calls
    that hang in threads are noticed.
    """

    def __init__(self, library: Library, opener: Opener, log: Log) -> None:
        self.supervision: Supervision | None = None
        self._library = library
        self._opener = opener
        self._log = log
        self._losses = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        """Isolate what has cost a worker since the last look."""
        supervision = self.supervision
        if supervision is None or supervision.board.changes == self._losses:
            return
        self._losses = supervision.board.changes
        for found in self._library.all_open():
            if supervision.has_cost(found.mark):
                self.isolate(found)

    def mark(self, source: ModelSource) -> Mark:
        """Return what notes that a source is being computed."""
        return Mark() if self.supervision is None else self.supervision.mark(source)

    def opening(self) -> AbstractContextManager[None]:
        """Allow the loop to stand while a model is opened in a thread."""
        return nullcontext() if self.supervision is None else self.supervision.opening()

    def settled(self, source: ModelSource) -> ModelSource:
        """Return a source as it is to be opened: in processes, if it has cost a worker."""
        supervision = self.supervision
        if supervision is None or not supervision.has_cost(supervision.mark(source)):
            return source
        return source._replace(serving=source.serving._replace(processes=True))

    def end(self) -> None:
        """Let the loop end in its own time."""
        if self.supervision is not None:
            self.supervision.end()

    def isolate(self, found: ServedVersion) -> None:
        """Let a version compute in processes of its own, once these have opened it."""
        if found.source.uri and not found.isolated:
            found.isolated = True
            told = f"{found.name} {found.version} hangs or ends processes: it gets its own"
            self._log.warning(told)
            task = asyncio.get_running_loop().create_task(self._move(found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _move(self, found: ServedVersion) -> None:
        try:
            model = await asyncio.to_thread(self._opener.in_processes, found.source)
        except (GpfnError, OSError) as error:
            self._log.failure(error)
        else:
            found.move_to(model)  # what hangs is left alone: closing it would wait for it
