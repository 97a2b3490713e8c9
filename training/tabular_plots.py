"""The pictures of a network over columns: losses, ROC curves, scores, importance, residuals."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from plots import empty_figure, new_figure, save_figure

__all__ = [
    "importance_of_columns",
    "loss_by_epoch",
    "predicted_and_true",
    "residuals",
    "roc",
    "scores_by_class",
]

_BINS = 40
_FEW = 1_000  # rows under which there are half as many bins
_MOST_BARS = 20
_MOST_CLASSES = 6
_CROWD = 5_000  # points from which on cells of colour say more


def loss_by_epoch(
    file: Path, history: Mapping[str, Sequence[float]], best: int, measure: str
) -> None:
    """Plot both losses of every epoch; a line marks the epoch whose weights were kept."""
    figure, axes = new_figure(f"{measure} by epoch", "epoch", measure)
    for part, losses in history.items():
        marker = "o" if len(losses) == 1 else None
        axes.plot(range(1, len(losses) + 1), losses, marker=marker, label=part)
    axes.axvline(best, color="grey", linestyle="--", label=f"kept: epoch {best}")
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    save_figure(figure, file)


def roc(file: Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]]) -> None:
    """Plot the curve of each class, the largest areas first in the legend."""
    figure = empty_figure((6, 6))
    axes = figure.add_subplot(
        title="ROC on the test rows", xlabel="false positive rate", ylabel="true positive rate"
    )
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    for name, (false, true, area) in curves.items():
        axes.plot(false, true, label=f"{_short(name)}: AUC {area:.4f}", drawstyle="steps-post")
    axes.set_aspect("equal")
    axes.grid(visible=True, alpha=0.3)
    if len(curves) <= 2 * _MOST_CLASSES:
        axes.legend(loc="lower right")
    save_figure(figure, file)


def scores_by_class(
    file: Path,
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
) -> None:
    """Plot how often each probability was given to rows of a class and to the others.

    Each of ``training`` and ``test`` is probabilities [n, classes] and places [n]. Where the
    test's points leave the training's bars, the network knows its training rows by heart.
    """
    shown = [1] if len(classes) == 2 else range(min(len(classes), _MOST_CLASSES))
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure = empty_figure((8 if columns == 1 else 4 * columns, 4 * rows))
    for number, place in enumerate(shown, 1):
        axes = figure.add_subplot(rows, columns, number)
        others = classes[0] if len(classes) == 2 else "the others"
        _scores(axes, training, test, place, (classes[place], others))
    if len(shown) < len(classes) > 2:
        figure.suptitle(f"{len(shown)} of {len(classes)} classes")
    lines, labels = figure.axes[0].get_legend_handles_labels()
    if len(classes) > 2:
        labels = [label.replace(_short(classes[0]), "the class", 1) for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=4, fontsize="small")
    save_figure(figure, file)


def _scores(
    axes: Axes,
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    place: int,
    names: tuple[str, str],
) -> None:
    bins = _BINS if len(training[0]) >= _FEW else _BINS // 2
    edges = np.linspace(0, 1, bins + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    for own, colour, name in ((True, "tab:red", names[0]), (False, "tab:blue", names[1])):
        chosen = [answers[(at == place) == own, place] for answers, at in (training, test)]
        axes.hist(
            chosen[0], edges, density=True, color=colour, alpha=0.35,
            label=f"{_short(name)}, training",
        )  # fmt: skip
        counts = np.histogram(chosen[1], edges)[0]
        scale = bins / max(1, len(chosen[1]))
        axes.errorbar(
            middles[counts > 0], counts[counts > 0] * scale,
            yerr=np.sqrt(counts[counts > 0]) * scale, fmt="o", markersize=4, linewidth=1,
            color=colour, label=f"{_short(name)}, test",
        )  # fmt: skip
    axes.set(
        title=f"Probability of {_short(names[0])}", xlabel="probability", ylabel="density",
        yscale="log",
    )  # fmt: skip
    axes.grid(visible=True, alpha=0.3)


def importance_of_columns(file: Path, names: Sequence[str], lost: np.ndarray, measure: str) -> None:
    """Plot by column what a measure loses, from [columns, repeats]: the 20 largest means."""
    order = np.argsort(-lost.mean(axis=1), kind="stable")[:_MOST_BARS]
    figure = empty_figure((8, max(2.5, 1.2 + 0.28 * len(order))))
    more = f", {len(order)} of {len(names)} columns" if len(order) < len(names) else ""
    axes = figure.add_subplot(
        title=f"Permutation importance{more}", xlabel=f"{measure} lost when the column is shuffled"
    )
    places = np.arange(len(order))
    axes.barh(places, lost[order].mean(axis=1), xerr=lost[order].std(axis=1), color="tab:blue")
    axes.set_yticks(places, [_short(names[column]) for column in order])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(visible=True, alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    save_figure(figure, file)


def predicted_and_true(file: Path, name: str, true: np.ndarray, predicted: np.ndarray) -> None:
    """Plot what was predicted for the test rows against what was true."""
    figure = empty_figure((6, 6))
    axes = figure.add_subplot(
        title=f"{_short(name)} of the test rows", xlabel="true", ylabel="predicted"
    )
    _points(axes, true, predicted)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color="black", linestyle="--", linewidth=1, label="predicted = true")
    axes.legend(loc="upper left")
    save_figure(figure, file)


def residuals(file: Path, true: np.ndarray, predicted: np.ndarray) -> None:
    """Plot predicted less true: how often, and over what was predicted."""
    figure = empty_figure((10, 4))
    away = predicted - true
    left = figure.add_subplot(1, 2, 1, title="Residuals", xlabel="predicted - true", ylabel="rows")
    left.hist(away, _BINS if len(away) >= _FEW else _BINS // 2, color="tab:blue")
    left.axvline(0, color="black", linestyle="--", linewidth=1)
    left.grid(visible=True, alpha=0.3)
    right = figure.add_subplot(
        1, 2, 2, title="Residuals by prediction", xlabel="predicted", ylabel="predicted - true"
    )
    _points(right, predicted, away)
    right.axhline(0, color="black", linestyle="--", linewidth=1)
    save_figure(figure, file)


def _points(axes: Axes, across: np.ndarray, up: np.ndarray) -> None:
    if len(across) <= _CROWD:
        axes.plot(across, up, ".", markersize=4, alpha=0.5)
    else:
        axes.hexbin(across, up, gridsize=60, bins="log", mincnt=1, cmap="viridis")
    axes.grid(visible=True, alpha=0.3)


def _short(name: str) -> str:
    # A dollar begins a formula of matplotlib's.
    return (name if len(name) <= 32 else f"{name[:31]}…").replace("$", r"\$")
