"""The measurements of a trained forecast network, and its model card."""

from typing import Any

import numpy as np
from series import NOISE, STEPS, TREND_FROM, Forecast, evaluate, month_name, split, windows

__all__ = ["card", "facts", "summary"]

_SETTINGS = ("hidden", "learning_rate", "epochs", "windows", "seed")
_FRESH = 20  # other series that the finished network is tried on


def facts(settings: Any, forecast: Forecast, history: list[float]) -> dict[str, Any]:
    """Measure the network; ``settings`` is forecast.Settings, the result is JSON's."""
    learned, held_out = split(settings.windows, settings.seed)
    inputs, targets = windows(held_out)
    example = np.round(inputs[-1:].astype(np.float64), 2).astype(np.float32)
    return {
        "model": "forecast",
        "settings": {name: getattr(settings, name) for name in _SETTINGS},
        "data": {
            "first_month": month_name(0),
            "trend_from": month_name(TREND_FROM),
            "held_out_from": month_name(len(learned)),
            "last_month": month_name(len(learned) + len(held_out) - 1),
            "training_windows": len(learned) - STEPS,
            "held_out_windows": len(held_out) - STEPS,
            "noise_variance": round(NOISE**2, 6),
        },
        "metrics": {
            **evaluate(forecast, held_out),
            "training_mse": history[-1],
            "mse_by_step": np.square(forecast(inputs) - targets).mean(axis=(0, 2)).tolist(),
            **_on_fresh_series(settings, forecast),
        },
        "example": {
            "series": [round(float(value), 2) for value in example.ravel()],
            "forecast": [round(float(value), 4) for value in forecast(example).ravel()],
        },
    }


def _on_fresh_series(settings: Any, forecast: Forecast) -> dict[str, Any]:
    """Try the network on the held-out part of series with other noise."""
    seeds = range(settings.seed + 1, settings.seed + 1 + _FRESH)
    margins = [evaluate(forecast, split(settings.windows, seed)[1])["margin"] for seed in seeds]
    return {"fresh_series": _FRESH, "lowest_margin_on_fresh_series": min(margins)}


def summary(facts: dict[str, Any]) -> str:
    """Say in a line how good the network is."""
    metrics = facts["metrics"]
    return (
        f'held-out MSE {metrics["mse"]:.3f}, "next value = last value" '
        f"{metrics['naive_mse']:.3f}, {metrics['margin']:.2f} times as much"
    )


def card(facts: dict[str, Any]) -> str:
    """Return the model card, in Markdown."""
    metrics, data, settings = facts["metrics"], facts["data"], facts["settings"]
    return f"""\
# Forecast: the next value of a monthly series

Written by `gpfn train forecast`; the same figures for machines are in `forecast.json`.

A simple recurrent network ({settings["hidden"]} ReLU units and a dense output) reads windows of
{STEPS} monthly values and says after each of them what the next one will be.

| | name | dtype | shape |
|---|---|---|---|
| input | `series` | float32 | (n, {STEPS}, 1) |
| output | `forecast` | float32 | (n, {STEPS}, 1) |

Input and output are values as the series has them: the scaling (mean
{facts["scaling"]["mean"]:.4f}, standard deviation {facts["scaling"]["scale"]:.4f}) is inside the
model, in every format. The first forecasts of a window are made from few values and are
the least certain.

| file | format |
|---|---|
| `forecast.tflite` | LiteRT, unrolled; the batch can be resized |
| `rnn_ts_model.pb` | frozen TensorFlow graph, operations `series` and `forecast` |
| `forecast_savedmodel/` | SavedModel, tag `serve`, signature `serving_default` |
| `forecast.onnx` | ONNX |

On the held-out windows their answers are at most {metrics["exports_apart"]:.1e} apart from the
trained network's.

## Data

Synthetic, so free of rights and of people: monthly values from {data["first_month"]} to
{data["last_month"]}, a level, a yearly season, Gaussian noise with variance
{data["noise_variance"]}, and an upward trend from {data["trend_from"]} on. From
{data["held_out_from"]} on it is held out: {data["held_out_windows"]} windows, against
{data["training_windows"]} for training, that no training step saw.

![The series](plots/forecast-series.png)

## Training

| setting | value |
|---|---|
| hidden units | {settings["hidden"]} |
| optimiser | Adam, learning rate {settings["learning_rate"]} |
| loss | mean squared error over all {STEPS} steps |
| epochs | {settings["epochs"]}, all windows at once |
| length of the series | {settings["windows"]} windows of {STEPS} months and one month |
| seed | {settings["seed"]} |

The defaults of these settings and of the noise were chosen with the seeds 1, 2 and 3; the committed
model's seed was not looked at before.

![MSE by epoch](plots/forecast-mse.png)

## Results

| on the held-out windows | MSE |
|---|---|
| this model | {metrics["mse"]:.3f} |
| "next value = last value" | {metrics["naive_mse"]:.3f} |
| training windows, for comparison | {metrics["training_mse"]:.3f} |
| the noise, which nothing can forecast | {data["noise_variance"]:.3f} |

The error of "next value = last value" is **{metrics["margin"]:.2f} times** the model's. At the
first step, which sees one value only, the model's MSE is {metrics["mse_by_step"][0]:.3f}; at the
last, which sees {STEPS}, {metrics["mse_by_step"][-1]:.3f}. On the held-out part of
{metrics["fresh_series"]} other series, made with other seeds, the factor is at least
{metrics["lowest_margin_on_fresh_series"]:.2f}.

![Actual vs. Forecast](plots/forecast-actual.png)

## Limits

It knows one kind of series: this level, this season, this trend. Far outside the values
from {data["first_month"]} to {data["last_month"]} its forecasts mean nothing.
"""
