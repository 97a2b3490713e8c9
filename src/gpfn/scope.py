"""What the requests that one call makes to other servers share: they end with it, and are timed.

``SCOPE`` is that of the call which is being computed, None where nobody would end or time it.
Whoever computes in a thread sets it before each call; there it holds for that thread alone.

What a server says of its own time comes in ``Server-Timing`` (https://www.w3.org/TR/server-timing/),
where ``prepare.compute`` is the time of ``compute`` within ``prepare``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["SCOPE", "TIMINGS_LINE", "CallScope", "Took", "read_server_timing", "server_timing"]

TIMINGS_LINE = b"\r\nX-Timings: on"
"""The line of a request's head that asks for the times of the server."""

_MOST_TIMINGS = 256
_LONGEST_TIMINGS = 16 << 10
_ENTRY = re.compile(r"\s*([A-Za-z0-9_.-]{1,200});dur=([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*")


class Took(NamedTuple):
    """How long something took, in seconds; ``name`` leads to it: ``prepare.compute``."""

    name: str
    seconds: float


class CallScope:
    """One call's; safe for threads. ``timings`` is where times are noted, if they are wanted.

    >>> scope = CallScope([])
    >>> scope.within("prepare").note("compute", 0.5)
    >>> scope.timings
    [Took(name='prepare.compute', seconds=0.5)]
    """

    __slots__ = ("_aborts", "cancelled", "path", "timings")

    def __init__(self, timings: list[Took] | None = None, path: str = "") -> None:
        self.cancelled = False
        self.path = path
        self.timings = timings
        self._aborts: list[Callable[[], object]] = []

    def within(self, name: str) -> CallScope:
        """Return the scope of a part of it, which ends when this ends."""
        part = CallScope(self.timings, f"{self.path}{name}.")
        self.watch(part.cancel)
        return part

    def watch(self, abort: Callable[[], object]) -> None:
        """Have ``abort`` called when this is cancelled, at once if it is already."""
        self._aborts.append(abort)
        if self.cancelled:
            abort()

    def forget(self, abort: Callable[[], object]) -> None:
        """Do not call it any more; it may have been called."""
        if abort in self._aborts:
            self._aborts.remove(abort)

    def cancel(self) -> None:
        """End what this call waits for: nobody wants it any more."""
        self.cancelled = True
        for abort in [*self._aborts]:
            abort()

    def note(self, name: str, seconds: float) -> None:
        """Note how long something took, when that is wanted."""
        if self.timings is not None and len(self.timings) < _MOST_TIMINGS:
            self.timings.append(Took(self.path + name, seconds))

    def note_told(self, header: str) -> None:
        """Note what a server told of itself in ``Server-Timing``."""
        for took in read_server_timing(header):
            self.note(took.name, took.seconds)


SCOPE: ContextVar[CallScope | None] = ContextVar("gpfn.scope", default=None)


def server_timing(timings: Sequence[Took]) -> str:
    """Return the value of a ``Server-Timing`` header; in it are milliseconds, to a microsecond.

    >>> server_timing([Took("compute", 0.0125)])
    'compute;dur=12.500'
    """
    return ", ".join(f"{took.name};dur={took.seconds * 1000:.3f}" for took in timings)


def read_server_timing(header: str) -> Iterator[Took]:
    """Give the times in a ``Server-Timing`` header; what cannot be read is left out."""
    for entry in header[:_LONGEST_TIMINGS].split(",")[:_MOST_TIMINGS]:
        found = _ENTRY.fullmatch(entry)
        if found:
            yield Took(found[1], float(found[2]) / 1000)
