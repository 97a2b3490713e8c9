"""How many requests a client may make in a while, in TFaaS's notation.

``100-S`` is a hundred a second, counted in windows that begin with a client's first request. A
client is an address: what a request says of itself is not believed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from gpfn.errors import CallerError, SetupError

__all__ = ["LimitExceeded", "Rate", "RateLimit"]

_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400}
_MOST_CLIENTS = 10_000
_NOTATION = re.compile(r"([1-9][0-9]{0,8})-([SMHD])")


class LimitExceeded(CallerError):
    """A client has asked more often than it may; ``limit`` and ``reset`` are for its headers."""

    status = 429
    type = "limit-exceeded"
    title = "Limit exceeded"

    def __init__(self, limit: int, reset: int) -> None:
        super().__init__("Limit exceeded")
        self.limit = limit
        self.reset = reset


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    most: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``N-S``, ``N-M``, ``N-H`` or ``N-D``. Raises SetupError.

        >>> Rate.parse("100-M")
        Rate(most=100, seconds=60)
        """
        found = _NOTATION.fullmatch(text)
        if found is None:
            told = f"expected N-S, N-M, N-H or N-D, such as 100-S, got {text!r:.40}"
            raise SetupError(told, field="--rate")
        return cls(int(found[1]), _SECONDS[found[2]])


class RateLimit:
    """Counts the requests of each client."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.time) -> None:
        self._rate = rate
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # when one began, and the requests in it

    def check(self, client: str) -> None:
        """Count a request. Raises LimitExceeded."""
        now = self._clock()
        began, count = self._windows.get(client, (now, 0))
        if now - began >= self._rate.seconds:
            began, count = now, 0
        if count >= self._rate.most:
            raise LimitExceeded(self._rate.most, int(began + self._rate.seconds))
        if len(self._windows) >= _MOST_CLIENTS and client not in self._windows:
            self._forget(now)
        self._windows[client] = began, count + 1

    def give_back(self, client: str) -> None:
        """Count a request no more, which has to be made once more."""
        began, count = self._windows.get(client, (0.0, 0))
        if count:
            self._windows[client] = began, count - 1

    def _forget(self, now: float) -> None:
        """Forget windows that have ended; when there are none, the one that began first."""
        ended = [c for c, (began, _) in self._windows.items() if now - began >= self._rate.seconds]
        for client in ended or [next(iter(self._windows))]:
            del self._windows[client]
