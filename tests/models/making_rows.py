"""Graphs that compute their rows apart, mix them, or keep a state; run as a program: FOLDER.

All but the last are made for a batch of 1, and most would resize without an error.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

__all__: list[str] = []

Body = Callable[[tf.Tensor], tf.Tensor]
KERNEL = np.linspace(-1, 1, 4 * 4, dtype=np.float32).reshape(4, 4)
TABLE = np.arange(20, dtype=np.float32).reshape(5, 4)


def _batch_norm(x: tf.Tensor) -> tf.Tensor:
    mean, variance = tf.nn.moments(x, [0])
    return (x - mean) / tf.sqrt(variance + 1)


def _loop(x: tf.Tensor) -> tf.Tensor:
    def step(n: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return n + 1, y - tf.reduce_mean(y, 0, keepdims=True)

    return tf.while_loop(lambda n, _: n < 3, step, [tf.constant(0), x * x])[1]


def _pairs(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(x[:, 0], x[:, 0], transpose_b=True)


def _norm(x: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1)


def _attention(x: tf.Tensor) -> tf.Tensor:
    scores = tf.nn.softmax(tf.matmul(x @ KERNEL, x, transpose_b=True))
    return tf.matmul(scores, x) + x


# All of these take (1, 3, 4).
MIXED: dict[str, Body] = {
    "peak": lambda x: x / tf.reduce_max(x),
    "softmax": lambda x: tf.nn.softmax(x, axis=0),
    "centre": lambda x: x - tf.reduce_mean(x, 0, keepdims=True),
    "batch_norm": _batch_norm,
    "reshape": lambda x: x * tf.reduce_max(tf.reshape(x, [-1, 2]), 0)[0],
    "reshape_back": lambda x: tf.reshape(tf.nn.softmax(tf.reshape(x, [4, -1])), [-1, 3, 4]),
    "transpose": lambda x: tf.transpose(tf.nn.softmax(tf.transpose(x, [2, 1, 0])), [2, 1, 0]),
    "gram": lambda x: x * tf.reduce_sum(tf.matmul(x[:, 0], x[:, 0], transpose_b=True)),
    "first_axes": lambda x: x * tf.matmul(x[:, 0], x[:, 1], transpose_a=True)[0],
    "pairs": lambda x: x + tf.reduce_sum(x[None, :, 0] * x[:, None, 1], 0)[:, None],
    "ranks": lambda x: x + tf.reduce_sum(x[:, 0] * x, 0, keepdims=True),
    "cumsum": lambda x: tf.cumsum(x, 0),
    "argmax": lambda x: x + tf.cast(tf.argmax(x[:, :, ::-1], 0), tf.float32),
    "topk": lambda x: x - tf.math.top_k(tf.reshape(x, [-1]), 1)[0],
    "join": lambda x: x - tf.reduce_max(tf.concat([x, x], 0), 0),
    "gather": lambda x: x - tf.gather(x, [0], axis=0),
    "slice": lambda x: x - tf.slice(x, [0, 0, 0], [1, 3, 4]),
    "strided_slice": lambda x: x - x[0:1],
    "first_row": lambda x: x - x[0],
    "unstack": lambda x: x * tf.unstack(x, axis=0)[0],
    "stack": lambda x: x + tf.reduce_sum(tf.stack([x, x]), [0, 1]),
    "reverse": lambda x: tf.reverse(x, [0]) + x,
    "l2_all": lambda x: x / tf.norm(x),
    "pad": lambda x: tf.pad(x, [[1, 0], [0, 0], [0, 0]])[:-1] + x,
    "loop": _loop,
}
APART: dict[str, Body] = {
    "dense": lambda x: tf.nn.relu(tf.matmul(tf.reshape(x, [-1, 3 * 4])[:, :4], KERNEL)),
    "layer": lambda x: tf.tanh(x @ KERNEL) + KERNEL[:3] * tf.sigmoid(x),
    "norm": _norm,
    "attention": _attention,
    "softmax": lambda x: tf.nn.softmax(x) + tf.nn.log_softmax(x),
    "transpose": lambda x: tf.transpose(x, [0, 2, 1]) * 2,
    "parts": lambda x: tf.concat(tf.split(x, 2, axis=2)[::-1], 2),
    "steps": lambda x: tf.stack([step * 2 for step in tf.unstack(x, axis=1)], 1),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 2]])[:, 1:, ::2],
    "topk": lambda x: tf.math.top_k(x, 4)[0] + tf.one_hot(tf.argmax(x, 2), 4),
    "cumsum": lambda x: tf.cumsum(x, 1) - tf.reverse(x, [2]),
    "select": lambda x: (
        tf.where(x > 1.0, x, tf.zeros_like(x)) + tf.reduce_max(x, [1, 2], keepdims=True)
    ),
    "words": lambda x: tf.gather(TABLE, tf.cast(x, tf.int32) % 5),
    "columns": lambda x: tf.gather(x, [2, 0], axis=2),
}


def rows_models(folder: Path) -> None:
    """Write ``mixed_NAME.tflite``, ``apart_NAME.tflite``, and ``open_NAME.tflite`` for two."""
    for kind, bodies in (("mixed", MIXED), ("apart", APART)):
        for name, body in bodies.items():
            _write(folder / f"{kind}_{name}.tflite", body, 1)
    _write(folder / "open_softmax.tflite", MIXED["softmax"], None)
    _write(folder / "open_pairs.tflite", _pairs, None)


def _write(path: Path, body: Body, batch: int | None) -> None:
    spec = tf.TensorSpec([batch, 3, 4], tf.float32, "x")
    function = tf.function(lambda x: {"y": body(x)}, input_signature=[spec])
    concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    path.write_bytes(converter.convert())


class _Counter(tf.Module):
    """Adds up what it has seen, in two signatures."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(0.0, name="total")
        self.kernel = tf.Variable(KERNEL, name="kernel")

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, "x")])
    def count(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Assign, then read."""
        return {"y": x * self.total.assign_add(tf.reduce_sum(x))}

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, "x")])
    def look(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read only."""
        return {"y": tf.matmul(x, self.kernel) + self.total}

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, "x")])
    def branch(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Assign inside a branch."""
        added = tf.cond(
            tf.reduce_sum(x) > 0, lambda: self.total.assign_add(1.0) + 0.0, lambda: tf.constant(0.0)
        )
        return {"y": x * added}


@tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, "x")])
def _noise(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": x + tf.random.uniform([1, 4], seed=7)}


def stateful_models(folder: Path) -> None:
    """Write models that would keep something from call to call."""
    counter = _Counter()
    signatures = {"count": counter.count, "look": counter.look, "branch": counter.branch}
    tf.saved_model.save(counter, str(folder / "counter"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "counter"))
    converter.experimental_enable_resource_variables = True
    (folder / "counter.tflite").write_bytes(converter.convert())
    noise = _noise.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([noise], tf.Module())
    (folder / "noise.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    rows_models(Path(sys.argv[1]))
    stateful_models(Path(sys.argv[1]))
