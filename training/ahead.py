"""The recurrent network for a series of one's own: a window in, the next values out.

While it learns, it forecasts after every step of a window, as the network of the made series
does; what is exported forecasts after the last one alone.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before the import below
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # same sums on every machine

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from recurrent import Recurrent

from gpfn.errors import SetupError

__all__ = ["Ahead", "Course", "fit_ahead", "predictor", "teaching"]

_ASKED = 4096  # windows of one call

_BATCH = 1024
"""Windows of a step of the training: as many as a long series may have fit into no memory."""
_PATIENCE = 100  # epochs without a lower error


class Ahead(tf.Module):
    """Windows in, the values after them out: (n, window) to (n, horizon), float32."""

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.network = network

    def __call__(self, series: tf.Tensor) -> tf.Tensor:
        """Forecast in the units of the series."""
        return self.network.last(tf.expand_dims(series, -1))


def predictor(model: tf.Module, window: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that asks a model for windows, some thousands at a time."""
    asked = tf.function(model, input_signature=[tf.TensorSpec((None, window), tf.float32)])

    def predict(windows: np.ndarray) -> np.ndarray:
        cuts = range(0, len(windows), _ASKED)
        answers = [asked(windows[at : at + _ASKED].astype(np.float32)).numpy() for at in cuts]
        return np.concatenate(answers)

    return predict


class Course(NamedTuple):
    """The mean squared errors by epoch, and the epoch whose weights were kept, from 1."""

    training: list[float]
    validation: list[float]
    best: int


def teaching(learned: np.ndarray, window: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows, (n, window, 1), and what comes after each step, (n, window, horizon).

    Both are float32, and all is within ``learned``.
    """
    values = learned.astype(np.float32)
    count = len(values) - window - horizon + 1
    inputs = np.lib.stride_tricks.sliding_window_view(values, window)[:count]
    after = np.lib.stride_tricks.sliding_window_view(values[1:], horizon)
    targets = np.lib.stride_tricks.sliding_window_view(after, window, axis=0)[:count]
    return inputs[..., np.newaxis], targets.transpose(0, 2, 1)


def fit_ahead(
    network: Recurrent,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    judge: Callable[[], float],
    epochs: int,
    learning_rate: float,
    seed: int,
    after_epoch: Callable[[int, float], None],
) -> Course:
    """Train with Adam, and keep the weights of the epoch that ``judge`` finds the best.

    It ends when ``judge`` has found none better for a hundred epochs. Errors are divided by the
    network's scale while it learns, so that the units of a series do not matter. The same seed
    on the same machine gives the same weights, bit for bit. Raises SetupError when no epoch has a
    finite error.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    step = _step(network, tf.keras.optimizers.Adam(learning_rate))
    chance = np.random.default_rng(seed)
    course, lowest, kept = Course([], [], 0), np.inf, []
    for number in range(1, epochs + 1):
        course.training.append(_epoch(step, inputs, targets, chance) * network.scale**2)
        course.validation.append(judge())
        after_epoch(number, course.training[-1])
        if course.validation[-1] < lowest:  # which a NaN never is
            course, lowest = course._replace(best=number), course.validation[-1]
            kept = [each.numpy() for each in network.variables]
        elif number - course.best >= _PATIENCE:
            break
    if not kept:
        told = f"the error is {course.validation[0]:g} from the first epoch on; make it smaller"
        raise SetupError(told, field="--learning-rate")
    for variable, value in zip(network.variables, kept, strict=True):
        variable.assign(value)
    return course


def _epoch(
    step: Callable[[np.ndarray, np.ndarray], tf.Tensor],
    inputs: np.ndarray,
    targets: np.ndarray,
    chance: np.random.Generator,
) -> float:
    """Take all windows once: at once when they are few, else in batches of another order."""
    count = len(inputs)
    if count <= _BATCH:
        return float(step(np.ascontiguousarray(inputs), np.ascontiguousarray(targets)))
    order, total = chance.permutation(count), 0.0
    for cut in range(0, count, _BATCH):
        rows = order[cut : cut + _BATCH]
        total += float(step(inputs[rows], targets[rows])) * len(rows)
    return total / count


def _step(
    network: Recurrent, optimizer: tf.keras.optimizers.Optimizer
) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    variables = network.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            apart = (network(inputs) - targets) * (1.0 / network.scale)
            mse = tf.reduce_mean(tf.square(apart))
        optimizer.apply_gradients(zip(tape.gradient(mse, variables), variables, strict=True))
        return mse

    return step
