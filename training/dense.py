"""A dense network in TensorFlow, with the scaling of its columns inside.

The scaling is part of the graph so that whoever holds an exported file sends values as the
table has them. A column that never changed in training is multiplied by zero: it stays a
column of the model, so that rows keep their form, and its value never counts.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before the import below
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # same sums on every machine

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import tensorflow as tf

__all__ = ["Dense", "Fit", "Part", "Scaling", "fit"]

tf.get_logger().setLevel("ERROR")


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and standard deviation of each column, float32 [k]; a deviation of 0 is constant."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Scaling":
        """Measure the columns of float32 [n, k], in double precision, a column at a time."""
        columns = [column.astype(np.float64) for column in values.T]
        mean = np.array([column.mean() for column in columns], np.float32)
        constant = np.array([column.min() == column.max() for column in columns])
        deviation = np.array([column.std() for column in columns], np.float32)
        return cls(mean, np.where(constant, np.float32(0), deviation))

    @property
    def factor(self) -> np.ndarray:
        """What a value less its mean is multiplied by, float32 [k]."""
        usable = self.deviation > np.finfo(np.float32).tiny
        return np.where(usable, 1 / np.where(usable, self.deviation, 1), 0).astype(np.float32)


class Dense(tf.Module):
    """Layers of ReLU units over scaled columns.

    With ``classes`` it gives their probabilities: (n, k) float32 in, (n, classes) float32 out.
    Without it gives a number in the units of the ``target``: (n, 1) float32.
    """

    def __init__(
        self,
        scaling: Scaling,
        hidden: Sequence[int],
        *,
        classes: int = 0,
        target: Scaling | None = None,
        seed: int,
    ) -> None:
        super().__init__()
        self.classes, self.target = classes, target
        # Arrays become constants of each graph; tensors would become inputs of the ONNX file.
        self.mean, self.factor = scaling.mean, scaling.factor
        he, glorot = tf.keras.initializers.HeUniform, tf.keras.initializers.GlorotUniform
        sizes = (len(scaling.mean), *hidden, classes or 1)
        self.kernels, self.biases = [], []
        for number, (before, after) in enumerate(pairwise(sizes)):
            spread = glorot if number == len(hidden) else he
            self.kernels.append(tf.Variable(spread(seed + number)((before, after))))
            self.biases.append(tf.Variable(tf.zeros(after)))

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Return probabilities of the classes, or the number."""
        scores = self.scores(values)
        if self.classes:
            return tf.nn.softmax(scores)
        return scores * self.target.deviation + self.target.mean

    def scores(self, values: tf.Tensor) -> tf.Tensor:
        """Return what comes before the softmax, or the number in standard deviations."""
        state = (values - self.mean) * self.factor
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            state = tf.nn.relu(state @ kernel + bias)
        return state @ self.kernels[-1] + self.biases[-1]

    def losses(self, values: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the loss of each row: cross-entropy, or the square in standard deviations."""
        scores = self.scores(values)
        if self.classes:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)
        scaled = (targets - self.target.mean) * self.target.factor
        return tf.square(scores[:, 0] - scaled)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows for the network: values float32 [n, k], targets int32 or float32 [n], weights [n]."""

    values: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


@dataclass(slots=True)
class Fit:
    """The loss of every epoch on both parts, and the epoch whose weights were kept."""

    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: int = 0


def fit(
    network: Dense,
    learned: Part,
    validation: Part,
    *,
    epochs: int,
    patience: int,
    batch: int,
    learning_rate: float,
    seed: int,
    after_epoch: Callable[[int, float], None],
) -> Fit:
    """Train with Adam in shuffled batches, and keep the weights of the best epoch.

    The best is that of the lowest loss on ``validation``; training ends when ``patience``
    epochs came after it. The same seed on the same machine gives the same weights, bit for
    bit. Raises FloatingPointError when the loss is no number any more.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    step = _epoch(network, learned, batch, tf.keras.optimizers.Adam(learning_rate))
    judge = _judge(network, validation)
    chance, found, kept = np.random.default_rng(seed), Fit(), []
    for number in range(1, epochs + 1):
        order = chance.permutation(len(learned.values)).astype(np.int32)
        found.training.append(float(step(order)))
        found.validation.append(judge())
        if not np.isfinite(found.training[-1] + found.validation[-1]):
            raise FloatingPointError(f"the loss of epoch {number} is no number")
        after_epoch(number, found.validation[-1])
        if found.best == 0 or found.validation[-1] < found.validation[found.best - 1]:
            found.best = number
            kept = [variable.numpy() for variable in network.trainable_variables]
        elif number - found.best >= patience:
            break
    for variable, value in zip(network.trainable_variables, kept, strict=True):
        variable.assign(value)
    return found


def _epoch(
    network: Dense, part: Part, batch: int, optimizer: tf.keras.optimizers.Optimizer
) -> Callable[[np.ndarray], tf.Tensor]:
    """Return what goes once through all rows in a given order, and returns the mean loss."""
    variables = network.trainable_variables
    optimizer.build(variables)
    # Not a constant of the graph: one of more than 2 GB cannot be.
    values, targets, weights = map(tf.convert_to_tensor, (part.values, part.targets, part.weights))
    rows = len(part.values)

    @tf.function(
        input_signature=[
            tf.TensorSpec([rows], tf.int32),
            tf.TensorSpec(values.shape, values.dtype),
            tf.TensorSpec(targets.shape, targets.dtype),
            tf.TensorSpec(weights.shape, weights.dtype),
        ]
    )
    def epoch(
        order: tf.Tensor, values: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        total = tf.constant(0.0, tf.float64)
        for first in tf.range(0, rows, batch):
            chosen = order[first : first + batch]
            with tf.GradientTape() as tape:
                each = network.losses(tf.gather(values, chosen), tf.gather(targets, chosen))
                loss = tf.reduce_mean(each * tf.gather(weights, chosen))
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            total += tf.cast(loss, tf.float64) * tf.cast(tf.shape(chosen)[0], tf.float64)
        return total / rows

    return lambda order: epoch(order, values, targets, weights)


def _judge(network: Dense, part: Part) -> Callable[[], float]:
    """Return what computes the weighted mean loss of a part, in slices."""
    slices = range(0, len(part.values), 65_536)
    compute = tf.function(network.losses, reduce_retracing=True)

    def judge() -> float:
        total = 0.0
        for first in slices:
            here = slice(first, first + 65_536)
            each = compute(part.values[here], part.targets[here]).numpy().astype(np.float64)
            total += float((each * part.weights[here]).sum())
        return total / float(part.weights.sum())

    return judge
