"""From features to a last layer, and how good it is on pictures that it has not seen."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from picture_features import Seen
from picture_split import Split, folds, split
from softmax_head import Fitted, Head, Part, fit

__all__ = ["Learning", "Trained", "interval", "learn"]

_FEW = 100
"""Pictures held out below which one alone is more than a hundredth, and folds are tried too."""
_FOLDS = 5
_NORMAL = 1.96
"""Standard deviations of the normal distribution that hold 95 % of it."""


class Learning(NamedTuple):
    """How the last layer is trained; the fields are those of images.Settings."""

    epochs: int
    learning_rate: float
    l2: float
    patience: int
    seed: int


class Trained(NamedTuple):
    """A last layer, what it was made of, and its answers on what was held out.

    ``answers`` (n, classes) are the probabilities of the held-out pictures, in the order of
    ``parts.held_out``. ``crossed`` is the accuracy over all pictures, each by a layer that
    has not seen it; None when so many are held out that nobody needs it.
    """

    classes: tuple[str, ...]
    seen: Seen
    parts: Split
    fitted: Fitted
    answers: np.ndarray
    crossed: float | None

    @property
    def expected(self) -> np.ndarray:
        """The classes of the held-out pictures."""
        return self.seen.labels[self.parts.held_out]

    @property
    def found(self) -> np.ndarray:
        """What they were taken for."""
        return self.answers.argmax(axis=1)


def learn(
    classes: tuple[str, ...],
    seen: Seen,
    how: Learning,
    after_epoch: Callable[[int, float], None],
) -> Trained:
    """Cut the pictures into parts, train on one of them, and ask about the one held out."""
    parts = split(seen.labels, how.seed)
    fitted = _fitted(
        _part(seen, parts.learned), _plain(seen, parts.validation), classes, how, after_epoch
    )
    answers = fitted.head(seen.features[parts.held_out])
    few = len(parts.held_out) < _FEW
    crossed = _crossed(seen, classes, how._replace(epochs=fitted.best)) if few else None
    return Trained(classes, seen, parts, fitted, answers, crossed)


def interval(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's bounds: where the accuracy lies in 95 of 100 cases."""
    share, square = right / count, _NORMAL**2
    middle = share + square / (2 * count)
    around = _NORMAL * np.sqrt(share * (1 - share) / count + square / (4 * count**2))
    scale = 1 + square / count
    return max(0.0, float((middle - around) / scale)), min(1.0, float((middle + around) / scale))


def _fitted(
    learned: Part,
    validation: Part,
    classes: tuple[str, ...],
    how: Learning,
    after_epoch: Callable[[int, float], None] = lambda _number, _loss: None,
) -> Fitted:
    return fit(learned, validation, len(classes), **how._asdict(), after_epoch=after_epoch)


def _part(seen: Seen, numbers: np.ndarray) -> Part:
    """Return pictures to learn from, the mirrored ones too where there are any."""
    plain = _plain(seen, numbers)
    if not len(seen.flipped):
        return plain
    features = np.concatenate([plain.features, seen.flipped[numbers]])
    return Part(features, np.concatenate([plain.labels, plain.labels]))


def _plain(seen: Seen, numbers: np.ndarray) -> Part:
    return Part(seen.features[numbers], seen.labels[numbers])


def _crossed(seen: Seen, classes: tuple[str, ...], how: Learning) -> float:
    """Return the accuracy of layers that are each trained without the pictures they are asked.

    Each trains for as many epochs as the real one.
    """
    fold = folds(seen.labels, _FOLDS, how.seed)
    nothing = np.zeros(0, int)
    right = 0
    for number in np.unique(fold):
        learned, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        head: Head = _fitted(_part(seen, learned), _plain(seen, nothing), classes, how).head
        right += int((head(seen.features[asked]).argmax(axis=1) == seen.labels[asked]).sum())
    return right / len(seen.labels)
