"""Write one network, 42 numbers to 1, as ``dnn.onnx`` and ``dnn.tflite`` with the same weights.

    python benchmarks/peers/dnn.py FOLDER

Two hidden layers of 64, as in the benchmark of the servers. Run it by the Python of
``make install-all``.
"""

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

SIZES = (42, 64, 64, 1)
Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def weights() -> Layers:
    """Return kernel and bias, float32, of each layer, the same ones in every run."""
    chance = np.random.default_rng(1)
    return [
        (
            (chance.standard_normal((rows, columns)) / rows**0.5).astype(np.float32),
            chance.standard_normal(columns).astype(np.float32),
        )
        for rows, columns in pairwise(SIZES)
    ]


def write_onnx(layers: Layers, file: Path) -> None:
    """Write the network with a free batch size."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, constants, at = [], [], "x"
    for number, (kernel, bias) in enumerate(layers):
        last = number == len(layers) - 1
        names = [f"kernel{number}", f"bias{number}"]
        constants += map(numpy_helper.from_array, (kernel, bias), names)
        nodes.append(helper.make_node("Gemm", [at, *names], ["y" if last else f"sum{number}"]))
        if not last:
            at = f"rest{number}"
            nodes.append(helper.make_node("Relu", [f"sum{number}"], [at]))
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])]
        for name, size in (("x", SIZES[0]), ("y", SIZES[-1]))
    ]
    graph = helper.make_graph(nodes, "dnn", *ends, constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def write_litert(layers: Layers, file: Path) -> None:
    """Write the network for LiteRT, as Keras exports it."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    kinds = ["relu"] * (len(layers) - 1) + [None]
    dense = [
        tf.keras.layers.Dense(len(bias), activation=kind)
        for (_, bias), kind in zip(layers, kinds, strict=True)
    ]
    network = tf.keras.Sequential([tf.keras.Input((SIZES[0],), name="x"), *dense])
    for layer, values in zip(dense, layers, strict=True):
        layer.set_weights(values)
    file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


def main(arguments: Sequence[str] | None = None) -> int:
    (folder,) = map(Path, sys.argv[1:] if arguments is None else arguments)
    layers = weights()
    write_onnx(layers, folder / "dnn.onnx")
    write_litert(layers, folder / "dnn.tflite")
    return 0


if __name__ == "__main__":
    sys.exit(main())
