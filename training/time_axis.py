"""Times of a series as whole steps: which form they have, how far apart they are, what is missing.

Times become numbers of a unit: months, quarters and years are counted, days are days, and
anything finer is microseconds. Dates a month apart are months, and days without a weekend are
working days.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from time_forms import ZONED, label, times_of

from gpfn.errors import SetupError

__all__ = ["TimeAxis", "time_axis"]

_SEASONS = {"month": 12, "quarter": 4, "week": 52, "day": 7, "working day": 5}
"""How many steps a season has when a step is one of the unit."""
_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000
_LEAST_WORKING_DAYS = 6


class TimeAxis(NamedTuple):
    """``order`` sorts the rows; ``steps`` are then counted from the first, without a double one.

    ``season`` is how many steps a season usually has for such times, 0 when nothing is usual.
    """

    unit: str
    step: int
    first: int
    order: np.ndarray
    steps: np.ndarray
    season: int
    zone: str = ""
    """``Z`` for instants that are written with a zone: labels are of UTC."""

    def label(self, step: int) -> str:
        """Return the time of a step, counted from the first; it may be one to come."""
        return label(self.unit, self.first + step * self.step) + self.zone

    @property
    def step_name(self) -> str:
        """What lies between two values, such as ``month`` or ``15 minutes``."""
        return _step_name(self.unit, self.step)


def time_axis(
    texts: Sequence[str], places: Sequence[str], column: str, *, sort: bool = False
) -> TimeAxis:
    """Return the steps that the times are at.

    Raises SetupError, naming places, for a text that is no time, times that do not rise unless
    ``sort`` is set, double ones, and steps that are uneven.
    """
    unit, counts = times_of(texts, places, column)
    zoned = unit == ZONED
    unit, counts = _in_months(*_in_days("instant" if zoned else unit, counts))
    order = np.argsort(counts, kind="stable") if sort else np.arange(len(counts))
    counts = counts[order]
    apart = np.diff(counts)
    where = _Where([texts[at] for at in order], [places[at] for at in order], column)
    _check_order(apart, where, clock=unit == "instant" and not zoned)
    unit, counts = _in_working_days(unit, counts)
    apart = np.diff(counts)
    step = Counter(apart.tolist()).most_common(1)[0][0] if len(apart) else 1
    _check_even(apart, unit, step, where)
    steps = (counts - counts[0]) // step
    zone = "Z" if zoned and unit == "instant" else ""
    return TimeAxis(unit, step, int(counts[0]), order, steps, _season(unit, step), zone)


class _Where(NamedTuple):
    """What an error names of the rows, in their order."""

    texts: list[str]
    places: list[str]
    column: str

    def wrong(self, at: int, told: str) -> SetupError:
        return SetupError(f"column {self.column}: {told}", field=self.places[at])


def _check_order(apart: np.ndarray, where: _Where, *, clock: bool) -> None:
    """Refuse times that do not rise; those of a ``clock`` may have been put back by an hour."""
    for at in np.flatnonzero(apart <= 0)[:1] + 1:
        now, before = where.texts[at], where.texts[at - 1]
        back = clock and ":" in now and apart[at - 1] > -_HOUR
        hint = "; if the clock was put back, write zones: 2020-10-25T02:00+01:00" if back else ""
        if not apart[at - 1]:
            told = f"{now} is there twice, also in {where.places[at - 1]}; remove one of them"
            raise where.wrong(at, told + hint)
        raise where.wrong(at, f"{now} comes after {before}; sort the rows, or give --sort{hint}")


def _check_even(apart: np.ndarray, unit: str, step: int, where: _Where) -> None:
    for at in np.flatnonzero(apart % step)[:1] + 1:
        found = f"{where.texts[at]} comes after {where.texts[at - 1]}"
        told = f"{found}, and most steps are: {_step_name(unit, step)}"
        hint = "make them even, or leave --time out to take the rows as they are"
        raise where.wrong(at, f"{told}; {hint}")


def _in_days(unit: str, counts: np.ndarray) -> tuple[str, np.ndarray]:
    """Return instants that are all midnights as days."""
    if unit != "instant" or (counts % _DAY).any():
        return unit, counts
    return "day", counts // _DAY


def _in_months(unit: str, counts: np.ndarray) -> tuple[str, np.ndarray]:
    """Return days as months when all are the same day of a month, or all the last one."""
    if unit != "day" or len(counts) < 2:
        return unit, counts
    days = counts.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    of_month = (days - months).astype(int)
    last = ((months + 1).astype("datetime64[D]") - days).astype(int) == 1
    if len(set(of_month.tolist())) > 1 and not last.all():
        return unit, counts
    return "month", months.astype(np.int64)


def _in_working_days(unit: str, counts: np.ndarray) -> tuple[str, np.ndarray]:
    """Return days as working days when none is on a weekend, but some are on both its sides."""
    days = counts.astype("datetime64[D]") if unit == "day" else None
    if days is None or len(days) < _LEAST_WORKING_DAYS or not np.is_busday(days).all():
        return unit, counts
    across = [after - before == 3 for before, after in itertools.pairwise(counts.tolist())]
    if not any(across) or Counter(np.diff(counts).tolist()).most_common(1)[0][0] != 1:
        return unit, counts
    return "working day", np.busday_count(np.datetime64(0, "D"), days)


def _season(unit: str, step: int) -> int:
    if unit == "instant":
        return _DAY // step if step < _DAY and _DAY % step == 0 else 0
    usual = _SEASONS.get(unit, 0)
    return usual // step if usual % step == 0 and usual > step else 0


def _step_name(unit: str, step: int) -> str:
    if unit != "instant":
        return f"{step} {unit}s" if step > 1 else unit
    for name, size in (("day", _DAY), ("hour", 3_600_000_000), ("minute", 60_000_000)):
        if step % size == 0:
            return name if step == size else f"{step // size} {name}s"
    return "second" if step == 1_000_000 else f"{step / 1e6:g} seconds"
