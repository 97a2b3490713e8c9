"""The whole network, from bytes to probabilities, in every format, each of them asked."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from agreement import ask, disagreement
from exports import Exporter
from mobilenet import Features
from picture_features import prepared
from picture_learning import Trained
from softmax_head import Head

from gpfn.images.preparation import ImageInput

__all__ = ["EXPORTS", "RESULT", "SOURCE", "export"]

EXPORTS = LITE, ONNX, FROZEN, SAVED = "model.tflite", "model.onnx", "model.pb", "saved_model"
SOURCE, RESULT = "image", "probabilities"
APART = 1e-5
"""How far probabilities of the exports may be from those of the trained network."""
_ASKED = 32


class _Classifier(tf.Module):
    """Pictures in, the probability of each class out."""

    def __init__(self, features: Features, head: Head) -> None:
        super().__init__()
        self._features = features
        self._head = head

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        weights, bias = self._head  # arrays, which become constants of the graph
        return tf.nn.softmax(tf.matmul(self._features(pictures), weights) + bias)


def export(
    folder: Path, features: Features, spec: ImageInput, trained: Trained
) -> dict[str, dict[str, Any]]:
    """Write all formats into ``folder``; return the size and the largest difference of each.

    Held-out pictures, prepared anew, are asked of each file by its own library. Raises
    RuntimeError when an answer is further from the one in training than ``APART``.
    """
    network = _Classifier(features, trained.fitted.head)
    exporter = Exporter(network, (None, *spec.shape), source=SOURCE, result=RESULT, dtype=np.uint8)
    exporter.savedmodel(folder / SAVED)
    exporter.lite(folder / SAVED, folder / LITE)
    exporter.frozen(folder / FROZEN)
    exporter.onnx(folder / ONNX)
    asked = trained.parts.held_out[:_ASKED]
    rows = prepared([trained.seen.pictures[number] for number in asked], spec)
    expected = trained.answers[: len(asked)]
    found = {}
    for name in EXPORTS:
        answers = {name: ask(folder / name, SOURCE, RESULT, rows)}
        apart = disagreement(expected, answers, APART)
        found[name] = {"bytes": _size(folder / name), "apart": apart}
    return found


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
