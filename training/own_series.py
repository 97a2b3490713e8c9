"""A user's own series: read, in order, without a gap, and cut by time in three parts.

The first part is learned from, the second says when to stop, the last is held out. Nothing of a
later part is known to an earlier one.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from number_texts import numbers
from series_file import RawSeries, read_series_files
from time_axis import TimeAxis, time_axis

from gpfn.errors import SetupError

__all__ = ["FILLS", "OwnSeries", "Parts", "cut", "own_series", "without_later"]

FILLS = ("previous", "linear")
"""What may be put where a value is missing: the last one before, or a line between both sides."""

_HELD_OUT, _VALIDATION = 0.2, 0.1
_LEAST_WINDOWS = 8  # to learn from: fewer are no training
_FLAT = 1e-6
"""Parts of a value that float32 holds: a series that moves by less is lost in it."""
_LARGEST, _SMALLEST = 1e30, 1e-30
"""Between these, what is computed with values is float32 still."""


_NO_GAPS = np.zeros(0, int)


class OwnSeries(NamedTuple):
    """Values at even steps, float64; those at ``gaps`` were put in."""

    column: str
    values: np.ndarray
    axis: TimeAxis | None
    gaps: np.ndarray = _NO_GAPS

    @property
    def is_missing(self) -> np.ndarray:
        """Say of each value whether it was put in, bool."""
        missing = np.zeros(len(self.values), bool)
        missing[self.gaps] = True
        return missing

    @property
    def season(self) -> int:
        """How many steps a season usually has for such times, 0 when nothing is usual."""
        return self.axis.season if self.axis else 0

    @property
    def step_name(self) -> str:
        """What lies between two values."""
        return self.axis.step_name if self.axis else "row"

    def label(self, step: int) -> str:
        """Return when a value is, counted from the first; it may be one to come."""
        return self.axis.label(step) if self.axis else f"row {step + 1}"


class Parts(NamedTuple):
    """Where the parts of a series begin and end, by number of values."""

    learned: int
    held_out: int
    length: int


def own_series(
    files: Sequence[Path],
    column: str,
    time: str,
    *,
    fill: str = "",
    decimal: str = "",
    sort: bool = False,
) -> OwnSeries:
    """Read a series. Raises SetupError, naming the file, the line and what can be done."""
    raw = read_series_files(files, column, time)
    values = numbers(
        raw.values, raw.places, raw.column, decimal=decimal, doubtful_dots=raw.doubtful_dots
    )
    axis = time_axis(raw.times, raw.places, time, sort=sort) if time else None
    if axis is not None:
        values = values[axis.order]
        raw = raw._replace(places=[raw.places[at] for at in axis.order])
    _check_missing(values, raw, fill)
    spread, gaps = _spread(values, axis, raw, fill)
    _check_range(spread, raw)
    return OwnSeries(raw.column, spread, axis, gaps)


def _check_missing(values: np.ndarray, raw: RawSeries, fill: str) -> None:
    missing = np.isnan(values)
    if not missing.any():
        return
    if missing.all() or missing[0] or missing[-1]:
        at = 0 if missing[0] else int(np.flatnonzero(~missing)[-1]) + 1
        end = "beginning" if missing[0] else "end"
        told = "no value in any row" if missing.all() else f"no value at the {end}"
        raise SetupError(f"column {raw.column}: {told}; remove such rows", field=raw.places[at])
    if not fill:
        at = int(np.flatnonzero(missing)[0])
        told = f"column {raw.column}: no value, one of {int(missing.sum())}"
        raise SetupError(
            f"{told}; --fill previous or --fill linear puts some there", field=raw.places[at]
        )


def _spread(
    values: np.ndarray, axis: TimeAxis | None, raw: RawSeries, fill: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values at all steps from the first to the last, and which were put in."""
    steps = np.arange(len(values)) if axis is None else axis.steps
    length = int(steps[-1]) + 1
    absent = length - len(values)
    if axis is not None and absent and not fill:
        at = int(np.flatnonzero(np.diff(steps) > 1)[0])
        gap = f"{axis.label(int(steps[at]))} and {axis.label(int(steps[at + 1]))}"
        told = f"{steps[at + 1] - steps[at] - 1} missing between {gap}, {absent} in all"
        hint = "--fill previous or --fill linear puts values there"
        raise SetupError(f"column {raw.column}: {told}; {hint}", field=raw.places[at + 1])
    if absent > len(values):
        told = f"{absent} of {length} values would have to be put in; are the times right?"
        raise SetupError(told, field=raw.places[int(np.argmax(np.diff(steps))) + 1])
    known = ~np.isnan(values)
    steps, values = steps[known], values[known]
    gaps = np.setdiff1d(np.arange(length), steps)
    if fill == "linear":
        return np.interp(np.arange(length), steps, values), gaps
    return values[np.searchsorted(steps, np.arange(length), side="right") - 1], gaps


def _check_range(values: np.ndarray, raw: RawSeries) -> None:
    largest = float(np.abs(values).max())
    if largest and not _SMALLEST < largest < _LARGEST:
        told = f"values up to {largest:g}, which float32 does not compute with"
        raise SetupError(f"column {raw.column}: {told}; take another unit", field=raw.places[0])


def cut(series: OwnSeries, window: int, horizon: int) -> Parts:
    """Return the parts of a series, each of which has at least one target to be judged by.

    Raises SetupError when the series is too short for the window, or has nothing to learn.
    """
    length = len(series.values)
    parts = _parts(length, horizon)
    if not _is_enough(parts, window, horizon):
        needed = length
        while not _is_enough(_parts(needed, horizon), window, horizon):
            needed += 1
        told = f"{length} values; windows of {window} and {horizon} ahead need {needed}"
        shorter = window
        while shorter > 2 and not _is_enough(parts, shorter, horizon):
            shorter -= 1
        fits = _is_enough(parts, shorter, horizon)
        hint = f"--window {shorter} would do" if fits else "bring more"
        raise SetupError(f"column {series.column}: {told}; {hint}", field="--data")
    learned = series.values[: parts.learned]
    if math.isclose(learned.std(), 0, abs_tol=_FLAT * float(np.abs(learned).max())):
        same = not np.ptp(series.values)
        which = (
            f"all {length} values are" if same else f"the first {parts.learned} values are about"
        )
        told = f"column {series.column}: {which} {learned[0]:g}: nothing to learn"
        hint = "take a column that changes, or subtract what is the same in all rows"
        raise SetupError(f"{told}; {hint}", field="--data")
    return parts


def without_later(series: OwnSeries, parts: Parts) -> OwnSeries:
    """Return a series whose first part has nothing of the second, however gaps were filled.

    A line over the end of the first part would lead to a later value: there the last one before
    the gap stays.
    """
    first = parts.learned
    missing = series.is_missing
    while missing[first - 1]:  # the first value of all is none that is missing
        first -= 1
    values = series.values.copy()
    values[first : parts.learned] = values[first - 1]
    return series._replace(values=values)


def _parts(length: int, horizon: int) -> Parts:
    held_out = max(horizon, round(length * _HELD_OUT))
    validation = max(horizon, round(length * _VALIDATION))
    return Parts(length - held_out - validation, length - held_out, length)


def _is_enough(parts: Parts, window: int, horizon: int) -> bool:
    return parts.learned - window - horizon + 1 >= _LEAST_WINDOWS
