"""From a record to the events' tasks, or to the reason why there are none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.bridge.dead_letter import Cause
from gpfn.bridge.lanes import Task
from gpfn.bridge.unreadable import reason_of
from gpfn.deadline import NEVER
from gpfn.errors import CallerError, InvalidEvent
from gpfn.events.kafka import read_record, wrapped
from gpfn.log import trace_id
from gpfn.timestamps import epoch_seconds

if TYPE_CHECKING:
    from gpfn.bridge.caller import RouteCaller
    from gpfn.bridge.intake import Work
    from gpfn.bridge.record import Record
    from gpfn.bridge.remembering import Memory
    from gpfn.bridge.spec import Delivery
    from gpfn.events.event import Event
    from gpfn.limits import Limits

__all__ = ["HOPS", "Reader", "hops_of", "named"]

HOPS = "bridgehops"
"""The extension that counts how many bridges a reply went over."""


class Reader:
    """Reads records as events, and finds the routes that take them."""

    def __init__(
        self, delivery: Delivery, limits: Limits, source: str, memory: Memory | None = None
    ) -> None:
        self._delivery = delivery
        self._limits = limits
        self._source = source
        self._memory = memory

    def tasks(
        self, work: Work, callers: Sequence[RouteCaller]
    ) -> list[tuple[RouteCaller, Task]] | Cause | None:
        """Return a record's tasks with their routes, or why it is a dead letter.

        None says that it is the second coming of an event that was dealt with.
        """
        record = work.record
        broken = reason_of(record)
        if broken is not None:
            return Cause("unreadable", broken, attempts=record.attempts)
        try:
            event = self._event(record)
            if event is None:
                return Cause("unreadable", "the record is no event", attempts=record.attempts)
            if self._memory is not None and self._memory.knows(event):
                return None
            if hops_of(event) >= self._delivery.hops:
                reason = f"the event went over {hops_of(event)} bridges (delivery.hops)"
                return named(Cause("looped", reason, attempts=record.attempts), event)
            return self._routed(work, event, callers)
        except CallerError as error:
            return Cause("unreadable", str(error), code=error.status, attempts=record.attempts)

    def _event(self, record: Record) -> Event | None:
        event = read_record(record.value, record.headers, self._limits)
        if event is not None or not self._delivery.wrap:
            return event
        parts = record[:6]
        return wrapped(*parts, self._source, time=record.time, limits=self._limits)

    def _routed(
        self, work: Work, event: Event, callers: Sequence[RouteCaller]
    ) -> list[tuple[RouteCaller, Task]] | Cause:
        found: list[tuple[RouteCaller, Task]] = []
        for caller in callers:
            if caller.spec.matches(event):
                late_at = _late_at(event, caller.spec.max_age)
                found.append((caller, Task(work, event, late_at)))
                if not self._delivery.to_all:
                    break
        return found or named(Cause("unrouted", f"no route takes {_shown(event)}"), event)


def named(cause: Cause, event: Event) -> Cause:
    """Return a cause with the event's id and trace."""
    parent = event.attribute("traceparent")
    trace = trace_id((("traceparent", str(parent)),)) if parent is not None else ""
    return cause._replace(event_id=event.id, trace=trace)


def hops_of(event: Event) -> int:
    """Return over how many bridges an event went; what is no number counts as none."""
    hops = event.attribute(HOPS)
    if isinstance(hops, str):
        return int(hops) if hops.isascii() and hops.isdigit() and len(hops) < 9 else 0
    return max(hops, 0) if type(hops) is int else 0


def _late_at(event: Event, max_age: float) -> float:
    """Return the time on the monotonic clock after which an event is late.

    Raises InvalidEvent for an ``expirytime`` that is no time.
    """
    expiry = event.attribute("expirytime")
    if expiry is None and max_age == NEVER.at:
        return NEVER.at
    latest = NEVER.at
    if expiry is not None:
        latest = _epoch(str(expiry), "expirytime")
    if max_age != NEVER.at and event.time is not None:
        latest = min(latest, _epoch(event.time, "time") + max_age)
    return time.monotonic() + (latest - time.time())


def _epoch(text: str, field: str) -> float:
    try:
        return epoch_seconds(text)
    except ValueError:
        raise InvalidEvent(f"not a time: {text!r:.60}", field=field) from None


def _shown(event: Event) -> str:
    """Return what routes look at, for people."""
    destination = event.attribute("destination")
    return f"type {event.type!r:.80}" + (
        f", destination {destination!r:.80}" if destination is not None else ""
    )
