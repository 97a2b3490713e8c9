"""The last hour of each model, minute by minute: calls, failures, latency.

It reads the counters that all processes share, so that every process remembers the same. Nothing
is added to a request for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from gpfn.metrics import SECONDS

__all__ = ["MINUTES", "Counted", "History", "Minute", "quantile"]

MINUTES = 60
_MOST_MODELS = 2000
_DURATIONS = 0  # the histogram of `gpfn.serving.statistics` that has the time of each request


class Minute(NamedTuple):
    """What one minute was like; latencies are in seconds, None when nothing was answered."""

    calls: float
    failed: float
    p50: float | None = None
    p99: float | None = None


class _Totalled(Protocol):
    """What is read of `gpfn.serving.statistics.Totals`."""

    @property
    def failures(self) -> float:
        """How many requests failed."""

    @property
    def last(self) -> float:
        """When the last one was answered, in seconds since 1970; 0 for never."""


class Counted(Protocol):
    """The counters of a version; see `gpfn.serving.statistics.Statistics`."""

    def totals(self) -> _Totalled:
        """Return the sums over all processes."""

    def histogram(self, index: int) -> list[float]:
        """Return a histogram: its sum, then the count of each bucket."""


class _Sums(NamedTuple):
    failed: float
    buckets: tuple[float, ...]


_NOTHING = _Sums(0, (0.0,) * (len(SECONDS) + 1))


class History:
    """The hour of each model; ``served`` gives name, version and counters of what is open."""

    def __init__(self, served: Callable[[], Iterable[tuple[str, str, Counted]]]) -> None:
        self._served = served
        self._minute = 0
        self._begun: dict[tuple[str, str], _Sums] = {}
        self._rings: dict[str, deque[tuple[int, Minute]]] = {}

    def tick(self, now: float) -> None:
        """Take note of the time, in seconds of any clock that goes on; each second or so."""
        minute = int(now // 60)
        if minute == self._minute:
            return
        if self._minute:
            self._close(self._minute)
        self._minute = minute
        self._begun = {
            (name, version): _sums(counters) for name, version, counters in self._served()
        }

    def minutes(self, name: str) -> list[Minute]:
        """Return the last hour, the minute that runs being its last."""
        return self._hour(name, self._since())

    def trends(self) -> dict[str, list[float]]:
        """Return the calls of each minute, for every model that had any."""
        running = self._since()
        return {
            name: [minute.calls + minute.failed for minute in self._hour(name, running)]
            for name in {*self._rings, *running}
        }

    def _hour(self, name: str, running: Mapping[str, Minute]) -> list[Minute]:
        first = self._minute - MINUTES + 1
        known = dict(self._rings.get(name, ()))
        known[self._minute] = running.get(name, Minute(0, 0))
        return [known.get(first + index, Minute(0, 0)) for index in range(MINUTES)]

    def _close(self, minute: int) -> None:
        for name, told in self._since().items():
            if told.calls or told.failed:
                if len(self._rings) >= _MOST_MODELS:
                    self._rings.pop(next(iter(self._rings)))
                self._rings.setdefault(name, deque(maxlen=MINUTES)).append((minute, told))
        old = [name for name, ring in self._rings.items() if ring[-1][0] <= minute - MINUTES]
        for name in old:
            del self._rings[name]

    def _since(self) -> dict[str, Minute]:
        """Return what each model did since the minute began."""
        sums: dict[str, _Sums] = {}
        for name, version, counters in self._served():
            more = _less(_sums(counters), self._begun.get((name, version), _NOTHING))
            known = sums.get(name, _NOTHING)
            buckets = tuple(a + b for a, b in zip(known.buckets, more.buckets, strict=True))
            sums[name] = _Sums(known.failed + more.failed, buckets)
        return {name: _minute(each) for name, each in sums.items()}


def quantile(buckets: Sequence[float], share: float) -> float | None:
    """Return a quantile of a histogram of `gpfn.metrics.SECONDS`, between its bounds by share."""
    total = sum(buckets)
    if not total:
        return None
    wanted, below = share * total, 0.0
    for index, count in enumerate(buckets[: len(SECONDS)]):
        if count and below + count >= wanted:
            low = SECONDS[index - 1] if index else 0.0
            return low + (SECONDS[index] - low) * (wanted - below) / count
        below += count
    return SECONDS[-1]


def _minute(sums: _Sums) -> Minute:
    calls = sum(sums.buckets)
    return Minute(calls, sums.failed, quantile(sums.buckets, 0.5), quantile(sums.buckets, 0.99))


def _sums(counters: Counted) -> _Sums:
    return _Sums(counters.totals().failures, tuple(counters.histogram(_DURATIONS)[1:]))


def _less(now: _Sums, then: _Sums) -> _Sums:
    """Return what came since; counters that begin again have all of theirs since then."""
    if now.failed < then.failed or any(
        a < b for a, b in zip(now.buckets, then.buckets, strict=True)
    ):
        return now
    buckets = tuple(a - b for a, b in zip(now.buckets, then.buckets, strict=True))
    return _Sums(now.failed - then.failed, buckets)
