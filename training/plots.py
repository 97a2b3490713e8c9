"""The pictures of a training run, as PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from series import FIRST_YEAR

__all__ = [
    "actual_and_forecast",
    "empty_figure",
    "error_by_epoch",
    "forecasts_over_time",
    "images_with_answers",
    "new_figure",
    "save_figure",
    "series_in_parts",
    "whole_series",
]

_TICKS = 7


def whole_series(file: Path, learned: np.ndarray, held_out: np.ndarray) -> None:
    """Plot the series by year; the part held out is shaded."""
    figure, axes = new_figure("The series", "year", "value")
    years = FIRST_YEAR + np.arange(len(learned) + len(held_out)) / 12
    axes.plot(years, np.concatenate([learned, held_out]), linewidth=1)
    axes.axvspan(years[len(learned)], years[-1], alpha=0.15, label="held out")
    axes.legend(loc="upper left")
    save_figure(figure, file)


def series_in_parts(
    file: Path, values: np.ndarray, label: Callable[[int], str], parts: dict[str, tuple[int, int]]
) -> None:
    """Plot a series of any times; its ``parts`` are shaded, by what they are for.

    ``label`` says when a value is.
    """
    figure, axes = new_figure("The series", "", "value")
    axes.plot(values, linewidth=1)
    for shade, (name, (begin, end)) in zip((0.12, 0.3), parts.items(), strict=True):
        axes.axvspan(begin - 0.5, end - 0.5, alpha=shade, color="C1", label=name)
    _label_times(axes, 0, len(values), label)
    axes.legend(loc="upper left")
    save_figure(figure, file)


def forecasts_over_time(
    file: Path, label: Callable[[int], str], first: int, actual: np.ndarray, made: dict[str, Any]
) -> None:
    """Plot values as blue dots, and the forecasts of each of them, by who made them.

    ``first`` is the number of the first value. Forecasts are as long as ``actual``, with NaN
    where there is none.
    """
    figure, axes = new_figure("Actual vs. Forecast, held out", "", "value")
    steps = first + np.arange(len(actual))
    axes.plot(steps, actual, "bo-", markersize=4, linewidth=0.5, label="Actual")
    for style, (name, forecast) in zip(("r.-", "k:", "g--"), made.items(), strict=False):
        axes.plot(steps, forecast, style, linewidth=1, label=name)
    _label_times(axes, first, len(actual), label)
    figure.legend(loc="outside lower center", ncols=1 + len(made))
    save_figure(figure, file)


def _label_times(axes: Axes, first: int, count: int, label: Callable[[int], str]) -> None:
    at = sorted({*np.linspace(first, first + count - 1, min(count, _TICKS)).round().astype(int)})
    texts = [label(int(each)).replace("T", "\n") for each in at]  # a time of day is long
    axes.set_xticks(at, texts, fontsize=8)


def error_by_epoch(
    file: Path,
    history: list[float],
    measure: str,
    beside: dict[str, float] | None = None,
    validation: list[float] | None = None,
) -> None:
    """Plot the training error of every epoch, on a logarithmic scale.

    ``beside`` has errors to compare it with, by what they are; ``validation`` the error by epoch
    on what is not learned from.
    """
    figure, axes = new_figure(f"{measure} by epoch", "epoch", measure)
    axes.plot(range(1, len(history) + 1), history, label="training")
    if validation:
        axes.plot(range(1, len(validation) + 1), validation, label="validation", linewidth=1)
    for line, (label, error) in zip(("--", ":"), (beside or {}).items(), strict=False):
        axes.axhline(error, color="grey", linestyle=line, label=label)
    axes.set_yscale("log")
    axes.legend()
    save_figure(figure, file)


def actual_and_forecast(
    file: Path, first_step: str, actual: np.ndarray, forecast: np.ndarray
) -> None:
    """Plot the values of one window as blue dots and their forecasts as red ones."""
    figure, axes = new_figure("Actual vs. Forecast", f"month (1 is {first_step})", "value")
    steps = np.arange(1, len(actual) + 1)
    axes.plot(steps, actual, "bo", markersize=7, label="Actual")
    axes.plot(steps, forecast, "r.", markersize=9, label="Forecast")
    axes.set_xticks(steps)
    figure.legend(loc="outside right upper")
    save_figure(figure, file)


def images_with_answers(
    file: Path, images: np.ndarray, expected: np.ndarray, answers: np.ndarray
) -> None:
    """Show all wrong answers first, in red, then right ones, as far as there is room."""
    figure = empty_figure((8, 4))
    order = np.argsort(answers == expected, kind="stable")
    for place, index in zip(figure.subplots(4, 10).flat, order, strict=False):
        wrong = answers[index] != expected[index]
        place.imshow(images[index, ..., 0], cmap="gray", vmin=0, vmax=255)
        title = f"{expected[index]} as {answers[index]}" if wrong else str(answers[index])
        place.set_title(title, color="red" if wrong else "black", fontsize=10)
        place.axis("off")
    save_figure(figure, file)


def empty_figure(size: tuple[float, float]) -> Figure:
    """Return a figure of so many hundred pixels across and down."""
    # Not pyplot: it keeps every figure and picks a window system.
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_figure(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    """Return an empty figure of 800 by 400 pixels, and its axes."""
    figure = empty_figure((8, 4))
    axes = figure.add_subplot(title=title, xlabel=across, ylabel=up)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def save_figure(figure: Figure, file: Path) -> None:
    """Write it as PNG, the same bytes for the same picture."""
    with mpl.rc_context({"savefig.dpi": 100}):
        # Without the version of matplotlib in it the file only changes when the picture does.
        figure.savefig(file, metadata={"Software": None})
