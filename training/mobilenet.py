"""The part of a quantised MobileNet that sees: a network of floats up to its features.

The catalogue's files are quantised. Their integers become the real numbers that they stand
for, and the layers behind the pooling, which name ImageNet's classes, are left out.
"""

import os
import struct

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before the import below
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # same sums on every machine

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gpfn.errors import SetupError

__all__ = ["Features"]

tf.get_logger().setLevel("ERROR")

_ACTIVATIONS = {0: tf.identity, 1: tf.nn.relu, 3: tf.nn.relu6}
_PADDINGS = {0: "SAME", 1: "VALID"}
"""By the numbers that TensorFlow Lite's schema has for them."""

_POOL, _SIDES = "AVERAGE_POOL_2D", (1, 2)


class _Step(NamedTuple):
    """A layer: the tensors that it takes and gives, by their numbers, and what it computes."""

    takes: list[int]
    gives: int
    compute: Callable[..., tf.Tensor]


class Features(tf.Module):
    """Pictures in, what MobileNet sees on them out.

    Shapes: (n, height, width, 3) uint8 in, (n, ``size``) float32 out; ``size`` is 256 for v1
    of width 0.25 and 1280 for v2. Bytes are scaled inside.
    """

    def __init__(self, tflite: Path) -> None:
        """Read the layers of a quantised .tflite, up to its pooling.

        Raises SetupError for a file that is no such MobileNet, OSError.
        """
        super().__init__()
        try:
            graph = _Graph(tflite.read_bytes())
            self._source, self._zero, self._scale = graph.source()
            self._steps = graph.steps()
            side = graph.side
        except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
            told = f"{tflite.name} is no quantised MobileNet ({error!r:.80})"
            raise SetupError(f"{told}; take mobilenet_v2 or mobilenet_v1", field="--base") from None
        self.size = int(self(np.zeros((1, *side, 3), np.uint8)).shape[-1])

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return the features of pictures."""
        bytes_as_floats = tf.cast(pictures, tf.float32)
        made = {self._source: (bytes_as_floats - self._zero) * self._scale}
        for step in self._steps:
            made[step.gives] = step.compute(*(made[number] for number in step.takes))
        return tf.reduce_mean(made[self._steps[-1].gives], _SIDES)


class _Graph:
    """The first subgraph of a .tflite file."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        (self._graph,) = self._model.subgraphs
        codes = self._model.operatorCodes
        self._kinds = [names[max(each.builtinCode, each.deprecatedBuiltinCode)] for each in codes]
        self.side = tuple(int(size) for size in self._tensor(self._graph.inputs[0]).shape[1:3])

    def source(self) -> tuple[int, float, float]:
        """Return the input's number, and which byte stands for 0 and what a step does."""
        (number,) = (int(each) for each in self._graph.inputs)
        quantization = self._tensor(number).quantization
        return number, float(quantization.zeroPoint[0]), float(quantization.scale[0])

    def steps(self) -> list[_Step]:
        """Return the layers up to the pooling."""
        kinds = [self._kinds[each.opcodeIndex] for each in self._graph.operators]
        return [self._step(each) for each in self._graph.operators[: kinds.index(_POOL)]]

    def _step(self, operator: Any) -> _Step:
        kind, options = self._kinds[operator.opcodeIndex], operator.builtinOptions
        (gives,) = (int(each) for each in operator.outputs)
        taken = [int(each) for each in operator.inputs]
        if kind == "ADD":
            return _Step(taken, gives, _sum(options))
        layer = {"CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise}[kind]
        weights, bias = (self._values(number) for number in taken[1:])
        return _Step(taken[:1], gives, layer(options, weights, bias))

    def _tensor(self, number: int) -> Any:
        return self._graph.tensors[number]

    def _values(self, number: int) -> np.ndarray:
        """Return the real numbers of a constant, which has one scale for all."""
        tensor = self._tensor(number)
        integers = np.frombuffer(
            bytes(self._model.buffers[tensor.buffer].data), _DTYPES[tensor.type]
        )
        (scale,), (zero,) = tensor.quantization.scale, tensor.quantization.zeroPoint
        real = (integers.astype(np.float64) - int(zero)) * float(scale)
        return real.reshape(tensor.shape).astype(np.float32)


_DTYPES = {2: np.int32, 3: np.uint8}
"""Of constants, by TensorType's numbers."""


def _sum(options: Any) -> Callable[..., tf.Tensor]:
    activation = _ACTIVATIONS[options.fusedActivationFunction]
    return lambda one, other: activation(one + other)


def _convolution(options: Any, weights: np.ndarray, bias: np.ndarray) -> Callable[..., tf.Tensor]:
    # An array, not a tensor: it becomes a constant of each graph that the layer is traced into.
    kernel = weights.transpose(1, 2, 3, 0)  # from (out, height, width, in)
    strides, padding, activation = _layer(options)
    return lambda values: activation(tf.nn.conv2d(values, kernel, strides, padding) + bias)


def _depthwise(options: Any, weights: np.ndarray, bias: np.ndarray) -> Callable[..., tf.Tensor]:
    kernel = weights.transpose(1, 2, 3, 0)  # from (1, height, width, channels)
    strides, padding, activation = _layer(options)
    steps = [1, *strides, 1]
    return lambda values: activation(tf.nn.depthwise_conv2d(values, kernel, steps, padding) + bias)


def _layer(options: Any) -> tuple[list[int], str, Callable[[tf.Tensor], tf.Tensor]]:
    """Return what both kinds of convolution have: strides, padding and activation."""
    if (options.dilationWFactor, options.dilationHFactor) != (1, 1):
        raise ValueError("a dilated convolution")
    strides = [int(options.strideH), int(options.strideW)]
    return strides, _PADDINGS[options.padding], _ACTIVATIONS[options.fusedActivationFunction]
