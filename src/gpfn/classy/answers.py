"""What a pipeline's answer says of each picture: its classes, or what is wrong with it.

Outputs are known by what they are: the first array of numbers has the scores, and the arrays of
strings behind it are problems, those of later stages first (`gpfn.classy.asked`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import ModelFailed, SetupError, printable

if TYPE_CHECKING:
    import numpy as np

    _Array = np.ndarray[Any, Any]

__all__ = ["ImageClass", "Row", "is_strings", "may_be_scores", "read_answer"]

_BACKGROUND = "background"
_NO_SCORES = "the pipeline gives no scores"
_SHOWN = 300


class ImageClass(NamedTuple):
    """A class of a picture; ImageNet's background class is not counted, it would be -1."""

    number: int
    name: str
    probability: float


Row = tuple[tuple[ImageClass, ...], str]
"""The classes of a picture, the best first, or what is wrong with it."""


def read_answer(
    outputs: Sequence[_Array], count: int, labels: Sequence[str], topk: int
) -> list[Row]:
    """Return classes or a problem for each of ``count`` pictures.

    Raises ModelFailed when there are no scores, SetupError when the labels do not fit them.
    """
    numbers = [index for index, each in enumerate(outputs) if may_be_scores(each)]
    if not numbers or len(outputs[numbers[0]]) != count:
        given = ", ".join([f"{each.dtype} {each.shape}" for each in outputs])
        if not [each for each in outputs if each.dtype.kind != "O"]:
            raise ModelFailed(f"{_NO_SCORES}, but {given}" if given else _NO_SCORES)
        raise ModelFailed(f"expected scores of shape ({count}, classes), got {given}")
    scores = _probabilities(outputs[numbers[0]].reshape(count, -1))
    names, uncounted = _names(labels, scores.shape[1])
    problems = _problems(outputs[numbers[0] + 1 :], scores)
    best = (-scores).argsort(axis=1, kind="stable")[:, :topk]
    found: list[Row] = []
    for row, top, problem in zip(scores, best.tolist(), problems, strict=True):
        known = [(n, float(row[n])) for n in top if not problem and abs(row[n]) != float("inf")]
        classes = [ImageClass(n - uncounted, names[n], score) for n, score in known]
        found.append((tuple(classes), problem))
    return found


def may_be_scores(array: _Array) -> bool:
    """Say whether an array may have the scores: numbers, and several for each picture."""
    return array.dtype.kind in "uif" and array.ndim > 1 and array.size > 0


def _probabilities(scores: _Array) -> _Array:
    """Return what a softmax gives as numbers from 0 to 1.

    A quantised one has the scale 1/256, and the zero point 0 or -128, by LiteRT's specification
    of quantisation.
    """
    if scores.dtype.name == "uint8":
        return scores / 256
    if scores.dtype.name == "int8":
        return (scores.astype("float64") + 128) / 256
    return scores.astype("float64")


def _names(labels: Sequence[str], classes: int) -> tuple[Sequence[str], int]:
    """Return a name for each score, and how many in front are not counted. Raises SetupError."""
    background = [*labels[:1]] == [_BACKGROUND]
    if len(labels) == classes:
        return labels, int(background)
    if background and len(labels) == classes + 1:
        return labels[1:], 0
    if not background and len(labels) == classes - 1 == 1000:
        return (_BACKGROUND, *labels), 1
    raise SetupError(f"{len(labels)} names for {classes} classes", field="labels")


def _problems(behind: Sequence[_Array], scores: _Array) -> list[str]:
    """Return what is wrong with each row, as the first of the stages says that says anything.

    A row that has a score which is no number has no best class either: its largest is NaN.
    """
    import numpy as np

    sound = np.isfinite(scores.max(axis=1)).tolist()
    found = ["" if each else "the model gave no probabilities" for each in sound]
    for each in behind:
        if is_strings(each, len(found)):
            for row, text in enumerate(each.tolist()):
                told = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
                found[row] = printable(told, _SHOWN) or found[row]
    return found


def is_strings(array: _Array, count: int) -> bool:
    """Say whether an array has a text for each picture."""
    return array.dtype.kind == "O" and bool(array.shape == (count,))
