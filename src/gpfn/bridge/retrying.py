"""When a call that failed is made again, and when its destination is left alone.

Waits grow by a factor and are drawn between half and all of that ("equal jitter"), so that
events that failed together do not come back together. A destination's own Retry-After is kept
to where it is longer. A circuit stands before each destination: when calls fail one after the
other it opens, nothing is called for a while, and then a single call finds out whether it is
there again (M. Nygard, "Release It!").
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from time import time
from typing import NamedTuple

__all__ = ["Circuit", "RetryPolicy", "is_retried", "retry_after"]

_RETRIED = frozenset((408, 425, 429))
_LONGEST_TOLD = 3600.0
"""Seconds of a Retry-After that are believed."""


class RetryPolicy(NamedTuple):
    """How often an event is tried, and the seconds between.

    ``attempts`` counts all calls. The wait before the second is ``first``, each further one is
    ``factor`` times as long, none is over ``most``.
    """

    attempts: int = 10
    first: float = 0.2
    factor: float = 2.0
    most: float = 60.0

    def wait(self, attempts: int, told: float = 0.0) -> float:
        """Return the seconds before the next call, after so many and with what was told."""
        power = min(attempts - 1, 64)  # more would be no number
        longest = min(self.first * self.factor**power, self.most)
        return max(told, longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def is_retried(status: int) -> bool:
    """Say whether a call that was answered with this status may go better a second time.

    408 Request Timeout, 425 Too Early, 429 Too Many Requests, and every 5xx but 501 and 505,
    which say what the server cannot do at all.
    """
    return status in _RETRIED or (status >= 500 and status not in (501, 505))


def retry_after(text: str | None) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3); 0 for none."""
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), _LONGEST_TOLD)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_TOLD)


class Circuit:
    """Whether a destination is called: closed is yes, open is not before ``until``.

    ``failures`` in a row open it. A connection that was refused is as good as all of them:
    nothing listens there. After ``first`` seconds one call is let through, the probe; each that
    fails doubles the time to the next, up to ``most``.
    """

    __slots__ = ("_first", "_limit", "_most", "_pause", "_probing", "failures", "until")

    def __init__(self, failures: int = 20, first: float = 1.0, most: float = 30.0) -> None:
        self._limit = failures
        self._first = self._pause = first
        self._most = most
        self._probing = False
        self.failures = 0
        self.until = 0.0
        """The time on the monotonic clock of the next probe; 0 while it is closed."""

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self.until > 0.0

    def room(self, now: float, wanted: int) -> int:
        """Return how many of the calls that are ``wanted`` may begin now."""
        if not self.is_open:
            return wanted
        if self._probing or now < self.until:
            return 0
        return min(wanted, 1)

    def begun(self) -> None:
        """A call begins: of an open circuit it is the probe."""
        self._probing = self.is_open

    def answered(self) -> bool:
        """The destination answered. Returns whether that closed the circuit."""
        closed = self.is_open
        self.failures, self.until, self._probing, self._pause = 0, 0.0, False, self._first
        return closed

    def failed(self, now: float, *, refused: bool) -> bool:
        """A call failed. Returns whether that opened the circuit."""
        self.failures += 1
        if self.is_open:
            if self._probing:
                self._probing = False
                self._pause = min(self._pause * 2, self._most)
                self.until = now + self._pause
            return False
        if not refused and self.failures < self._limit:
            return False
        self.until = now + self._pause
        return True
