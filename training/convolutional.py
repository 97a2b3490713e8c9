"""A small convolutional network in TensorFlow that takes images as bytes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before the import below
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # same sums on every machine

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from handwriting import CLASSES, SIDE, Part, varied

__all__ = ["Convolutional", "fit"]

tf.get_logger().setLevel("ERROR")

_FIRST, _SECOND = 24, 32  # filters
_POOLED = (SIDE // 2) ** 2 * _SECOND
_BATCH = 64


class Convolutional(tf.Module):
    """Grey images in, the probability of each class out.

    Two convolutions of 3 by 3 with ReLU, one pooling, one dense layer. Shapes:
    (n, 8, 8, 1) uint8 in, (n, 10) float32 out.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        he = tf.keras.initializers.HeUniform
        self.first = tf.Variable(he(seed)((3, 3, 1, _FIRST)))
        self.first_bias = tf.Variable(tf.zeros(_FIRST))
        self.second = tf.Variable(he(seed + 1)((3, 3, _FIRST, _SECOND)))
        self.second_bias = tf.Variable(tf.zeros(_SECOND))
        self.dense = tf.Variable(he(seed + 2)((_POOLED, CLASSES)))
        self.dense_bias = tf.Variable(tf.zeros(CLASSES))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the probabilities."""
        return tf.nn.softmax(self.scores(images))

    def scores(self, images: tf.Tensor) -> tf.Tensor:
        """Return the logits, before the softmax."""
        grey = tf.cast(images, tf.float32) * (1 / 127.5) - 1.0
        edges = tf.nn.relu(tf.nn.conv2d(grey, self.first, 1, "SAME") + self.first_bias)
        shapes = tf.nn.relu(tf.nn.conv2d(edges, self.second, 1, "SAME") + self.second_bias)
        pooled = tf.nn.max_pool2d(shapes, 2, 2, "VALID")
        return tf.reshape(pooled, [-1, _POOLED]) @ self.dense + self.dense_bias


def fit(
    network: Convolutional,
    part: Part,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    after_epoch: Callable[[int, float], None],
) -> list[float]:
    """Train in batches of new variations and return the mean cross-entropy of every epoch.

    Adam's learning rate falls along a cosine to zero. The same seed on the same machine
    gives the same weights, bit for bit.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    batches = -(-len(part.images) // _BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * batches)
    step = _step(network, tf.keras.optimizers.Adam(rate))
    chance, history = np.random.default_rng(seed), []
    for number in range(1, epochs + 1):
        order = chance.permutation(len(part.images))
        images, digits = varied(part.images[order], chance), part.digits[order]
        cuts = range(0, len(order), _BATCH)
        losses = [step(images[cut : cut + _BATCH], digits[cut : cut + _BATCH]) for cut in cuts]
        history.append(float(np.mean(losses)))
        after_epoch(number, history[-1])
    return history


def _step(
    network: Convolutional, optimizer: tf.keras.optimizers.Optimizer
) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    variables = network.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = network.scores(images)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(digits, scores)
            loss = tf.reduce_mean(each)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step
