"""The measurements of a trained digits network, and its model card."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from handwriting import digits, varied

__all__ = ["card", "facts", "summary"]


def facts(
    settings: Any, classify: Callable[[np.ndarray], np.ndarray], history: list[float]
) -> dict[str, Any]:
    """Measure the network; ``settings`` is digits.Settings, the result is JSON's."""
    learned, test = digits(settings.seed)
    answers = classify(test.images).argmax(axis=1)
    confused = np.zeros((10, 10), int)
    np.add.at(confused, (test.digits, answers), 1)

    def accuracy(images: np.ndarray) -> float:
        return float((classify(images).argmax(axis=1) == test.digits).mean())

    return {
        "model": "digits",
        "settings": {name: value for name, value in asdict(settings).items() if name != "out"},
        "data": {"training_images": len(learned.images), "test_images": len(test.images)},
        "metrics": {
            "test_accuracy": accuracy(test.images),
            "test_accuracy_inverted": accuracy(255 - test.images),
            "test_accuracy_varied": accuracy(varied(test.images, np.random.default_rng(0))),
            "training_loss": history[-1],
            "confusion": confused.tolist(),
        },
        "example": {
            "image": test.images[0, ..., 0].tolist(),
            "digit": int(test.digits[0]),
            "probability": float(classify(test.images[:1])[0].max()),
        },
    }


def summary(facts: dict[str, Any]) -> str:
    """Say in a line how good the network is."""
    metrics, images = facts["metrics"], facts["data"]["test_images"]
    return (
        f"test accuracy {metrics['test_accuracy']:.4f} on {images} images, "
        f"{metrics['test_accuracy_inverted']:.4f} dark on light"
    )


def card(facts: dict[str, Any]) -> str:
    """Return the model card, in Markdown."""
    metrics, data, settings = facts["metrics"], facts["data"], facts["settings"]
    rows = "\n".join(
        f"| **{digit}** | " + " | ".join(str(count or "") for count in row) + " |"
        for digit, row in enumerate(metrics["confusion"])
    )
    return f"""\
# Digits: which digit a small image shows

Written by `gpfn train digits`; the same figures for machines are in `digits.json`.

A small convolutional network (two convolutions, one pooling, one dense layer) that is part
of gpfn, so that an image can be classified with nothing downloaded.

| | name | dtype | shape |
|---|---|---|---|
| input | `image` | uint8 | (n, 8, 8, 1), grey: 0 is black, 255 white |
| output | `probabilities` | float32 | (n, 10), of the digits 0 to 9 |

`digits.tflite` is the model, `digits_labels.txt` has the classes. The scaling is inside the
model: it takes the bytes of the resized image as they are. Its answers are at most
{metrics["export_apart"]:.1e} apart from the trained network's.

## Data

The 1,797 images that come with scikit-learn: the test part of the UCI set "Optical
Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998), written by 13 people.
Training has {data["training_images"]} of them, the test {data["test_images"]}, drawn at random:
the same people wrote both. While training, images are moved by up to a pixel, get other
contrast and noise, and about half of them are inverted.

## Training

| setting | value |
|---|---|
| optimiser | Adam, learning rate {settings["learning_rate"]}, falling to 0 along a cosine |
| loss | cross-entropy |
| epochs | {settings["epochs"]}, in batches of 64 |
| seed | {settings["seed"]} |

The defaults were chosen with the seeds 1, 2 and 3, which also cut the data differently.

![Loss by epoch](plots/digits-loss.png)

## Results

| on the test images | accuracy |
|---|---|
| as they are, light on dark | **{metrics["test_accuracy"]:.4f}** |
| inverted, dark on light | {metrics["test_accuracy_inverted"]:.4f} |
| moved, with other contrast and noise | {metrics["test_accuracy_varied"]:.4f} |

How often a digit (row) was taken for which (column), light on dark:

| | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}

![Test images with answers](plots/digits-test.png)

## Limits

It expects one digit that fills the image, as its training images do. Anything else is called
a digit too, at times with a high probability.
"""
