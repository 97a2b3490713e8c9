"""A synthetic monthly series, its windows, and how well a forecast does on them.

The series starts in January 2000: a level, a yearly season of two waves, noise, and
from January 2007 on an upward trend.
"""

from collections.abc import Callable

import numpy as np

__all__ = [
    "FIRST_YEAR",
    "NOISE",
    "STEPS",
    "TREND_FROM",
    "Forecast",
    "evaluate",
    "month_name",
    "monthly",
    "split",
    "windows",
]

FIRST_YEAR = 2000
STEPS = 20
"""Values in a window, and forecasts that come out of it."""
NOISE = 0.3
"""Standard deviation of the noise; no forecast can have a lower MSE than its square."""
TREND_FROM = 12 * 7
"""The month, counted from the first, in which the trend starts."""

Forecast = Callable[[np.ndarray], np.ndarray]
"""Windows in, at every step the forecast of the next value out; both (n, STEPS, 1)."""

_LEVEL, _SEASON, _SECOND_WAVE, _RISE = 20.0, 5.0, 2.0, 0.06


def monthly(months: int, seed: int) -> np.ndarray:
    """Return the values of so many months, float32, the same for the same seed."""
    month = np.arange(months)
    year = 2 * np.pi * month / 12
    season = _SEASON * np.sin(year) + _SECOND_WAVE * np.sin(2 * year + 1)
    trend = _RISE * np.maximum(0, month - TREND_FROM)
    noise = NOISE * np.random.default_rng(seed).standard_normal(months)
    return (_LEVEL + season + trend + noise).astype(np.float32)


def month_name(month: int) -> str:
    """Return year and month of the month with that number, such as ``2007-01``."""
    return f"{FIRST_YEAR + month // 12}-{month % 12 + 1:02d}"


def split(length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a series of ``length`` windows and a month, cut before the part held out.

    The last fifth of the windows is held out, but at least one.
    """
    values = monthly(length * STEPS + 1, seed)
    cut = (length - max(1, length // 5)) * STEPS
    return values[:cut], values[cut:]


def windows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every window and, at each of its steps, the value that comes next.

    Both have the shape (n, STEPS, 1), where n is ``len(values) - STEPS``.
    """
    cuts = np.lib.stride_tricks.sliding_window_view(values, STEPS)[..., np.newaxis]
    return np.ascontiguousarray(cuts[:-1]), np.ascontiguousarray(cuts[1:])


def evaluate(forecast: Forecast, values: np.ndarray) -> dict[str, float]:
    """Compare a forecast with "next value = last value" on every window of ``values``.

    ``margin`` says how many times lower its mean squared error is.
    """
    inputs, targets = windows(values)
    mse = float(np.square(forecast(inputs) - targets).mean())
    naive = float(np.square(inputs - targets).mean())
    return {"mse": mse, "naive_mse": naive, "margin": naive / mse}
