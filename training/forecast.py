"""Train the forecast network and export it; `gpfn train forecast` calls this.

The last fifth of a synthetic monthly series is held out. The network reads windows of 20
months and says after every month what the next one will be. With ``data`` it is a series of
the user's own: see own_forecast.py.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forecast_card
from outcome import ROOT, Outcome, outcome
from series import STEPS, Forecast, month_name, split, windows
from staging import staging

from gpfn.errors import SetupError

__all__ = ["EXPORTS", "Settings", "train"]

SOURCE, RESULT = "series", "forecast"
LITE = "forecast.tflite"
EXPORTS = (LITE, "rnn_ts_model.pb", "forecast.onnx", "forecast_savedmodel")
"""One network in four formats; rnn_ts_model.pb is what graphpipe-tf's users have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen; the defaults made the committed model."""

    hidden: int = 100
    learning_rate: float = 0.001
    epochs: int = 600
    windows: int = 15
    """Length of the series in windows of 20 months; the last fifth of them is held out."""
    seed: int = 7
    out: Path = ROOT / "models"
    data: Sequence[Path] | None = None
    """Files with a series of the user's own; all that follows is said of it, and needs it."""
    column: str | None = None
    time: str | None = None
    window: int | None = None
    """Values that the network reads; 20 when nothing is said."""
    horizon: int | None = None
    """Values that it forecasts; 1 when nothing is said."""
    season: int | None = None
    """Values of a season, 0 for none; looked for when nothing is said."""
    fill: str | None = None
    decimal: str | None = None
    sort: bool = False


def train(settings: Settings) -> Outcome:
    """Train, compare the exports with the network, and write all to ``settings.out``.

    Raises SetupError for data that nothing can be learned from.

    A run that fails leaves the files that were there as they were. Training into the
    checkout's ``models`` also renews the function's own copy of the LiteRT file.
    """
    if settings.data:
        from own_forecast import train_own

        return train_own(settings)
    _check_own(settings)
    from recurrent import Recurrent

    learned, held_out = split(settings.windows, settings.seed)
    scaling = {"mean": float(learned.mean()), "scale": float(learned.std())}
    network = Recurrent(STEPS, settings.hidden, **scaling, seed=settings.seed)
    history = _fit(network, settings)

    def forecast(series: Any) -> Any:
        return network(series).numpy()

    facts = forecast_card.facts(settings, forecast, history)
    facts["scaling"] = {**scaling, "inside_the_model": True}
    with staging(settings.out) as folder:
        facts["metrics"]["exports_apart"] = _export(network, forecast, folder, held_out)
        _plot(folder / "plots", facts, history, forecast, settings)
        (folder / "forecast.json").write_text(json.dumps(facts, indent=2) + "\n")
        (folder / "forecast.md").write_text(forecast_card.card(facts))
    return outcome(settings.out, EXPORTS, facts, history, forecast_card.summary(facts))


def _check_own(settings: Settings) -> None:
    """Refuse what is said of a series of the user's own when there is none."""
    for name in ("column", "time", "window", "horizon", "season", "fill", "decimal", "sort"):
        if getattr(settings, name) not in (None, False):
            told = "is for a series of your own; name its file with --data"
            raise SetupError(told, field=f"--{name}")


def _fit(network: Any, settings: Settings) -> list[float]:
    from progress import reporting
    from recurrent import fit

    inputs, targets = windows(split(settings.windows, settings.seed)[0])
    with reporting(settings.epochs) as after_epoch:
        return fit(
            network,
            inputs,
            targets,
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            after_epoch=after_epoch,
        )


def _export(network: Any, forecast: Forecast, folder: Path, held_out: Any) -> float:
    from agreement import ask, disagreement
    from exports import Exporter

    Exporter(network, (None, STEPS, 1), source=SOURCE, result=RESULT).all(folder, EXPORTS)
    inputs, _ = windows(held_out)
    answers = {name: ask(folder / name, SOURCE, RESULT, inputs) for name in EXPORTS}
    return disagreement(forecast(inputs), answers)


def _plot(
    folder: Path,
    facts: dict[str, Any],
    history: list[float],
    forecast: Forecast,
    settings: Settings,
) -> None:
    import plots

    folder.mkdir()
    learned, held_out = split(settings.windows, settings.seed)
    inputs, targets = windows(held_out)
    plots.whole_series(folder / "forecast-series.png", learned, held_out)
    naive = {"next value = last value, held out": facts["metrics"]["naive_mse"]}
    plots.error_by_epoch(folder / "forecast-mse.png", history, "MSE", naive)
    first = month_name(len(learned) + len(held_out) - STEPS)
    plots.actual_and_forecast(
        folder / "forecast-actual.png", first, targets[-1].ravel(), forecast(inputs[-1:]).ravel()
    )


if __name__ == "__main__":
    from gpfn.cli.train import start

    raise SystemExit(start("forecast", Path(__file__), sys.argv[1:]))
