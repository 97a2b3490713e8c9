"""What the bridge counts: for Prometheus, for the table on the screen, and for the end."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.errors import GpfnError
from gpfn.metrics import SECONDS, Metrics, Value

if TYPE_CHECKING:
    from gpfn.bridge.record import Partition
    from gpfn.bridge.seam import Source
    from gpfn.log import Log

__all__ = ["OUTCOMES", "Figures", "RouteFigures"]

OUTCOMES = (
    *("done", "replied", "late", "duplicate"),
    *("refused", "exhausted", "unreadable", "unrouted", "looped", "no-reply"),
)
"""What became of events: the first row are good ends, the second one's are dead letters.

``refused`` is a status that no retry helps against, ``exhausted`` the last failed attempt,
``no-reply`` an answer that is no event or could not be sent on.
"""

_RECENT = 2000
_LAG_SECONDS = 1.0


class _Seconds:
    """How long calls of a route took: a distribution, and the last ones for the screen."""

    def __init__(self, route: str) -> None:
        self._label = f'route="{_label(route)}"'
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum = 0.0
        self.recent: deque[float] = deque(maxlen=_RECENT)

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._sum += seconds
        self.recent.append(seconds)

    def quantiles(self) -> tuple[float, float] | None:
        """Return p50 and p99 in seconds of the last calls; None before there are any."""
        values = sorted(self.recent)
        if not values:
            return None
        return values[len(values) // 2], values[len(values) * 99 // 100]

    def lines(self, name: str) -> list[str]:
        """Return the distribution in Prometheus' text format."""
        counted, lines = 0, []
        for bound, count in zip([*map(str, SECONDS), "+Inf"], self._counts, strict=True):
            counted += count
            lines.append(f'{name}_bucket{{{self._label},le="{bound}"}} {counted}')
        lines.append(f"{name}_sum{{{self._label}}} {self._sum:.9g}")
        return [*lines, f"{name}_count{{{self._label}}} {counted}"]


def _label(text: str) -> str:
    """Return a label's value as the text format has it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class RouteFigures:
    """What is counted of one route."""

    def __init__(self, name: str) -> None:
        self.seconds = _Seconds(name)


class Figures:
    """All counts of a bridge."""

    def __init__(self, routes: Sequence[str]) -> None:
        self.metrics = metrics = Metrics()
        self.routes = [RouteFigures(name) for name in routes]
        self.received = metrics.counter("gpfn_bridge_received_total", "Records that came.")
        self.retries = metrics.counter("gpfn_bridge_retries_total", "Calls to be made again.")
        self.dead = metrics.counter("gpfn_bridge_dead_letters_total", "Dead letters delivered.")
        self.outcomes: Mapping[object, Value] = metrics.counters(
            "gpfn_bridge_events_total", "Events dealt with, by outcome.", "outcome", OUTCOMES
        )
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.totals = {"received": 0, "retries": 0, "dead": 0}
        self.lag: Mapping[Partition, int] = {}
        self.lag_known = True
        """Whether the source told its lag when it was asked last."""
        metrics.texts(self._seconds_lines)

    def count(self, outcome: str) -> None:
        """Count an event by what became of it."""
        self.counts[outcome] += 1
        self.outcomes[outcome].add()

    def add(self, name: str, amount: int = 1) -> None:
        """Count received records, retries or dead letters."""
        self.totals[name] += amount
        value: Value = getattr(self, name)
        value.add(amount)

    def watch(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        """Declare numbers that are looked at when they are asked for, by name and what they are."""

        def text() -> list[str]:
            lines = []
            for name, (about, value) in gauges.items():
                lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
                lines.append(f"{name} {value():.15g}")
            return [*lines, *self._lag_lines()]

        self.metrics.texts(text)

    async def look_at_lag(self, source: Source, log: Log) -> None:
        """Ask a source for its lag; a failure is told once, until it is known again."""
        try:
            self.lag = await source.lag()
        except GpfnError as error:
            if self.lag_known:
                log.warning(f"the lag is not known: {error}")
            self.lag_known = False
        else:
            self.lag_known = True

    async def follow_lag(self, source: Source, log: Log) -> None:
        """Ask a source for its lag again and again, until this is cancelled."""
        while True:
            await self.look_at_lag(source, log)
            await asyncio.sleep(_LAG_SECONDS)

    def _seconds_lines(self) -> list[str]:
        name = "gpfn_bridge_call_seconds"
        lines = [f"# HELP {name} Seconds of calls, by route.", f"# TYPE {name} histogram"]
        return [*lines, *(line for route in self.routes for line in route.seconds.lines(name))]

    def _lag_lines(self) -> list[str]:
        name = "gpfn_bridge_lag"
        lines = [f"# HELP {name} Records that are not done, by partition.", f"# TYPE {name} gauge"]
        for (topic, partition), lag in sorted(self.lag.items()):
            lines.append(f'{name}{{topic="{_label(topic)}",partition="{partition}"}} {lag}')
        return lines

    def document(self) -> dict[str, Any]:
        """Return the counts for machines."""
        times = [route.seconds.quantiles() for route in self.routes]
        slowest = max((time for time in times if time), default=None)
        return {
            **self.totals,
            "outcomes": {name: count for name, count in self.counts.items() if count},
            "p50_ms": None if slowest is None else round(slowest[0] * 1000, 3),
            "p99_ms": None if slowest is None else round(slowest[1] * 1000, 3),
        }
