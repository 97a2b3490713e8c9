"""Train the forecast network on a user's own series; forecast.py calls this when there is data.

The series is cut by time: the network learns from the first part, the second says when to stop,
and every figure that matters is measured on the last. What comes out is a folder that
``gpfn init --from`` takes, with a model that takes and gives values as the series has them.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import own_forecast_card
from baselines import NAIVE, SEASONAL, find_season, forecasts, judged, origins, scores
from outcome import Outcome
from own_series import OwnSeries, Parts, cut, own_series, without_later
from picture_folder import shown
from staging import staging

from gpfn.errors import SetupError

__all__ = ["EXPORTS", "train_own"]

SOURCE, RESULT = "series", "forecast"
EXPORTS = ("forecast.tflite", "forecast.pb", "forecast.onnx", "forecast_savedmodel")
WINDOW, HORIZON = 20, 1
SAMPLE = "window.json"

_APART = 1e-5
"""How far exports may be apart, in standard deviations of what was learned from."""
_ROUNDED = 4 * float(np.finfo(np.float32).eps)
"""And besides in parts of the largest value, which float32 cannot hold more exactly."""
_LEAST = float(np.finfo(np.float64).tiny)
_PLOTTED = 120  # values of the held-out part
_SIGNS = {None: "", "point": ".", "comma": ","}


class _Case(NamedTuple):
    """The series with what is asked of it, the same for all steps below."""

    series: OwnSeries
    parts: Parts
    window: int
    horizon: int
    season: int
    fill: str = ""

    @property
    def learned(self) -> np.ndarray:
        return self.series.values[: self.parts.learned]

    def windows(self, at: np.ndarray) -> np.ndarray:
        """Return the window that ends with each origin: (len(at), window), float32."""
        back = np.arange(1 - self.window, 1)
        return self.series.values[at[:, np.newaxis] + back].astype(np.float32)

    def judged(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the origins of a part that say how good a forecast is, and what came then.

        Raises SetupError when there is none.
        """
        at, targets = judged(
            self.series.values,
            self.series.is_missing,
            origins(begin, end, self.horizon),
            self.horizon,
            between=self.fill == "linear",
        )
        if not len(at):
            told = f"from {self.series.label(begin)} on hardly a value was there: nothing is left"
            raise SetupError(f"{told} to judge a forecast by; take a denser series", field="--fill")
        return at, targets


def train_own(settings: Any) -> Outcome:
    """Train, compare the exports with the network, and write all to ``settings.out``.

    ``settings`` is forecast.Settings. A run that fails leaves the files that were there as they
    were. Raises SetupError for data that nothing can be learned from.
    """
    case = _case(settings)
    from ahead import Ahead, predictor
    from recurrent import Recurrent

    scaling = {"mean": float(case.learned.mean()), "scale": float(case.learned.std())}
    network = Recurrent(case.window, settings.hidden, **scaling, seed=settings.seed,
                        horizon=case.horizon)  # fmt: skip
    model = Ahead(network)
    predict = predictor(model, case.window)
    course = _fit(network, predict, case, settings)
    facts = _facts(case, settings, predict, course)
    facts["scaling"] = {**scaling, "inside_the_model": True}
    with staging(settings.out) as folder:
        facts["metrics"]["exports_apart"] = _export(model, predict, folder, case, scaling["scale"])
        _plot(folder / "plots", case, predict, facts, course)
        for name, text in own_forecast_card.files(facts, EXPORTS, SAMPLE).items():
            (folder / name).write_text(text, encoding="utf-8")
    names = (*EXPORTS, *own_forecast_card.FILES, SAMPLE)
    files = tuple(settings.out / name for name in names)
    plots = tuple(sorted((settings.out / "plots").glob("forecast-*.png")))
    summary = own_forecast_card.summary(facts)
    return Outcome(summary, facts, course.training, files, plots)


def _case(settings: Any) -> _Case:
    """Read the series, cut it, and find its season."""
    if settings.windows != type(settings)().windows:
        told = "is for the series that is made; --window N is for your own"
        raise SetupError(told, field="--windows")
    if settings.sort and not settings.time:
        raise SetupError("needs --time, which says the order", field="--sort")
    series = own_series(
        settings.data,
        settings.column or "",
        settings.time or "",
        fill=settings.fill or "",
        decimal=_SIGNS[settings.decimal],
        sort=settings.sort,
    )
    window, horizon = settings.window or WINDOW, settings.horizon or HORIZON
    parts = cut(series, window, horizon)
    series = without_later(series, parts)
    season = settings.season
    if season is None:
        usual = series.season if 2 * series.season <= parts.learned else 0
        season = usual or find_season(series.values[: parts.learned])
    elif season > parts.learned:
        told = f"{season} values are more than the {parts.learned} that are learned from"
        raise SetupError(told, field="--season")
    season = season if season > 1 else 0
    return _Case(series, parts, window, horizon, season, settings.fill or "")


