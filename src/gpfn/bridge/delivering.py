"""Sends what has to arrive: replies and dead letters, again and again until they do.

A record is done when its replies, or its dead letter, are confirmed by the queue, and not
before. What a queue refuses for its size, or for what it is, will be refused for ever: a reply
becomes a dead letter then, and a dead letter is sent with less added. Everything else is tried
again, for as long as it takes: what cannot be written down must not be forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from gpfn.bridge.dead_letter import Cause, shortened
from gpfn.bridge.retrying import RetryPolicy
from gpfn.errors import BackendError, CallerError, GpfnError, SetupError

if TYPE_CHECKING:
    from gpfn.bridge.figures import Figures
    from gpfn.bridge.intake import Work
    from gpfn.bridge.record import Outgoing
    from gpfn.bridge.seam import Sink
    from gpfn.log import Log

__all__ = ["Delivering"]

_Refused: TypeAlias = Callable[[GpfnError], None]
_DEAD = "dead"
_TELL_SECONDS = 5.0
_AGAIN = RetryPolicy(first=0.1, most=10.0)


class Delivering:
    """The way out of the bridge.

    ``settled`` is told of each work of which something was delivered; ``failed`` of an error
    that nothing helps against.
    """

    def __init__(
        self,
        sink: Sink,
        dead_letter: str,
        figures: Figures,
        log: Log,
        *,
        settled: Callable[[Work], None],
        failed: Callable[[GpfnError], None],
    ) -> None:
        self._sink = sink
        self._topic = dead_letter
        self._figures = figures
        self._log = log
        self._settled = settled
        self._failed = failed
        self._quiet_until = 0.0
        self.stuck = False
        """Whether the queue did not take what was sent last."""

    def reply(
        self, work: Work, outgoing: Outgoing, cause: Callable[[], Cause], outcome: str = ""
    ) -> None:
        """Send a reply; ``cause`` tells what its dead letter would say, ``outcome`` is counted."""

        def refused(error: GpfnError) -> None:
            reason = f"the reply cannot be sent: {error}"
            self.bury(work, cause()._replace(outcome="no-reply", reason=reason))
            self._end(work)

        self._begin(work, outgoing, refused, outcome)

    def bury(self, work: Work, cause: Cause) -> None:
        """Write a record to the dead-letter topic."""
        work.buried = True
        self._figures.count(cause.outcome)
        where = f"{work.record.topic}/{work.record.partition}@{work.record.offset}"
        text = f"{where}: {cause.outcome}: {cause.reason}"
        self._log.warning(text, call=cause.event_id, trace=cause.trace)
        if not self._topic:
            detail = f"{where}: {cause.reason}; the bridge stops, for there is no dead-letter topic"
            work.dropped = True  # it is not done, and must come again
            self._failed(BackendError(detail))
            return
        smaller = iter(shortened(self._topic, work.record, cause))

        def refused(error: GpfnError) -> None:
            outgoing = next(smaller, None)
            if outgoing is None:
                self._give_up(work, error)
            else:
                self._send(_Delivery(work, outgoing, refused, _DEAD))

        self._begin(work, next(smaller), refused, _DEAD)

    def _begin(self, work: Work, outgoing: Outgoing, refused: _Refused, outcome: str) -> None:
        work.left += 1
        work.busy += 1
        self._send(_Delivery(work, outgoing, refused, outcome))

    def _send(self, delivery: _Delivery) -> None:
        self._sink.send(delivery.outgoing, partial(self._sent, delivery))

    def _sent(self, delivery: _Delivery, error: GpfnError | None) -> None:
        self.stuck = error is not None and not isinstance(error, CallerError)
        if error is None:
            if delivery.outcome == _DEAD:
                self._figures.add("dead")
            elif delivery.outcome:
                self._figures.count(delivery.outcome)
            self._end(delivery.work)
        elif isinstance(error, CallerError):  # too large, or what its topic never takes
            delivery.refused(error)
        elif isinstance(error, SetupError):
            self._give_up(delivery.work, error)  # trying again cannot help: somebody has to
        elif delivery.work.dropped:
            self._end(delivery.work)  # somebody else has the record by now
        else:
            self._tell(f"{delivery.outgoing.topic}: not delivered, sent again: {error}")
            delivery.attempts += 1
            wait = _AGAIN.wait(delivery.attempts)
            asyncio.get_running_loop().call_later(wait, self._send, delivery)

    def _give_up(self, work: Work, error: GpfnError) -> None:
        """Stop the bridge: the record is not done, and comes again when that was mended."""
        work.dropped = True
        self._end(work)
        self._failed(error)

    def _tell(self, text: str) -> None:
        """Log what keeps records from being delivered: once in a while, not for each of them."""
        now = monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _TELL_SECONDS
            self._log.error(text)

    def _end(self, work: Work) -> None:
        work.left -= 1
        work.busy -= 1
        self._settled(work)


class _Delivery:
    """A record on its way to the queue."""

    __slots__ = ("attempts", "outcome", "outgoing", "refused", "work")

    def __init__(self, work: Work, outgoing: Outgoing, refused: _Refused, outcome: str) -> None:
        self.work = work
        self.outgoing = outgoing
        self.refused = refused
        """Called when the queue will never take it as it is."""
        self.outcome = outcome
        """What is counted when the queue has it."""
        self.attempts = 0
