"""What a training on a user's own series says of itself: a card, a model.toml, a params.json."""

import json
from collections.abc import Sequence
from typing import Any

from baselines import NAIVE, SEASONAL

from gpfn.models.toml_table import toml_text

__all__ = ["FILES", "SAID", "card", "files", "summary"]

FILES = ("forecast.json", "forecast.md", "model.toml", "params.json")
SAID = {NAIVE: "last value again", SEASONAL: "value of a season ago"}
_FEW = 10  # forecasts on which a figure says little


def summary(facts: dict[str, Any]) -> str:
    """Say in some lines how good the network is, beside what it has to beat."""
    metrics = facts["metrics"]
    rows = [("this network", metrics), *((SAID[n], m) for n, m in metrics["baselines"].items())]
    lines = [f"  {'held out':<22} {'MSE':>12} {'MAE':>12}"]
    lines += [f"  {name:<22} {each['mse']:>12.5g} {each['mae']:>12.5g}" for name, each in rows]
    return "\n".join([*lines, verdict(facts)])


def verdict(facts: dict[str, Any]) -> str:
    """Say whether the network is worth its place, in a sentence or two."""
    metrics, count = facts["metrics"], facts["data"]["held_out_forecasts"]
    better = [name for name, each in metrics["baselines"].items() if each["mse"] <= metrics["mse"]]
    few = f" Only {count} forecasts were judged, which says little." if count < _FEW else ""
    if not better:
        told = f"the error of the best of them is {metrics['margin']:.2f} times the network's"
        return f"The network beats every baseline: {told}.{few}"
    best = min(better, key=lambda name: metrics["baselines"][name]["mse"])
    told = f'The network does not beat "{SAID[best]}"; use that instead'
    return f"{told}, or give more data or another --window.{few}"


def files(facts: dict[str, Any], exports: Sequence[str], sample: str) -> dict[str, str]:
    """Return the texts of the folder by their names; the first of ``exports`` is the model."""
    window = json.dumps([facts["example"]["series"]]) + "\n"
    texts = (_json(facts), card(facts, exports), _model_toml(facts, exports[0], sample),
             _params(facts, exports[0]))  # fmt: skip
    return {**dict(zip(FILES, texts, strict=True)), sample: window}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _title(facts: dict[str, Any]) -> str:
    settings, data = facts["settings"], facts["data"]
    ahead = (
        f"the next {settings['horizon']} values" if settings["horizon"] > 1 else "the next value"
    )
    return f"{ahead} of {data['column']}, from {settings['window']}"


def _description(facts: dict[str, Any]) -> str:
    scaling, data = facts["scaling"], facts["data"]
    return (
        f"Learned from {data['first']} to {data['last']}, a value a {data['step']}. Values go in "
        "and come out as the series has them: the scaling "
        f"(mean {scaling['mean']:.6g}, standard deviation {scaling['scale']:.6g}) is inside."
    )


def _model_toml(facts: dict[str, Any], model: str, sample: str) -> str:
    settings = facts["settings"]
    return f"""\
title = {toml_text(_title(facts))}
description = {toml_text(_description(facts))}
source = "gpfn train forecast"
model = "{model}"
signature.inputs.series = {{ dtype = "float32", shape = [-1, {settings["window"]}] }}
signature.outputs.forecast = {{ dtype = "float32", shape = [-1, {settings["horizon"]}] }}

[serving]
warmup = ["{sample}"]
"""


def _params(facts: dict[str, Any], model: str) -> str:
    """Return what TFaaS's upload and ``gpfn models push`` take beside the model."""
    told = {
        "model": model,
        "description": f"{_title(facts)}. {_description(facts)}",
        "input_name": "series",
        "output_name": "forecast",
    }
    return _json(told)


def card(facts: dict[str, Any], exports: Sequence[str]) -> str:
    """Return the model card, in Markdown."""
    metrics, data, settings = facts["metrics"], facts["data"], facts["settings"]
    rows = [("**this network**", metrics)]
    rows += [(SAID[name], each) for name, each in metrics["baselines"].items()]
    table = "\n".join(f"| {name} | {each['mse']:.6g} | {each['mae']:.6g} |" for name, each in rows)
    example = facts["example"]
    coming = "\n".join(
        f"| {when} | {value:.6g} |"
        for when, value in zip(example["forecast_for"], example["forecast"], strict=True)
    )
    lite, frozen, onnx, savedmodel = exports
    return f"""\
# Forecast: {_plain(_title(facts))}

Written by `gpfn train forecast`; the same figures for machines are in `forecast.json`.

A simple recurrent network ({settings["hidden"]} ReLU units and a dense output) reads the last
{settings["window"]} values and says the {settings["horizon"]} after them at once.

| | name | dtype | shape |
|---|---|---|---|
| input | `series` | float32 | (n, {settings["window"]}), the newest value last |
| output | `forecast` | float32 | (n, {settings["horizon"]}) |

{_plain(_description(facts))}

| file | format |
|---|---|
| `{lite}` | LiteRT, unrolled; the batch can be resized |
| `{frozen}` | frozen TensorFlow graph, operations `series` and `forecast` |
| `{onnx}` | ONNX |
| `{savedmodel}/` | SavedModel, tag `serve`, signature `serving_default` |

On held-out windows their answers are at most {metrics["exports_apart"]:.1e} apart from the
trained network's.

## Results

| on what is held out, {data["held_out_forecasts"]} forecasts | MSE | MAE |
|---|---|---|
{table}

{verdict(facts)}

The MSE on the validation part was {metrics["validation_mse"]:.6g} after epoch
{metrics["best_epoch"]} of {metrics["epochs_run"]}, whose weights were kept; that on what was
learned from, at every step of a window, {metrics["training_mse"]:.6g}. {_season(settings)}

![Actual vs. Forecast](plots/forecast-actual.png)

## What comes next

From the last {settings["window"]} values of the data:

| when | forecast |
|---|---|
{coming}

## Data

Column {_plain(data["column"])} of {_plain(", ".join(data["files"]))}: {data["values"]} values, a
value a {data["step"]}, from {data["first"]} to {data["last"]}. {_filled(facts)}

Learned from: the first {data["learned_values"]}, which the scaling is taken from as well. From
{data["validation_from"]} on they only say when to stop, and from {data["held_out_from"]} on they
are held out: no step of the training saw them.

![The series](plots/forecast-series.png)

## Training

| setting | value |
|---|---|
| optimiser | Adam, learning rate {settings["learning_rate"]} |
| loss | mean squared error over all steps of a window, in standard deviations |
| epochs | {settings["epochs"]} at most; it ends when a hundred have not been better |
| seed | {settings["seed"]} |

![MSE by epoch](plots/forecast-mse.png)

## Limits

It knows this one series. What is learned from ends where the validation part begins; when newer
values are to be learned from, train again. Far outside of the values that it has seen its
forecasts mean nothing.
"""


def _filled(facts: dict[str, Any]) -> str:
    count, how = facts["data"]["filled"], facts["settings"]["fill"]
    if not count:
        return "None is missing."
    return (
        f"{count} of them were not there and were put in ({how}). No forecast is judged by those, "
        "nor made from where the newest value is one that was made of later ones."
    )


def _season(settings: dict[str, Any]) -> str:
    if not settings["season"]:
        return "No season was found, so there is one baseline."
    return f"A season is taken to have {settings['season']} values."


def _plain(text: str) -> str:
    """Return a text of the data as it can stand in Markdown, on one line."""
    return " ".join(text.split()).translate({ord(mark): f"\\{mark}" for mark in "|*_`<>[]"})
