"""The pictures of a trained classifier of photos, as PNG."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from picture_features import prepared
from plots import empty_figure, save_figure

from gpfn.images.preparation import ImageInput

if TYPE_CHECKING:
    from picture_learning import Trained

__all__ = ["confusion", "learning", "mistakes"]

_MOST_CLASSES = 20
_ACROSS, _DOWN = 6, 4
_LONGEST = 18
_RIGHT, _WRONG = "#2c7a2c", "#b3261e"


def learning(file: Path, trained: "Trained") -> None:
    """Plot loss and accuracy of every epoch; a line marks the one that the model is of."""
    fitted = trained.fitted
    epochs = np.arange(1, len(fitted.history) + 1)
    losses, accuracies, checked_losses, checked = (
        np.array(values) for values in zip(*fitted.history, strict=True)
    )
    with _figure(file, (9, 4)) as figure:
        loss, accuracy = figure.subplots(1, 2)
        loss.set(title="Loss by epoch", xlabel="epoch", ylabel="cross-entropy")
        accuracy.set(title="Accuracy by epoch", xlabel="epoch", ylabel="accuracy")
        loss.plot(epochs, losses, label="training")
        accuracy.plot(epochs, accuracies, label="training")
        if len(trained.parts.validation):
            loss.plot(epochs, checked_losses, label="validation")
            accuracy.plot(epochs, checked, label="validation")
        reached = float((trained.found == trained.expected).mean())
        accuracy.axhline(reached, color="grey", linestyle="--", label=f"held out: {reached:.3f}")
        accuracy.set_ylim(-0.03, 1.03)
        loss.set_ylim(bottom=0)
        for axes in (loss, accuracy):
            axes.axvline(
                fitted.best, color="black", linewidth=0.8, linestyle=":", label="the model"
            )
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="best")


def confusion(file: Path, trained: "Trained") -> None:
    """Show how many held-out pictures of a class (row) were taken for which (column).

    Of many classes those are shown that are mistaken most often.
    """
    counts = np.zeros((len(trained.classes),) * 2, int)
    np.add.at(counts, (trained.expected, trained.found), 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:_MOST_CLASSES]
    order = np.sort(order)
    counts = counts[np.ix_(order, order)]
    names = [_short(trained.classes[number]) for number in order]
    side = 2.5 + 0.45 * len(names)
    title = "Held-out pictures: what was taken for what"
    if len(order) < len(trained.classes):
        title = (
            f"The {len(order)} classes of {len(trained.classes)} mistaken most, without the others"
        )
    with _figure(file, (max(side, 5), max(side - 0.5, 4))) as figure:
        axes = figure.add_subplot()
        axes.set(xlabel="taken for", ylabel="class")
        figure.suptitle(title, fontsize=11)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour)


def mistakes(file: Path, trained: "Trained", spec: ImageInput) -> None:
    """Show held-out pictures as the model sees them: the wrong ones, the surest mistake first.

    Where there is room the least sure ones of the right answers follow.
    """
    sure = trained.answers.max(axis=1)
    wrong = trained.found != trained.expected
    order = np.lexsort((np.where(wrong, -sure, sure), ~wrong))[: _ACROSS * _DOWN]
    paths = [trained.seen.pictures[trained.parts.held_out[number]] for number in order]
    title = f"{wrong.sum()} of {len(wrong)} held-out pictures were mistaken"
    missing = int(wrong.sum() - wrong[order].sum())
    title += f", {missing} of them not shown" if missing else ""
    title += "" if wrong[order].all() else "; of the others the least sure ones"
    down = -(-len(order) // _ACROSS)
    with _figure(file, (9.5, 0.5 + 2.05 * down)) as figure:
        figure.suptitle(title, fontsize=11)
        grid = [*figure.subplots(down, _ACROSS, squeeze=False).flat]
        for place in grid:
            place.axis("off")
        for place, number, path in zip(grid, order, paths, strict=False):
            place.imshow(prepared([path], spec)[0])
            name, said = (
                _short(trained.classes[each])
                for each in (trained.expected[number], trained.found[number])
            )
            told = (
                f"{name}\n→ {said} {sure[number]:.2f}"
                if wrong[number]
                else f"{name}\n{sure[number]:.2f}"
            )
            colour = _WRONG if wrong[number] else _RIGHT
            place.set_title(told, color=colour, fontsize=8, pad=3, parse_math=False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


@contextmanager
def _figure(file: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure that is written to ``file`` at the end."""
    figure = empty_figure(size)
    yield figure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that no font has is a box
        save_figure(figure, file)
