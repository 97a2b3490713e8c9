"""What loads say: rows of a table, a document, a sentence each on what limits, a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gpfn.bench.generator import Load
from gpfn.bench.subject import Counts
from gpfn.errors import MissingExtra, SetupError

__all__ = ["HEADER", "Run", "document", "draw_loads", "limit_of", "table_rows"]

_BUSY = 0.9
"""A core that works for this part of the time has no more to give: the rest is waiting."""
_MOSTLY = 0.5
_PERCENTILES = (50, 90, 99)

HEADER = (
    "connections",
    "requests/s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "server µs",
    "rows",
    "failures",
)
"""Over the table's columns: ``server µs`` is processor time a request, ``rows`` those of a call."""


class Run(NamedTuple):
    """One load, and what the server counted meanwhile, the warm-up included.

    ``processes`` is how many of the server's processes computed, 0 when that is not known.
    """

    load: Load
    counts: Counts | None = None
    processes: int = 0

    @property
    def rate(self) -> float:
        """Good replies a second."""
        return len(self.load.times) / self.load.seconds

    def percentile(self, part: int) -> float:
        """Return the milliseconds that so many percent of the replies did not exceed."""
        times = self.load.times
        return times[math.ceil(part / 100 * len(times)) - 1] * 1e3 if times else math.nan

    @property
    def server_us(self) -> float | None:
        """The server's processor time for a reply, in microseconds."""
        return self._each(self.load.theirs)

    @property
    def generator_us(self) -> float | None:
        """The same of the generator."""
        return self._each(self.load.ours)

    def _each(self, seconds: float | None) -> float | None:
        answered = len(self.load.times) + sum(self.load.failures.values())
        return None if seconds is None or not answered else seconds / answered * 1e6

    @property
    def server_cores(self) -> float | None:
        """How many cores the server kept busy."""
        return None if self.load.theirs is None else self.load.theirs / self.load.seconds

    @property
    def generator_cores(self) -> float:
        """How much of its one core the generator used."""
        return self.load.ours / self.load.seconds

    @property
    def batch_rows(self) -> float | None:
        """The mean number of rows that were computed together."""
        counts = self.counts
        return counts.rows / counts.calls if counts is not None and counts.calls else None

    @property
    def compute_cores(self) -> float | None:
        """How many calls of the model ran at once, in the mean: its part of the server's time."""
        if self.counts is None or not (self.counts.calls and self.counts.compute):
            return None
        each = self.counts.compute / self.counts.rows
        return each * self.rate


def limit_of(run: Run) -> str:
    """Return what limits, as a sentence made from the numbers."""
    failed, good = sum(run.load.failures.values()), len(run.load.times)
    if failed > good / 100:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in run.load.failures.most_common(3))
        return f"the server limits itself or fails: {kinds}"
    ours, server = run.generator_cores, run.server_cores
    cores = len(os.sched_getaffinity(0))
    if ours >= _BUSY:
        return f"the load generator limits, its core is {_percent(ours)} busy"
    if server is None:
        return (
            f"what limits is not known: the load generator's core is {_percent(ours)} busy, "
            "the server's processor time is not told"
        )
    if server >= _BUSY * min(max(run.processes, 1), cores):
        return f"{_server(run, server)}{_of_the_model(run, server)}"
    every = os.cpu_count() or cores
    others = every - server - ours - run.load.idle / run.load.seconds
    if run.load.idle / run.load.seconds < (1 - _BUSY) * every:
        return (
            f"the machine limits, the server uses {server:.1f}, the load generator {ours:.1f} "
            f"and all else {max(others, 0.0):.1f} of its {every} cores"
        )
    return (
        f"the connections limit, each waits {run.percentile(50):.3g} ms for a reply; of {cores} "
        f"cores the server uses {server:.1f} and the load generator {ours:.1f}"
    )


def _server(run: Run, server: float) -> str:
    if run.processes > 1:
        return f"the server's {run.processes} processes limit, they use {server:.1f} cores"
    if server > 1 / _BUSY:
        return f"the server limits, it uses {server:.1f} cores"
    return f"the server's core limits, it is {_percent(min(server, 1.0))} busy"


def _of_the_model(run: Run, server: float) -> str:
    compute = run.compute_cores
    if compute is None or run.counts is None:
        return ""
    each = run.counts.compute / run.counts.calls
    shown = f"{each * 1e6:.3g} µs" if each < 1e-3 else f"{each * 1e3:.3g} ms"
    part = min(compute / server, 1.0)
    word = "most of it the model" if part >= _MOSTLY else "the model"
    return f"; {word}: {_percent(part)}, {shown} a call of {run.batch_rows:.3g} rows"


def _percent(part: float) -> str:
    return f"{part:.0%}".replace("%", " %")


def table_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Return the rows under `HEADER`; empty cells are not known."""
    return [
        [
            str(run.load.connections),
            f"{run.rate:.0f}",
            *(f"{run.percentile(part):.3f}" for part in _PERCENTILES),
            "" if run.server_us is None else f"{run.server_us:.1f}",
            "" if run.batch_rows is None else f"{run.batch_rows:.2f}",
            ", ".join(f"{count} {kind}" for kind, count in run.load.failures.items()) or "0",
        ]
        for run in runs
    ]


def document(runs: Sequence[Run]) -> list[dict[str, object]]:
    """Return all of it for ``--json``."""
    return [
        {
            "connections": run.load.connections,
            "seconds": round(run.load.seconds, 3),
            "requests": len(run.load.times),
            "failures": dict(run.load.failures),
            "requests_per_second": round(run.rate, 1),
            **{f"p{part}_ms": _rounded(run.percentile(part)) for part in _PERCENTILES},
            "server_us": _rounded(run.server_us),
            "server_cores": _rounded(run.server_cores),
            "generator_us": _rounded(run.generator_us),
            "generator_cores": _rounded(run.generator_cores),
            "model_cores": _rounded(run.compute_cores),
            "batch_rows": _rounded(run.batch_rows),
            "batches": None if run.counts is None else dict(run.counts.batches),
            "limit": limit_of(run),
        }
        for run in runs
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)


def draw_loads(runs: Sequence[Run], title: str, file: Path) -> None:
    """Write a PNG or SVG, by the file's suffix: throughput and times over connections.

    Raises MissingExtra without matplotlib, SetupError when the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots") from None
    names = [str(run.load.connections) for run in runs]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    rates, times = figure.subplots(1, 2)
    bars = rates.bar(names, [run.rate for run in runs], color="C0")
    rates.bar_label(bars, [f"{run.rate:,.0f}" for run in runs], fontsize="small")
    rates.set_ylabel("requests a second")
    for index, part in enumerate(_PERCENTILES):
        values = [run.percentile(part) for run in runs]
        times.plot(names, values, marker="o", color=f"C{index}", label=f"{part} %")
    times.set_yscale("log")
    times.set_ylabel("ms until the reply")
    times.legend(loc="upper left", fontsize="x-small", frameon=False)
    for axes in (rates, times):
        axes.set_xlabel("connections")
        axes.margins(y=0.12)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot be drawn: {error}", field=str(file)) from error
