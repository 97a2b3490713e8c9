"""What is counted of each version of a model, in memory that all processes share.

A version has a slot: the same place in the row of each process, which counts there without
a lock. Whoever is asked adds the rows up. The names are by Prometheus' conventions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import CallerError, DeadlineExceeded, GpfnError, Overloaded
from gpfn.metrics import SECONDS, Metrics
from gpfn.serving.engine.inference import Abandoned

if TYPE_CHECKING:
    from gpfn.serving.engine.inference import Inference

__all__ = [
    "BATCH_ROWS",
    "REASONS",
    "SLOTS",
    "Slots",
    "Statistics",
    "Totals",
    "new_metrics",
    "reason_of",
]

SLOTS = 512
"""Versions that are counted at once, and those that were before, until a slot is needed."""
REASONS = ("caller", "model", "overloaded", "deadline", "cancelled", "internal")
"""Why inferences fail."""
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_COUNTERS = ("success", "rows", "batches", *REASONS)
_SECONDS = ("failed_seconds", "last", "inflight", "ready", "load_seconds", "opened")
_NAMES = (*_COUNTERS, *_SECONDS)
_AT = {name: index for index, name in enumerate(_NAMES)}
_SUCCESS, _ROWS, _BATCHES = (_AT[name] for name in ("success", "rows", "batches"))
_LAST = _AT["last"]

_HISTOGRAMS = (
    ("gpfn_inference_duration_seconds", "Time from a request to its results.", SECONDS),
    ("gpfn_inference_queue_seconds", "Time that requests waited.", SECONDS),
    ("gpfn_inference_compute_seconds", "Time of the calls that computed requests.", SECONDS),
    ("gpfn_inference_batch_rows", "Rows that were computed together.", BATCH_ROWS),
)
_STARTS: list[int] = []
_SIZE = len(_NAMES)
for _, _, _bounds in _HISTOGRAMS:
    _STARTS.append(_SIZE)
    _SIZE += len(_bounds) + 2
_DURATION, _QUEUE, _COMPUTE, _BATCH = _STARTS


def new_metrics(processes: int = 1) -> Metrics:
    """Return metrics with room for the slots."""
    return Metrics(processes, more=SLOTS * _SIZE)


class Totals(NamedTuple):
    """The sums of one version over all processes; times are in seconds, ``last`` since 1970.

    ``queue``, ``compute`` and ``duration`` are each the number of requests and their seconds.
    """

    success: float
    failures: float
    failed_seconds: float
    rows: float
    batches: float
    last: float
    queue: tuple[float, float]
    compute: tuple[float, float]
    duration: tuple[float, float]


class Statistics:
    """The counters of one version in this process."""

    __slots__ = ("_at", "_metrics")

    def __init__(self, metrics: Metrics, at: int) -> None:
        self._metrics = metrics
        self._at = at

    def computed(self, batch: Sequence[Inference], took: float) -> None:
        """Count one call of the model, which took that many seconds."""
        row, at, now = self._metrics.row, self._at, monotonic()
        # who has been told already was counted then
        well = [one for one in batch if one.error is None and one.done is not None]
        if len(well) < len(batch):
            self._failed(batch, now)
            if not well:
                return
        count = len(well)
        rows = sum([one.rows for one in well]) or count
        row[at + _SUCCESS] += count
        row[at + _ROWS] += rows
        row[at + _BATCHES] += 1
        row[at + _LAST] = time()
        _observe_all(row, at + _DURATION, [now - one.began for one in well])
        _observe_all(row, at + _QUEUE, [max(0.0, now - one.began - took) for one in well])
        _observe(row, at + _COMPUTE, SECONDS, took, count)
        _observe(row, at + _BATCH, BATCH_ROWS, rows)

    def _failed(self, batch: Sequence[Inference], now: float) -> None:
        row, at = self._metrics.row, self._at
        for one in batch:
            if one.error is not None and one.done is not None:
                row[at + _AT[reason_of(one.error)]] += 1
                row[at + _AT["failed_seconds"]] += now - one.began

    def failed(self, reason: str, count: int = 1) -> None:
        """Count requests that were not computed."""
        self._metrics.row[self._at + _AT[reason]] += count

    def set(self, name: str, value: float) -> None:
        """Set a gauge: ``ready``, ``load_seconds``, ``opened`` (epoch) or ``inflight``."""
        self._metrics.row[self._at + _AT[name]] = value

    def forget_gauges(self) -> None:
        """Let this process have none ready and none in flight."""
        for name in ("ready", "inflight", "load_seconds"):
            self.set(name, 0)

    def clear(self) -> None:
        """Begin at zero, in all processes."""
        for row in self._metrics.rows:
            row[self._at : self._at + _SIZE] = _ZEROS

    def totals(self) -> Totals:
        """Return what all processes have counted."""
        failures = sum(self.total(name) for name in REASONS)
        return Totals(
            self.total("success"),
            failures,
            self.total("failed_seconds"),
            self.total("rows"),
            self.total("batches"),
            max(row[self._at + _LAST] for row in self._metrics.rows),
            *(self._sum(start) for start in (_QUEUE, _COMPUTE, _DURATION)),
        )

    def total(self, name: str) -> float:
        """Return the sum of one counter or gauge over all processes."""
        at = self._at + _AT[name]
        return sum(row[at] for row in self._metrics.rows)

    @property
    def last_used(self) -> float:
        """When it was called last, or opened, in any process; seconds since 1970."""
        opened = self._at + _AT["opened"]
        return max(max(row[self._at + _LAST], row[opened]) for row in self._metrics.rows)

    def histogram(self, index: int) -> list[float]:
        """Return a histogram of the table: its sum, then the count of each bucket."""
        start = self._at + _STARTS[index]
        size = len(_HISTOGRAMS[index][2]) + 2
        return [sum(row[start + n] for row in self._metrics.rows) for n in range(size)]

    def _sum(self, start: int) -> tuple[float, float]:
        summed, *counts = self.histogram(_STARTS.index(start))
        return sum(counts), summed


_ZEROS = memoryview(bytes(8 * _SIZE)).cast("d")


class Slots:
    """The slots, and the text of those in use for Prometheus."""

    kind = Statistics

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.in_use: Callable[[], Iterable[tuple[str, str, int]]] = tuple
        """Gives model, version and slot of all that are to be told of."""
        self._at = metrics.block(SLOTS * _SIZE)
        metrics.texts(self._text)

    def statistics(self, slot: int) -> Statistics:
        """Return the counters of a slot."""
        return self.kind(self._metrics, self._at + slot * _SIZE)

    def _text(self) -> list[str]:
        used = [
            (f'model="{model}",version="{version}"', self.statistics(slot))
            for model, version, slot in self.in_use()
        ]
        return [*_counter_lines(used), *_histogram_lines(used)]


_TOLD = (
    ("gpfn_inference_requests_total", "Requests that were answered.", "counter", "success"),
    ("gpfn_inference_rows_total", "Rows that were computed.", "counter", "rows"),
    ("gpfn_inference_batches_total", "Calls of the model.", "counter", "batches"),
    ("gpfn_inflight_requests", "Requests that wait or are being computed.", "gauge", "inflight"),
    ("gpfn_model_ready", "Processes in which the version is ready.", "gauge", "ready"),
    ("gpfn_model_load_seconds", "How long it took to load, in all.", "gauge", "load_seconds"),
)


def _counter_lines(used: Sequence[tuple[str, Statistics]]) -> Iterator[str]:
    for name, about, kind, value in _TOLD:
        yield f"# HELP {name} {about}"
        yield f"# TYPE {name} {kind}"
        yield from (f"{name}{{{labels}}} {each.total(value):.9g}" for labels, each in used)
    name = "gpfn_inference_failures_total"
    yield f"# HELP {name} Requests that were not, by the reason."
    yield f"# TYPE {name} counter"
    for labels, each in used:
        for reason in REASONS:
            yield f'{name}{{{labels},reason="{reason}"}} {each.total(reason):.0f}'


def _histogram_lines(used: Sequence[tuple[str, Statistics]]) -> Iterator[str]:
    for index, (name, about, bounds) in enumerate(_HISTOGRAMS):
        yield f"# HELP {name} {about}"
        yield f"# TYPE {name} histogram"
        for labels, each in used:
            summed, *counts = each.histogram(index)
            total = 0.0
            for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
                total += count
                yield f'{name}_bucket{{{labels},le="{bound}"}} {total:.0f}'
            yield f"{name}_sum{{{labels}}} {summed:.9g}"
            yield f"{name}_count{{{labels}}} {total:.0f}"


def reason_of(error: BaseException) -> str:
    """Return which of the reasons an error is."""
    match error:
        case Abandoned():
            return "cancelled"
        case DeadlineExceeded():
            return "deadline"
        case Overloaded():
            return "overloaded"
        case CallerError():
            return "caller"
        case GpfnError():
            return "model"
    return "internal"


def _observe(
    row: memoryview[float], at: int, bounds: Sequence[float], value: float, count: int = 1
) -> None:
    row[at] += value * count
    row[at + 1 + bisect_left(bounds, value)] += count


def _observe_all(row: memoryview[float], at: int, values: Sequence[float]) -> None:
    """Count times of one batch: they mostly fall into the same bucket."""
    if len(values) == 1:
        _observe(row, at, SECONDS, values[0])
        return
    bucket = bisect_left(SECONDS, max(values))
    if bucket == bisect_left(SECONDS, min(values)):
        row[at] += sum(values)
        row[at + 1 + bucket] += len(values)
        return
    for value in values:
        _observe(row, at, SECONDS, value)
