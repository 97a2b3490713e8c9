"""Counters and histograms of a server, and their text for Prometheus.

The values lie in memory that processes share: a worker counts in its own row, and whichever
of them is asked adds the rows up. So everything is declared before the processes part,
labels included, and counting is one addition. The text is Prometheus' format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/), names and units are by its
conventions.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from mmap import mmap

__all__ = ["MEDIA_TYPE", "SECONDS", "Histogram", "Metrics", "Value"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the buckets of durations."""

_ROW = 4096  # values in a process's row, unless more are asked for; pages are taken when used
_BYTES = 8
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Value:
    """One number of this process: a counter, or a gauge that goes up and down."""

    __slots__ = ("_at", "_metrics")

    def __init__(self, metrics: Metrics, at: int) -> None:
        self._metrics = metrics
        self._at = at

    def add(self, amount: float = 1.0) -> None:
        """Add to it."""
        self._metrics.row[self._at] += amount

    def set(self, amount: float) -> None:
        """Replace it."""
        self._metrics.row[self._at] = amount

    def elsewhere(self) -> list[float]:
        """Return what the other processes have of it."""
        rows, mine = self._metrics.rows, self._metrics.row
        return [row[self._at] for row in rows if row is not mine and row[0]]


class Histogram:
    """How often a value fell into each bucket, and the sum of all values."""

    __slots__ = ("_at", "_bounds", "_metrics")

    def __init__(self, metrics: Metrics, at: int, bounds: Sequence[float]) -> None:
        self._metrics = metrics
        self._at = at
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """Count one value."""
        row, at = self._metrics.row, self._at
        row[at] += value
        row[at + 1 + bisect_left(self._bounds, value)] += 1.0


class Metrics:
    """All metrics of a server of one or several processes."""

    def __init__(self, processes: int = 1, *, more: int = 0) -> None:
        """``more`` values are for blocks; see :meth:`block`."""
        self._size = size = _ROW + more
        self._memory = mmap(-1, processes * size * _BYTES)
        every = memoryview(self._memory).cast("d")
        self.rows = [every[n * size : (n + 1) * size] for n in range(processes)]
        self._used = 1  # the first value of a row is the process's id
        self._texts: list[Callable[[], list[str]]] = []
        self.begin(0)

    def begin(self, process: int) -> None:
        """Count as the process of that number from now on; one that died is counted on."""
        self.row = self.rows[process]
        self.row[0] = os.getpid()

    def counter(self, name: str, about: str) -> Value:
        """Declare a number that only grows; its name ends in ``_total``."""
        return self._single(name, about, "counter")

    def gauge(self, name: str, about: str) -> Value:
        """Declare a number that goes up and down; processes' values are added up."""
        return self._single(name, about, "gauge")

    def counters(
        self, name: str, about: str, label: str, values: Sequence[object]
    ) -> Mapping[object, Value]:
        """Declare a counter for each value of a label; those at zero are left out."""
        places = {value: self._take(1) for value in values}

        def text() -> list[str]:
            totals = [(value, self._total(at)) for value, at in places.items()]
            lines = [f'{name}{{{label}="{value}"}} {n:.0f}' for value, n in totals if n]
            return [*_about(name, about, "counter"), *lines]

        self._texts.append(text)
        return {value: Value(self, at) for value, at in places.items()}

    def histogram(self, name: str, about: str, bounds: Sequence[float] = SECONDS) -> Histogram:
        """Declare a distribution; ``bounds`` are the buckets' upper ones, inclusive."""
        at = self._take(len(bounds) + 2)

        def text() -> list[str]:
            counted, lines = 0.0, _about(name, about, "histogram")
            for index, bound in enumerate([*map(str, bounds), "+Inf"]):
                counted += self._total(at + 1 + index)
                lines.append(f'{name}_bucket{{le="{bound}"}} {counted:.0f}')
            return [*lines, f"{name}_sum {self._total(at):.9g}", f"{name}_count {counted:.0f}"]

        self._texts.append(text)
        return Histogram(self, at, bounds)

    def block(self, size: int) -> int:
        """Take ``size`` values in a row for who counts in them and has a text of them himself.

        They are ``row[at]`` and the next ones, of every process's row.
        """
        return self._take(size)

    def texts(self, text: Callable[[], list[str]]) -> None:
        """Add what ``text`` returns whenever all of them are asked for: lines."""
        self._texts.append(text)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        lines = [line for text in self._texts for line in text()]
        return "\n".join([*lines, *self._processes(), ""]).encode()

    def _single(self, name: str, about: str, kind: str) -> Value:
        at = self._take(1)
        self._texts.append(lambda: [*_about(name, about, kind), f"{name} {self._total(at):.15g}"])
        return Value(self, at)

    def _take(self, count: int) -> int:
        at, self._used = self._used, self._used + count
        if self._used > self._size:
            raise ValueError(f"more than {self._size} values")
        return at

    def _total(self, at: int) -> float:
        return sum([row[at] for row in self.rows])

    def _processes(self) -> list[str]:
        """Return what Prometheus' clients tell of a process, summed over all of them."""
        found = [_process(int(row[0])) for row in self.rows if row[0]]
        lines = []
        for index, (name, about, kind) in enumerate(_PROCESS):
            lines += _about(name, about, kind)
            lines.append(f"{name} {sum(values[index] for values in found):.15g}")
        return lines


_PROCESS = (
    ("process_cpu_seconds_total", "Seconds of processor time, user and system.", "counter"),
    ("process_resident_memory_bytes", "Resident memory.", "gauge"),
    ("process_open_fds", "Open file descriptors.", "gauge"),
    ("process_threads", "Threads.", "gauge"),
)


def _process(pid: int) -> tuple[float, float, float, float]:
    """Return processor seconds, resident bytes, descriptors and threads; zeros of a dead one."""
    with suppress(OSError, ValueError, IndexError):  # it has ended
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        return seconds, int(fields[21]) * _PAGE, descriptors, int(fields[17])
    return 0.0, 0.0, 0.0, 0.0


def _about(name: str, about: str, kind: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
