"""How long batches of a model take, and what follows from that.

The times are measured when a model is loaded, on its warm-up inputs: a batch is only made
of a size that is faster than its rows one by one, and only computed on the event loop when
it is expected to take no longer than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import GpfnError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = [
    "INLINE_SECONDS",
    "SIZES",
    "Pace",
    "Timing",
    "as_table",
    "measure",
]

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes that are timed, in rows."""
INLINE_SECONDS = 0.001
"""A call that is expected to take longer is not made on the event loop."""
_GAIN = 0.9
"""A batch has to take at most that part of what its rows take one by one."""
_BUDGET_SECONDS = 0.1
"""Measuring ends when it has taken that long."""
_REPEATS = 3


class Timing(NamedTuple):
    """What was measured: ``curve`` has the seconds of one call by its rows, smallest first.

    Empty where a call's time says nothing of the next one: a function of the user's, a remote
    model. ``sizes`` are the batch sizes that pay, ``elements`` the array elements of a row in
    the measurement, which stands for rows of that size only.
    """

    curve: Mapping[int, float] = {}
    sizes: tuple[int, ...] = ()
    elements: int = 1

    def size_for(self, rows: int) -> int:
        """Return the smallest size that pays and holds ``rows``; the largest when none does."""
        for size in self.sizes:
            if size >= rows:
                return size
        return self.sizes[-1] if self.sizes else rows

    def rows_together(self, most: int) -> int:
        """Return how many rows one call may have, of at most ``most``; without a curve all."""
        if self.curve:
            return min(most, self.sizes[-1]) if self.sizes else 1
        return max(1, most)

    def rows_inline(self) -> int:
        """Return how many measured rows are computed on the event loop at most; 0: none."""
        quick = [size for size, seconds in self.curve.items() if seconds <= INLINE_SECONDS]
        return max(quick, default=0)

    def seconds(self, rows: int, elements: int) -> float:
        """Return how long ``rows`` with that many elements altogether are expected to take."""
        if not self.curve:
            return float("inf")
        rows = max(1, rows)
        measured = self._measured(rows)
        return measured * max(1.0, elements / (self.elements * rows))

    def _measured(self, rows: int) -> float:
        larger = [seconds for size, seconds in self.curve.items() if size >= rows]
        if larger:
            return larger[0]
        size, seconds = list(self.curve.items())[-1]
        return seconds * rows / size


_SLOW = 5
"""Calls on the loop in a row, each of several times what was expected, until none is made there."""
_FAR_OVER = 4.0


class Pace:
    """Whether calls are made on the loop: no more when they take far longer than was measured."""

    def __init__(self, timing: Timing) -> None:
        self.inline = bool(timing.curve)
        self._slow = 0

    def note(self, took: float) -> None:
        """Take note of a call on the loop that took that many seconds."""
        if took <= _FAR_OVER * INLINE_SECONDS:
            self._slow = 0
            return
        self._slow += 1
        self.inline = self._slow < _SLOW


def measure(
    model: Model, row: Mapping[str, np.ndarray], most: int, *, budget: float = _BUDGET_SECONDS
) -> Timing:
    """Time batches of up to ``most`` rows, all of them ``row`` (arrays of one row each).

    With ``most`` below 2 only the row itself. A model that refuses the row, or a batch of it,
    is measured no further.
    """
    import numpy as np

    curve: dict[int, float] = {}
    began = perf_counter()
    for size in [size for size in SIZES if size <= max(1, most)]:
        inputs = row if size == 1 else {k: np.repeat(a, size, axis=0) for k, a in row.items()}
        seconds = _fastest(lambda inputs=inputs: model(inputs))  # type: ignore[misc]
        if seconds is None:
            break
        curve[size] = seconds
        spent = perf_counter() - began
        if spent + 2 * _REPEATS * seconds > budget:
            break
    elements = sum(array.size for array in row.values())
    return Timing(curve, _worthwhile(curve), max(1, elements))


def _fastest(call: Callable[[], object]) -> float | None:
    """Return the shortest of a few calls after a first one; None when it fails."""
    times: list[float] = []
    try:
        call()  # the first of a shape prepares
        for _ in range(_REPEATS):
            began = perf_counter()
            call()
            times.append(perf_counter() - began)
    except (GpfnError, ValueError, ArithmeticError):
        return None
    return min(times)


def _worthwhile(curve: Mapping[int, float]) -> tuple[int, ...]:
    """Return 1 and the sizes that beat the next smaller one that does, row by row."""
    sizes: list[int] = []
    for size, seconds in curve.items():
        if size == 1 or _is_faster(size, seconds, sizes[-1], curve):
            sizes.append(size)
    return tuple(sizes) if len(sizes) > 1 else ()


def _is_faster(size: int, seconds: float, before: int, curve: Mapping[int, float]) -> bool:
    single = curve[1] * size
    steps = curve[before] * size / before
    return seconds <= _GAIN * single and seconds <= steps


def as_table(timing: Timing) -> Sequence[tuple[int, float, bool]]:
    """Return rows, seconds a call, and whether that size is used."""
    return [(size, seconds, size in timing.sizes) for size, seconds in timing.curve.items()]
