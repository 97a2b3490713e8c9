"""Waiting on the event loop for what another server answers: no thread sits and waits for it.

A thread that waits has to be woken before the loop is, and each takes its time; and so many
calls could wait at once as there are threads.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any

from gpfn.deadline import NEVER

if TYPE_CHECKING:
    from gpfn.http.loop.pool import WorkPool
    from gpfn.http.loop.team import Done
    from gpfn.http.pending import Pending
    from gpfn.serving.engine.batch import Computation

__all__ = ["AnswerWait"]

_MOMENT = 1
"""Milliseconds that the loop waits for an answer, as for short work in a thread."""
_HASTE = 50


class AnswerWait:
    """Waits for the answers that an engine's calls of other servers get; for the loop's thread."""

    def __init__(self) -> None:
        self._haste = 0  # calls that are not waited for here, after one that was in vain

    def once_answered(
        self, computation: Computation, pool: WorkPool, end: Done, *, alone: bool
    ) -> Done:
        """Return what hears of a computation in a thread, and calls ``end`` with its results.

        That is at once, unless it waits for a server. One that is ``alone`` is waited for here.
        """

        def done(result: object, error: BaseException | None) -> None:
            pending = computation.pending
            if pending is None or error is not None:
                end(result, error)
            elif alone and self._comes_soon(pending):
                computation.take_answer()
                end(None, None)
            else:
                _await(computation, pool, end)

        return done

    def _comes_soon(self, pending: Pending[Any]) -> bool:
        """Wait a moment: to have the loop watch a connection takes longer than most answers."""
        if self._haste:
            self._haste -= 1
            return False
        poll = select.poll()
        poll.register(pending.fileno(), select.POLLIN)
        come = bool(poll.poll(_MOMENT)) and pending.has_come()
        self._haste = 0 if come else _HASTE
        return come


def _await(computation: Computation, pool: WorkPool, done: Done) -> None:
    """Have an answer that has come as a whole read here, and any other by a thread of the pool.

    That may be large, or come slowly.
    """
    pending = computation.pending
    assert pending is not None, "there is something to wait for"  # noqa: S101
    loop, descriptor = asyncio.get_running_loop(), pending.fileno()

    def come() -> None:
        loop.remove_reader(descriptor)
        if pending.has_come():
            computation.take_answer()
            done(None, None)
            return
        try:
            pool.submit(computation.take_answer, NEVER, done)
        except Exception as error:  # noqa: BLE001 - too many wait: every request is answered
            done(None, error)

    loop.add_reader(descriptor, come)
