"""Which pictures are learned from, which say when to stop, and which are held out.

Each class is cut by itself, so that every class is in the held-out part.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Split", "folds", "split"]

HELD_OUT, VALIDATION = 0.2, 0.15
"""Of a class, and of what is left of it then."""


class Split(NamedTuple):
    """Numbers of pictures, each part in a random order."""

    learned: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split(labels: np.ndarray, seed: int) -> Split:
    """Return the three parts of pictures of these classes (n,), which have two each at least.

    One picture of a class is held out at least, and one is learned from. A class of fewer
    than five has none that says when to stop.
    """
    chance = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        own = chance.permutation(np.flatnonzero(labels == label))
        held_out = max(1, round(HELD_OUT * len(own)))
        validation = round(VALIDATION * (len(own) - held_out))
        cuts = np.split(own, [held_out, held_out + validation])
        for part, cut in zip(parts, (cuts[2], cuts[1], cuts[0]), strict=True):
            part.append(cut)
    return Split(*(chance.permutation(np.concatenate(part)) for part in parts))


def folds(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return for each picture (n,) which of ``count`` folds it is in, each class spread evenly."""
    chance = np.random.default_rng(seed)
    fold = np.empty(len(labels), int)
    first = 0
    for label in np.unique(labels):
        own = chance.permutation(np.flatnonzero(labels == label))
        fold[own] = (first + np.arange(len(own))) % count
        first += len(own)  # so that small classes do not all begin with the same fold
    return fold
