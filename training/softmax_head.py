"""The last layer of a classifier, trained on features: weights, a bias, a softmax.

All in NumPy: the features of thousands of pictures are trained on in seconds, and the same
seed gives the same weights, bit for bit.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["Epoch", "Fitted", "Head", "Part", "fit"]

_BATCH = 64
_BLOCK = 4096
_LEAST_GAIN = 1e-3
"""Of cross-entropy, that an epoch has to be better by: a smooth curve falls for ever."""
_MOMENT, _SQUARE, _TINY = 0.9, 0.999, 1e-8
"""Adam's usual numbers."""


class Part(NamedTuple):
    """Features (n, size), float32, and the number of each one's class (n,)."""

    features: np.ndarray
    labels: np.ndarray


class Head(NamedTuple):
    """``weights`` (size, classes) and ``bias`` (classes,), both float32."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the probabilities (n, classes) as float64."""
        return _softmax(features.astype(np.float64) @ self.weights + self.bias)


class Epoch(NamedTuple):
    """Mean cross-entropy and accuracy; of the validation part NaN where there is none."""

    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


class Fitted(NamedTuple):
    """The head, every epoch that was trained, and the number of the one that it is of."""

    head: Head
    history: list[Epoch]
    best: int


def fit(
    learned: Part,
    validation: Part,
    classes: int,
    *,
    epochs: int,
    learning_rate: float,
    l2: float,
    patience: int,
    seed: int,
    after_epoch: Callable[[int, float], None] = lambda _number, _loss: None,
) -> Fitted:
    """Train by Adam in batches; the head of the least validation loss counts.

    Classes weigh the same however many pictures they have. ``l2`` times half the sum of the
    squared weights is added to the loss. It ends ``patience`` epochs after the best one;
    without a validation part the last epoch is the best.
    """
    scaling = _Scaling.of(learned.features)
    given = Part(scaling.apply(learned.features), learned.labels)
    checked = Part(scaling.apply(validation.features), validation.labels)
    weight = _class_weights(learned.labels, classes)
    history: list[Epoch] = []
    best, kept = 0, np.zeros((given.features.shape[1] + 1, classes))
    trained = _epochs(given, weight, learning_rate=learning_rate, l2=l2, seed=seed)
    for number, weights in zip(range(1, epochs + 1), trained, strict=False):
        history.append(
            Epoch(*_measured(weights, given, weight), *_measured(weights, checked, weight))
        )
        after_epoch(number, history[-1].loss)
        if not len(checked.labels) or not best or _improves(history, best):
            best, kept = number, weights.copy()
        if len(checked.labels) and number - best >= patience:
            break
    return Fitted(scaling.undone(kept), history, best)


def _improves(history: list[Epoch], best: int) -> bool:
    return history[-1].validation_loss < history[best - 1].validation_loss - _LEAST_GAIN


class _Scaling(NamedTuple):
    """How features become numbers around 0: less their mean, by one scale for all.

    A scale for each would be larger the less a feature says.
    """

    mean: np.ndarray
    scale: float

    @classmethod
    def of(cls, features: np.ndarray) -> "_Scaling":
        mean = features.mean(axis=0, dtype=np.float64)
        cuts = range(0, len(features), _BLOCK)
        squares = sum(np.square(features[cut : cut + _BLOCK] - mean).sum() for cut in cuts)
        spread = float(np.sqrt(squares / features.size))
        return cls(mean, 1 / spread if spread else 1.0)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return scaled features with a column of ones, which the bias is the weights of."""
        scaled = np.ones((len(features), len(self.mean) + 1), np.float32)
        np.subtract(features, self.mean, out=scaled[:, :-1], casting="same_kind")
        scaled[:, :-1] *= self.scale
        return scaled

    def undone(self, weights: np.ndarray) -> Head:
        """Return the head for features as they are."""
        own = weights[:-1] * self.scale
        bias = weights[-1] - self.mean @ own
        return Head(own.astype(np.float32), bias.astype(np.float32))


def _class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how much a picture of each class counts; the mean over all pictures is 1."""
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))


def _epochs(
    given: Part, weight: np.ndarray, *, learning_rate: float, l2: float, seed: int
) -> Iterator[np.ndarray]:
    """Yield the weights after each epoch, always the same array."""
    weights = np.zeros((given.features.shape[1], len(weight)))
    moment, square = np.zeros_like(weights), np.zeros_like(weights)
    chance, step = np.random.default_rng(seed), 0
    while True:
        order = chance.permutation(len(given.labels))
        for start in range(0, len(order), _BATCH):
            some, step = order[start : start + _BATCH], step + 1
            slope = _slope(weights, given.features[some], given.labels[some], weight)
            slope[:-1] += l2 * weights[:-1]
            moment += (1 - _MOMENT) * (slope - moment)
            square += (1 - _SQUARE) * (slope**2 - square)
            rate = learning_rate * np.sqrt(1 - _SQUARE**step) / (1 - _MOMENT**step)
            weights -= rate * moment / (np.sqrt(square) + _TINY)
        yield weights


def _slope(
    weights: np.ndarray, features: np.ndarray, labels: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return the gradient of the mean cross-entropy, its pictures weighed by their classes."""
    apart = _softmax(features @ weights)
    apart[np.arange(len(labels)), labels] -= 1
    return features.T @ (apart * weight[labels, np.newaxis]) / len(labels)


def _measured(weights: np.ndarray, part: Part, weight: np.ndarray) -> tuple[float, float]:
    if not len(part.labels):
        return float("nan"), float("nan")
    found = _softmax((part.features @ weights.astype(np.float32)).astype(np.float64))
    own = found[np.arange(len(part.labels)), part.labels]
    loss = np.average(-np.log(np.maximum(own, 1e-300)), weights=weight[part.labels])
    return float(loss), float((found.argmax(axis=1) == part.labels).mean())


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
