"""What the requests that one call makes to other servers share: they end with it, and are timed.

``SCOPE`` is that of the call which is being computed, None where nobody would end or time it.
Whoever computes in a thread sets it before each call; there it holds for that thread alone.

What a server says of its own time comes in ``Server-Timing`` (https://www.w3.org/TR/server-timing/),
where ``prepare.compute`` is the time of ``compute`` within ``prepare``.
"""

from __future__ import annotations

import re
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from typing import NamedTuple

from gpfn.errors import DeadlineExceeded

__all__ = [
    "MOST_HOPS",
    "SCOPE",
    "CallScope",
    "Took",
    "hops_of",
    "read_server_timing",
    "server_timing",
]

MOST_HOPS = 16
"""Servers that one call may go through, each calling the next: more call each other in a circle."""

_MOST_TIMINGS = 256
_LONGEST_TIMINGS = 16 << 10
_ENTRY = re.compile(r"\s*([A-Za-z0-9_.-]{1,200});dur=([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*")


class Took(NamedTuple):
    """How long something took, in seconds; ``name`` leads to it: ``prepare.compute``."""

    name: str
    seconds: float


class CallScope:
    """One call's; safe for threads. ``timings`` is where times are noted, if they are wanted.

    ``hops`` is how many servers have called the next one before this call.

    >>> scope = CallScope([])
    >>> scope.within("prepare").note("compute", 0.5)
    >>> scope.timings
    [Took(name='prepare.compute', seconds=0.5)]
    """

    __slots__ = ("_aborts", "_lock", "cancelled", "hops", "lines", "path", "timings")

    def __init__(self, timings: list[Took] | None = None, path: str = "", *, hops: int = 0) -> None:
        self.cancelled = False
        self.hops = hops
        self.path = path
        self.timings = timings
        self.lines = _lines(hops, timed=timings is not None)
        """What is added to the head of each request."""
        self._aborts: list[Callable[[], object]] = []
        self._lock = allocate_lock()

    def within(self, name: str) -> CallScope:
        """Return the scope of a part of it, which ends when this ends."""
        part = CallScope(self.timings, f"{self.path}{name}." if name else self.path, hops=self.hops)
        self.watch(part.cancel)
        return part

    def watch(self, abort: Callable[[], object]) -> None:
        """Have ``abort`` called when this is cancelled, at once if it is already."""
        with self._lock:
            self._aborts.append(abort)
            if self.cancelled:
                abort()

    def forget(self, abort: Callable[[], object]) -> None:
        """Do not call it any more; it may have been called."""
        with self._lock:  # never while it is being called: what it ends may be another's then
            if abort in self._aborts:
                self._aborts.remove(abort)

    def cancel(self) -> None:
        """End what this call waits for: nobody wants it any more."""
        with self._lock:
            self.cancelled = True
            for abort in self._aborts:
                abort()

    def check(self) -> None:
        """Raise DeadlineExceeded when nobody waits any more: nothing is to be begun then."""
        if self.cancelled:
            raise DeadlineExceeded("nobody waits for the answer any more")

    def note(self, name: str, seconds: float) -> None:
        """Note how long something took, when that is wanted."""
        if self.timings is not None and len(self.timings) < _MOST_TIMINGS:
            self.timings.append(Took(self.path + name, seconds))

    def note_told(self, header: str) -> None:
        """Note what a server told of itself in ``Server-Timing``."""
        for took in read_server_timing(header):
            self.note(took.name, took.seconds)


@cache
def _lines(hops: int, *, timed: bool) -> bytes:
    asked = b"\r\nX-Timings: on" if timed else b""
    return asked + (b"\r\nX-Hops: %d" % hops if hops else b"")


def hops_of(header: str) -> int:
    """Return how many servers a request has come through, by its X-Hops header.

    What is no number of theirs counts as too many.
    """
    return int(header) if header.isascii() and header.isdigit() and len(header) < 4 else MOST_HOPS


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
