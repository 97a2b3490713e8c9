"""What the samples say: statistics by stage, the memory to ask for, the price, a picture.

A Summary has them as rows of a table and as a document; ``draw`` makes two bars of the
medians, one of a cold and one of a warm call.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpfn.coldstart.experiment import STAGES, Sample
from gpfn.errors import MissingExtra, SetupError

__all__ = ["Spread", "Summary", "billed_seconds", "cost_per_million", "draw", "suggested_memory"]

_MEMORY_STEPS = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
_HEADROOM = 1.25
_BILLED_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, median and 99th percentile of some seconds."""

    mean: float
    median: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread; the percentile is the smallest value that 99 % do not exceed."""
        ordered = sorted(values)
        rank = math.ceil(0.99 * len(ordered)) - 1
        return cls(statistics.fmean(ordered), statistics.median(ordered), ordered[rank])

    def shown(self) -> dict[str, float]:
        """Return it in milliseconds."""
        return {
            "mean_ms": round(self.mean * 1e3, 3),
            "median_ms": round(self.median * 1e3, 3),
            "p99_ms": round(self.p99 * 1e3, 3),
        }


def suggested_memory(peak_bytes: int) -> int:
    """Return the megabytes to give the container: the peak and a quarter, on the next step."""
    wanted = peak_bytes * _HEADROOM / 2**20
    return next((step for step in _MEMORY_STEPS if step >= wanted), math.ceil(wanted))


def billed_seconds(seconds: float) -> float:
    """Return the seconds that are paid for: started tenths count as whole ones."""
    return max(1, math.ceil(round(seconds / _BILLED_STEP, 9))) * _BILLED_STEP


def cost_per_million(seconds: float, memory_mb: int, price: float) -> float:
    """Return the price of a million calls, ``price`` being that of a GB-second."""
    return 1e6 * billed_seconds(seconds) * (memory_mb / 1024) * price


@dataclass(frozen=True, slots=True)
class Summary:
    """The experiment's result; ``price`` is for a GB-second."""

    cold: Sequence[Sample]
    warm: Sequence[Sample]
    price: float

    def stage(self, samples: Sequence[Sample], name: str) -> Spread | None:
        """Return a stage's spread, None when no sample has it."""
        values = [sample.seconds[name] for sample in samples if name in sample.seconds]
        return Spread.of(values) if values else None

    def total(self, samples: Sequence[Sample]) -> Spread:
        """Return the spread of what a caller waits."""
        return Spread.of([sample.total for sample in samples])

    def memory(self, name: str) -> int:
        """Return the largest resident size after a stage, in bytes; 0 when unknown."""
        return max((s.memory.get(name, 0) for s in (*self.cold, *self.warm)), default=0)

    @property
    def peak(self) -> int:
        """The largest resident size seen after any stage, in bytes."""
        return max(max(s.memory.values(), default=0) for s in (*self.cold, *self.warm))

    def costs(self) -> dict[str, float]:
        """Return the price of a million cold and of a million warm calls, by their medians."""
        memory = suggested_memory(self.peak)
        return {
            kind: round(cost_per_million(self.total(samples).median, memory, self.price), 4)
            for kind, samples in (("cold", self.cold), ("warm", self.warm))
        }

    def shown(self) -> dict[str, object]:
        """Return all of it for ``--json``."""
        return {
            "calls": {"cold": len(self.cold), "warm": len(self.warm)},
            "stages": {name: self._stage_shown(name) for name in self._names()},
            "total": {
                "cold": self.total(self.cold).shown(),
                "warm": self.total(self.warm).shown(),
            },
            "peak_bytes": self.peak,
            "suggested_memory_mb": suggested_memory(self.peak),
            "price_per_gb_second": self.price,
            "cost_per_million": self.costs(),
        }

    def _names(self) -> list[str]:
        return [name for name in STAGES if self.stage(self.cold, name) is not None]

    def _stage_shown(self, name: str) -> dict[str, object]:
        cold, warm = self.stage(self.cold, name), self.stage(self.warm, name)
        return {
            "cold": cold and cold.shown(),
            "warm": warm and warm.shown(),
            "memory_bytes": self.memory(name) or None,
        }

    def rows(self) -> list[list[str]]:
        """Return the statistics as a table: times in milliseconds, memory in MB.

        The first row has the names of the eight columns.
        """
        spreads = ["mean", "median", "p99"]
        head = ["", "cold: mean", *spreads[1:], "warm: mean", *spreads[1:], "memory"]
        stages = [
            [
                name,
                *_times(self.stage(self.cold, name)),
                *_times(self.stage(self.warm, name)),
                _megabytes(self.memory(name)),
            ]
            for name in self._names()
        ]
        every = ["all", *_times(self.total(self.cold)), *_times(self.total(self.warm))]
        return [head, *stages, [*every, _megabytes(self.peak)]]

    def advice(self) -> list[str]:
        """Return what follows from it: how many calls, the memory to ask for, the price."""
        memory, costs = suggested_memory(self.peak), self.costs()
        price = f"A million calls at {self.price:g} per GB-second, billed in steps of 100 ms:"
        return [
            f"{len(self.cold)} cold and {len(self.warm)} warm calls; ms, and MB after the stage.",
            f"Give the container {memory} MB: {self.peak / 1e6:.1f} MB were used at the most.",
            f"{price} {costs['warm']:.2f} warm, {costs['cold']:.2f} cold.",
        ]


def _times(spread: Spread | None) -> list[str]:
    if spread is None:
        return ["", "", ""]
    return [f"{value * 1e3:.3f}" for value in (spread.mean, spread.median, spread.p99)]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}" if size else ""


def draw(summary: Summary, title: str, file: Path) -> None:
    """Write a PNG or SVG, by the file's suffix.

    Raises MissingExtra without matplotlib, SetupError when the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots") from None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    for axes, kind, samples in zip(
        figure.subplots(2, 1), ("cold", "warm"), (summary.cold, summary.warm), strict=True
    ):
        left = 0.0
        for index, name in enumerate(STAGES):
            spread = summary.stage(samples, name)
            if spread is None:
                continue
            width = spread.median * 1e3
            axes.barh([kind], [width], left=left, color=f"C{index}", label=name)
            left += width
        axes.set_xlim(0, left * 1.02)
        axes.set_xlabel("median, ms" if kind == "warm" else "")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small", frameon=False)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot be drawn: {error}", field=str(file)) from error
