"""Stages of a graph with branches: those that need nothing of each other run at once.

The calling thread looks after all of them. When one fails, the others are cancelled and not
waited for: what they ask of servers is broken off, and what computes here is forgotten. Of
several that end at the same time a failure counts first, and of failures that of the stage
that stands first: the same call has the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded
from gpfn.models.pipeline.opened import OpenStage
from gpfn.scope import SCOPE, CallScope

if TYPE_CHECKING:
    from gpfn.models.signature import Array

    _Arrays = Mapping[str, Array]

__all__ = ["Branches"]

_MOST_THREADS = 64


class Branches:
    """Runs stages at once; every pipeline has its own, so that one may be a stage of another."""

    def __init__(self, stages: int) -> None:
        self._most = min(_MOST_THREADS, 8 * stages)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def run(
        self,
        stages: Sequence[OpenStage],
        compute: Callable[[OpenStage], _Arrays],
        results: dict[str, _Arrays],
        deadline: Deadline,
    ) -> None:
        """Put what every stage gives into ``results``, which has the pipeline's inputs."""
        outer = SCOPE.get()
        scope = CallScope()
        if outer is not None:
            scope = CallScope(outer.timings, outer.path)
            outer.watch(scope.cancel)
        token = SCOPE.set(scope)
        try:
            _run(self._threads(), list(stages), compute, results, deadline)
        except BaseException:
            scope.cancel()
            raise
        finally:
            SCOPE.reset(token)
            if outer is not None:
                outer.forget(scope.cancel)

    def close(self) -> None:
        """Let its threads end; what they compute is not waited for."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._most, "gpfn stage")
            return self._pool


def _run(
    pool: ThreadPoolExecutor,
    waiting: list[OpenStage],
    compute: Callable[[OpenStage], _Arrays],
    results: dict[str, _Arrays],
    deadline: Deadline,
) -> None:
    running: dict[Future[_Arrays], OpenStage] = {}
    while waiting or running:
        for each in [one for one in waiting if results.keys() >= {*one.stage.sources}]:
            waiting.remove(each)
            running[pool.submit(copy_context().run, compute, each)] = each
        for each, found in _ended(running, deadline):
            results[each.name] = found


def _ended(
    running: dict[Future[_Arrays], OpenStage], deadline: Deadline
) -> list[tuple[OpenStage, _Arrays]]:
    """Return the stages that have ended, once some have. Raises the failure of the first."""
    left = None if deadline is NEVER else deadline.remaining()
    ended = wait(running, left, FIRST_COMPLETED).done
    if not ended:
        names = ", ".join(each.name for each in running.values())
        raise DeadlineExceeded(f"stage {names}: the time was up while it computed")
    in_place = [future for future in running if future in ended]  # as they stand
    for future in in_place:
        error = future.exception()
        if error is not None:
            _forget(running)
            raise error
    return [(running.pop(future), future.result()) for future in in_place]


def _forget(running: Mapping[Future[_Arrays], OpenStage]) -> None:
    for future in running:
        future.cancel()
