"""A simple recurrent network in TensorFlow, unrolled, with the scaling inside.

Unrolled because while-loops convert neither to LiteRT nor to ONNX; the scaling is part
of the graph so that whoever holds an exported file sends and receives real values.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before the import below
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # same sums on every machine

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["Recurrent", "fit"]

tf.get_logger().setLevel("ERROR")


class Recurrent(tf.Module):
    """Windows of ``steps`` values in, at every step the forecast of the next values out.

    ``state = relu(value * kernel + state @ recurrent + bias)``, and the forecast is a
    dense layer over the state. Shapes: (n, steps, 1) in, (n, steps, horizon) out, float32.
    """

    def __init__(
        self, steps: int, hidden: int, mean: float, scale: float, seed: int, horizon: int = 1
    ) -> None:
        super().__init__()
        self.steps, self.mean, self.scale = steps, mean, scale
        glorot = tf.keras.initializers.GlorotUniform
        orthogonal = tf.keras.initializers.Orthogonal(seed=seed + 1)
        self.kernel = tf.Variable(glorot(seed=seed)((1, hidden)))
        self.recurrent = tf.Variable(orthogonal((hidden, hidden)))
        self.bias = tf.Variable(tf.zeros(hidden))
        self.dense = tf.Variable(glorot(seed=seed + 2)((hidden, horizon)))
        self.offset = tf.Variable(tf.zeros(horizon))

    def __call__(self, series: tf.Tensor) -> tf.Tensor:
        """Forecast in the units of the series."""
        return self._in_units(tf.stack(self._states(series), axis=1))

    def last(self, series: tf.Tensor) -> tf.Tensor:
        """Forecast after the last step alone: (n, steps, 1) in, (n, horizon) out."""
        return self._in_units(self._states(series)[-1])

    def _in_units(self, states: tf.Tensor) -> tf.Tensor:
        return (states @ self.dense + self.offset) * self.scale + self.mean

    def _states(self, series: tf.Tensor) -> list[tf.Tensor]:
        scaled = (series - self.mean) * (1.0 / self.scale)
        first, *rest = tf.unstack(scaled, self.steps, axis=1)
        # The state before the first value is zero: nothing to multiply.
        states = [tf.nn.relu(first @ self.kernel + self.bias)]
        for value in rest:
            carried = states[-1] @ self.recurrent
            states.append(tf.nn.relu(value @ self.kernel + self.bias + carried))
        return states


def fit(
    network: tf.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    after_epoch: Callable[[int, float], None],
) -> list[float]:
    """Train on all windows at once with Adam and return the MSE of every epoch.

    The same seed on the same machine gives the same weights, bit for bit.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    variables = network.trainable_variables

    @tf.function
    def epoch() -> tf.Tensor:
        with tf.GradientTape() as tape:
            mse = tf.reduce_mean(tf.square(network(inputs) - targets))
        optimizer.apply_gradients(zip(tape.gradient(mse, variables), variables, strict=True))
        return mse

    history = []
    for number in range(1, epochs + 1):
        history.append(float(epoch()))
        after_epoch(number, history[-1])
    return history