def _fit(network: Any, predict: Any, case: _Case, settings: Any) -> Any:
    from ahead import fit_ahead, teaching
    from progress import reporting

    at, targets = case.judged(case.parts.learned, case.parts.held_out)
    case.judged(case.parts.held_out, case.parts.length)  # what is refused later is refused now
    windows = case.windows(at)
    with reporting(settings.epochs) as after_epoch:
        return fit_ahead(
            network,
            *teaching(case.learned, case.window, case.horizon),
            judge=lambda: float(np.nanmean(np.square(predict(windows) - targets))),
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            after_epoch=after_epoch,
        )


def _facts(case: _Case, settings: Any, predict: Any, course: Any) -> dict[str, Any]:
    """Measure the network and the baselines on the part that is held out."""
    series, parts = case.series, case.parts
    at, targets = case.judged(parts.held_out, parts.length)
    rivals = forecasts(series.values, at, case.horizon, case.season)
    own = scores(predict(case.windows(at)), targets)
    baselines = {name: scores(made, targets) for name, made in rivals.items()}
    newest = case.windows(np.array([parts.length - 1]))
    kept = ("hidden", "learning_rate", "epochs", "seed", "fill")
    return {
        "model": "forecast",
        "settings": {
            **{name: getattr(settings, name) for name in kept},
            "window": case.window,
            "horizon": case.horizon,
            "season": case.season,
        },
        "data": {
            "files": [shown(Path(file.name)) for file in settings.data],
            "column": series.column,
            "time": settings.time,
            "step": series.step_name,
            "values": parts.length,
            "filled": len(series.gaps),
            "first": series.label(0),
            "validation_from": series.label(parts.learned),
            "held_out_from": series.label(parts.held_out),
            "last": series.label(parts.length - 1),
            "learned_values": parts.learned,
            "held_out_forecasts": len(at),
        },
        "metrics": {
            **own,
            "baselines": baselines,
            "beats_baseline": all(own["mse"] < each["mse"] for each in baselines.values()),
            "margin": min(each["mse"] for each in baselines.values()) / max(own["mse"], _LEAST),
            "training_mse": course.training[course.best - 1],
            "validation_mse": course.validation[course.best - 1],
            "best_epoch": course.best,
            "epochs_run": len(course.training),
        },
        "example": {
            "series": [float(str(value)) for value in newest.ravel()],
            "forecast": [float(str(value)) for value in predict(newest).ravel()],
            "forecast_for": [series.label(parts.length + step) for step in range(case.horizon)],
        },
    }


def _export(model: Any, predict: Any, folder: Path, case: _Case, scale: float) -> float:
    from agreement import ask, disagreement
    from exports import Exporter

    exporter = Exporter(model, (None, case.window), source=SOURCE, result=RESULT)
    exporter.all(folder, EXPORTS)
    at = origins(case.parts.held_out, case.parts.length, case.horizon)
    windows = case.windows(at[-_PLOTTED:])
    answers = {name: ask(folder / name, SOURCE, RESULT, windows) for name in EXPORTS}
    largest = float(np.abs(case.series.values).max())
    return disagreement(predict(windows), answers, _APART * scale + _ROUNDED * largest)


def _plot(folder: Path, case: _Case, predict: Any, facts: dict[str, Any], course: Any) -> None:
    import plots

    folder.mkdir()
    series, (learned, held_out, length) = case.series, case.parts
    shaded = {"validation": (learned, held_out), "held out": (held_out, length)}
    plots.series_in_parts(folder / "forecast-series.png", series.values, series.label, shaded)
    beside = {
        f"{own_forecast_card.SAID[name]}, held out": found["mse"]
        for name, found in facts["metrics"]["baselines"].items()
    }
    plots.error_by_epoch(
        folder / "forecast-mse.png", course.training, "MSE", beside, course.validation
    )
    first = max(held_out, length - max(_PLOTTED, case.horizon))
    plots.forecasts_over_time(
        folder / "forecast-actual.png", series.label, first, series.values[first:],
        _over_time(case, predict, first),
    )  # fmt: skip


def _over_time(case: _Case, predict: Any, first: int) -> dict[str, np.ndarray]:
    """Return what was said of each value from ``first`` on, by how many steps ahead."""
    at = origins(first, case.parts.length, case.horizon)
    made, values = predict(case.windows(at)), case.series.values
    found = {}
    for ahead in sorted({1, case.horizon}):
        line = np.full(len(values) - first, np.nan)
        line[at + ahead - first] = made[:, ahead - 1]
        found[f"Forecast, {ahead} ahead"] = line
    rivals = forecasts(values, at, case.horizon, case.season)
    name = SEASONAL if SEASONAL in rivals else NAIVE
    line = np.full(len(values) - first, np.nan)
    line[at + 1 - first] = rivals[name][:, 0]
    return {**found, f"{own_forecast_card.SAID[name]}, 1 ahead": line}
