"""What a forecast has to beat: the last value again, and the value of a season ago.

An origin is the last value that is known; horizon values after it are forecast.
"""

from typing import Any

import numpy as np

__all__ = [
    "NAIVE",
    "SEASONAL",
    "find_season",
    "forecasts",
    "judged",
    "origins",
    "scores",
    "targets_of",
]

NAIVE, SEASONAL = "naive", "seasonal_naive"

_LEAST_LIKE = 0.3  # autocorrelation from which a lag is a season
_NEARLY = 0.85
_MOST_SEASON = 400


def origins(begin: int, end: int, horizon: int) -> np.ndarray:
    """Return all origins whose targets lie from ``begin`` up to, and without, ``end``."""
    return np.arange(begin - 1, end - horizon)


def targets_of(values: np.ndarray, at: np.ndarray, horizon: int) -> np.ndarray:
    """Return the values after each origin: (len(at), horizon)."""
    return values[at[:, np.newaxis] + 1 + np.arange(horizon)]


def judged(
    values: np.ndarray, missing: np.ndarray, at: np.ndarray, horizon: int, *, between: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the origins by which a forecast can be judged, and the values after each.

    A value that was put in where one is ``missing`` is no truth: it is NaN among the targets.
    Values ``between`` both sides are made of later ones, so that nothing may be forecast from
    where the newest is one of them: it says what comes next.
    """
    targets = np.where(targets_of(missing, at, horizon), np.nan, targets_of(values, at, horizon))
    used = ~np.isnan(targets).all(axis=1)
    if between:
        used &= ~missing[at]
    return at[used], targets[used]


def forecasts(
    values: np.ndarray, at: np.ndarray, horizon: int, season: int
) -> dict[str, np.ndarray]:
    """Return what each baseline says after each origin; without a season there is one less.

    That of the season takes the same step of the newest season that is known at the origin.
    """
    found = {NAIVE: np.repeat(values[at][:, np.newaxis], horizon, axis=1)}
    if season:
        ahead = 1 + np.arange(horizon)
        back = ahead - season * -(-ahead // season)
        found[SEASONAL] = values[at[:, np.newaxis] + back]
    return found


def scores(forecast: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return the mean squared and mean absolute error, and the squared one by steps ahead.

    Targets that are NaN do not count; of a step that has no other the error is None.
    """
    apart = forecast - targets
    steps = [column[~np.isnan(column)] for column in apart.T]
    return {
        "mse": float(np.nanmean(np.square(apart))),
        "mae": float(np.nanmean(np.abs(apart))),
        "mse_by_step": [float(np.square(each).mean()) if len(each) else None for each in steps],
    }


def find_season(learned: np.ndarray) -> int:
    """Return after how many steps a series is most like itself, 0 when it never is.

    Looked for in the changes from value to value, so that a trend is no season, and among lags
    that fit thrice into the series and are better than those beside them. A multiple of a lag that
    does nearly as well is not taken.
    """
    changes = np.diff(learned)
    changes = changes - changes.mean()
    spread = float(changes @ changes)
    longest = min(len(changes) // 3, _MOST_SEASON)
    if longest < 2 or spread <= 0:
        return 0
    alike = np.array([changes[lag:] @ changes[: len(changes) - lag] for lag in range(longest + 2)])
    alike *= len(changes) / (len(changes) - np.arange(longest + 2)) / spread
    inner = np.arange(2, longest + 1)
    peaks = inner[(alike[inner] >= alike[inner - 1]) & (alike[inner] >= alike[inner + 1])]
    if not len(peaks) or alike[peaks].max() < _LEAST_LIKE:
        return 0
    return int(peaks[alike[peaks] >= _NEARLY * alike[peaks].max()][0])
