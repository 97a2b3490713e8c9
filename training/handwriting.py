"""Scikit-learn's handwritten digits as small grey images, and variations of them.

1,797 images of 8 by 8 pixels come with scikit-learn: the test part of the UCI set "Optical
Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998), light on dark.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["CLASSES", "SIDE", "Part", "digits", "varied"]

SIDE, CLASSES = 8, 10
_INK = 16  # the brightest value in scikit-learn's copy
_TEST_SHARE = 5  # one of so many images


class Part(NamedTuple):
    """Images (n, 8, 8, 1), uint8, 0 is black and 255 white, and which digit each shows."""

    images: np.ndarray
    digits: np.ndarray


def digits(seed: int) -> tuple[Part, Part]:
    """Return the training part and the test part; the seed decides which image is where."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images * (255 / _INK)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(order) // _TEST_SHARE])
    return Part(images[train], data.target[train]), Part(images[test], data.target[test])


def varied(images: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return each image moved by up to a pixel, with other contrast, noise, maybe inverted.

    So that the network reads dark digits on light paper as well as light ones on dark.
    """
    count = len(images)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(np.float32)
    down, right = chance.integers(0, 3, (2, count))
    rows = np.arange(SIDE) + down[:, np.newaxis]
    columns = np.arange(SIDE) + right[:, np.newaxis]
    moved = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    dark = chance.uniform(0, 60, (count, 1, 1, 1))
    light = chance.uniform(150, 255, (count, 1, 1, 1))
    grey = dark + (light - dark) * moved / 255 + chance.normal(0, 8, moved.shape)
    inverted = chance.random((count, 1, 1, 1)) < 0.5
    return np.clip(np.where(inverted, 255 - grey, grey), 0, 255).round().astype(np.uint8)
