"""Stages of a graph with branches: those that need nothing of each other run at once.

The calling thread looks after all of them. When one fails, the others are cancelled and not
waited for: what they ask of servers is broken off, and what computes here is forgotten. Of
several that end at the same time a failure counts first, and of failures that of the stage
that stands first: the same call has the same outcome.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded
from gpfn.models.pipeline.opened import OpenStage
from gpfn.scope import SCOPE, CallScope

if TYPE_CHECKING:
    from gpfn.models.signature import Array

    _Arrays = Mapping[str, Array]
    _Compute = Callable[[OpenStage], _Arrays]

__all__ = ["run_branches"]

_MOST_THREADS = 64
"""Stages of one call that run at once."""


def run_branches(
    stages: Sequence[OpenStage], compute: _Compute, results: dict[str, _Arrays], deadline: Deadline
) -> None:
    """Put what every stage gives into ``results``, which has the pipeline's inputs."""
    outer = SCOPE.get()
    scope = CallScope() if outer is None else outer.within("")
    token = SCOPE.set(scope)
    try:
        _run([*stages], compute, results, deadline)
    except BaseException:
        scope.cancel()
        raise
    finally:
        SCOPE.reset(token)
        if outer is not None:
            outer.forget(scope.cancel)


def _run(
    waiting: list[OpenStage], compute: _Compute, results: dict[str, _Arrays], deadline: Deadline
) -> None:
    running: dict[Future[_Arrays], OpenStage] = {}
    while waiting or running:
        ready = [each for each in waiting if results.keys() >= {*each.stage.sources}]
        for each in ready[: _MOST_THREADS - len(running)]:
            waiting.remove(each)
            running[_begun(compute, each)] = each
        for each, found in _ended(running, deadline):
            results[each.name] = found


def _begun(compute: _Compute, each: OpenStage) -> Future[_Arrays]:
    """Compute a stage in a thread that no process waits for: it may hang."""
    future: Future[_Arrays] = Future()
    context = copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(compute, each))
        except BaseException as error:  # noqa: BLE001 - raised by who waits
            future.set_exception(error)

    threading.Thread(target=work, name=f"gpfn stage {each.name}", daemon=True).start()
    return future


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
            raise error
    return [(running.pop(future), future.result()) for future in in_place]
