"""Tiny models in every format, made by TensorFlow and onnx; run as a program: FOLDER.

In a process of its own, because the tests themselves must not load TensorFlow's Python
package. Deterministic: no training, and weights from fixed numbers.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper
from tensorflow.core.protobuf import saved_model_pb2

__all__: list[str] = []

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]
Spec = tf.TensorSpec


def both(folder: Path, name: str, function: tf.types.experimental.GenericFunction) -> None:
    """Save a function as a SavedModel and as .tflite."""
    saved(folder, name, function)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / name))
    (folder / f"{name}.tflite").write_bytes(converter.convert())


def saved(folder: Path, name: str, function: object) -> None:
    """Save a function, or several by signature, as a SavedModel."""
    module = tf.Module()
    module.function = function
    tf.saved_model.save(module, str(folder / name), signatures=function)


def frozen(folder: Path, name: str, function: tf.types.experimental.GenericFunction) -> None:
    """Save a function as a frozen graph whose tensors are called as in the signature."""
    with tf.Graph().as_default() as graph:
        specs = function.input_signature
        inputs = [tf.compat.v1.placeholder(s.dtype, s.shape, s.name) for s in specs]
        for key, tensor in tf.autograph.to_graph(function.python_function)(*inputs).items():
            tf.identity(tensor, key)
    (folder / f"{name}.pb").write_bytes(graph.as_graph_def().SerializeToString())


@tf.function(
    input_signature=[Spec([None, 3], tf.float32, "weights"), Spec([None, 3], tf.int32, "counts")]
)
def order(weights: tf.Tensor, counts: tf.Tensor) -> dict[str, tf.Tensor]:
    """Two inputs of different types, two outputs of different types and ranks."""
    total = tf.reduce_sum(weights * tf.cast(counts, tf.float32), axis=1)
    return {"total": total, "doubled": counts * 2}


@tf.function(input_signature=[Spec([None], tf.string, "words")])
def text(words: tf.Tensor) -> dict[str, tf.Tensor]:
    """Strings in, strings and lengths out."""
    return {"twice": tf.strings.join([words, words]), "length": tf.strings.length(words)}


@tf.function(input_signature=[Spec([3], tf.string, "words"), Spec([None], tf.int32, "which")])
def pick(words: tf.Tensor, which: tf.Tensor) -> dict[str, tf.Tensor]:
    """Strings that LiteRT can do; fails for an index beyond 2."""
    return {"picked": tf.gather(words, which)}


@tf.function(input_signature=[Spec([None], tf.float32, "x")])
def twice(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """One of two signatures."""
    return {"y": 2.0 * x}


@tf.function(input_signature=[Spec([None], tf.float32, "x")])
def thrice(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """The other of two signatures."""
    return {"y": 3.0 * x}


@tf.function(input_signature=[Spec([2], d, d) for d in DTYPES])
def dtypes(*arrays: tf.Tensor) -> dict[str, tf.Tensor]:
    """Every dtype, through a concatenation with itself."""
    return {f"{d}_out": tf.concat([a, a], 0) for d, a in zip(DTYPES, arrays, strict=True)}


@tf.function(input_signature=[Spec([], tf.float32, "x"), Spec(None, tf.float32, "any")])
def scalar(x: tf.Tensor, any: tf.Tensor) -> dict[str, tf.Tensor]:  # noqa: A002 - the name is tested
    """A scalar, and an input of unknown rank."""
    return {"sum": x + tf.reduce_sum(any)}


@tf.function(input_signature=[Spec([1, 4], tf.float32, "x")])
def mixing(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Made for one row; resized it would mix the rows without an error."""
    return {"y": tf.matmul(x, tf.matmul(x, x, transpose_a=True))}


@tf.function(input_signature=[Spec([1, 6, 2], tf.float32, "x")])
def unrolled(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A recurrent network in six written-out steps, its batch of 1 in the reshapes."""
    kernel = tf.constant(np.linspace(-1, 1, 2 * 8, dtype=np.float32).reshape(2, 8))
    recurrent = tf.constant(np.linspace(1, -1, 8 * 8, dtype=np.float32).reshape(8, 8) / 8)
    state, states = tf.zeros([1, 8]), []
    for step in range(6):
        state = tf.nn.relu(tf.matmul(x[:, step], kernel) + tf.matmul(state, recurrent))
        states.append(state)
    return {"y": tf.reshape(tf.stack(states), [1, 6, 8])}


@tf.function(input_signature=[Spec([None, 200, 2], tf.float32, "x")])
def looped(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A while-loop of 200 steps with matrices in it."""
    recurrent = tf.constant(np.eye(2, dtype=np.float32) * 0.5)
    state = tf.zeros_like(x[:, 0])
    for step in tf.range(200):
        tf.autograph.experimental.set_loop_options(
            shape_invariants=[(state, tf.TensorShape([None, 2]))]
        )
        state = tf.matmul(state, recurrent) + x[:, step]
    return {"y": state}


@tf.function(input_signature=[Spec([None, 4], tf.float32, "x")])
def spectrum(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A complex output, which no array here holds, beside one that can be used."""
    bins = tf.signal.fft(tf.cast(x, tf.complex64))
    return {"bins": bins, "strength": tf.abs(bins)}


@tf.function(input_signature=[Spec([4, 4], tf.float32, "x")])
def waves(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A complex output of LiteRT's own operator, beside one that can be used."""
    found = tf.signal.rfft2d(x)
    return {"waves": found, "strength": tf.abs(found)}


@tf.function(input_signature=[Spec([None], tf.float32, "x")])
def bins(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A complex output alone."""
    return {"bins": tf.cast(x, tf.complex64)}


@tf.function(input_signature=[Spec([None], tf.float32, "x")])
def twins(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Outputs that are to be called ``y`` and ``y:0``, and one called as the input."""
    return {"y": x + 1.0, "other": x + 2.0, "x": x + 3.0}


def rename(folder: Path, old: str, new: str) -> None:
    """Rename an output of a SavedModel's signature, also as Python would not let one name it."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    outputs = model.meta_graphs[0].signature_def["serving_default"].outputs
    outputs[new].CopyFrom(outputs.pop(old))
    path.write_bytes(model.SerializeToString())


class Affine(tf.Module):
    """With variables, so that a SavedModel has something to restore."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))

    @tf.function(input_signature=[Spec([None, 3], tf.float32, "x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """One matrix."""
        return {"y": tf.matmul(x, self.kernel)}


SIDE = 768


@tf.function(input_signature=[Spec([None, SIDE], tf.float32, "x")])
def slow(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Forty large matrices after one another: time enough to look at what else runs."""
    matrix = tf.constant(
        np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE) / SIDE
    )
    for _ in range(40):
        x = tf.tanh(tf.matmul(x, matrix))
    return {"y": x}


def quantised(folder: Path) -> None:
    """A convolution in uint8."""
    kernel = np.linspace(-1, 1, 3 * 3 * 1 * 4, dtype=np.float32).reshape(3, 3, 1, 4)

    @tf.function(input_signature=[Spec([1, 8, 8, 1], tf.float32, "image")])
    def convolve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        pooled = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")), [1, 2])
        return {"scores": tf.nn.softmax(pooled)}

    saved(folder, "quantised", convolve)
    generator = np.random.default_rng(7)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "quantised"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [generator.random((1, 8, 8, 1), np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    (folder / "quantised.tflite").write_bytes(converter.convert())


def onnx_file(
    folder: Path, name: str, nodes: list, inputs: list, outputs: list, constants: list = ()
) -> None:
    """Write an ONNX model."""
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


def onnx_models(folder: Path) -> None:
    """The same as above, where ONNX has it."""
    value, node = helper.make_tensor_value_info, helper.make_node
    onnx_file(
        folder,
        "order",
        [
            node("Cast", ["counts"], ["float"], to=TensorProto.FLOAT),
            node("Mul", ["weights", "float"], ["product"]),
            node("ReduceSum", ["product", "axes"], ["total"], keepdims=0),
            node("Add", ["counts", "counts"], ["doubled"]),
        ],
        [
            value("weights", TensorProto.FLOAT, ["n", 3]),
            value("counts", TensorProto.INT32, ["n", 3]),
        ],
        [value("total", TensorProto.FLOAT, ["n"]), value("doubled", TensorProto.INT32, ["n", 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    kinds = {d: helper.np_dtype_to_tensor_dtype(np.dtype(d)) for d in DTYPES}
    kinds["string"] = TensorProto.STRING
    onnx_file(
        folder,
        "dtypes",
        [node("Identity", [d], [f"{d}_out"]) for d in kinds],
        [value(d, kind, [2]) for d, kind in kinds.items()],
        [value(f"{d}_out", kind, [2]) for d, kind in kinds.items()],
    )
    onnx_file(
        folder,
        "pick",
        [node("Gather", ["words", "which"], ["picked"])],
        [value("words", TensorProto.STRING, [3]), value("which", TensorProto.INT32, ["n"])],
        [value("picked", TensorProto.STRING, ["n"])],
    )
    onnx_file(
        folder,
        "twins",
        [
            node("Add", ["x:0", "x:0"], ["y"]),
            node("Neg", ["x:0"], ["y:0"]),
            node("Abs", ["x:0"], ["x"]),
            node("Identity", ["x:0"], ["z:0"]),
        ],
        [value("x:0", TensorProto.FLOAT, ["n"])],
        [value(name, TensorProto.FLOAT, ["n"]) for name in ("y", "y:0", "x", "z:0")],
    )
    matrix = np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE) / SIDE
    nodes, last = [], "x"
    for index in range(40):
        nodes += [
            node("MatMul", [last, "m"], [f"p{index}"]),
            node("Tanh", [f"p{index}"], [f"t{index}"]),
        ]
        last = f"t{index}"
    nodes[-1].output[0] = "y"
    onnx_file(
        folder,
        "slow",
        nodes,
        [value("x", TensorProto.FLOAT, ["n", SIDE])],
        [value("y", TensorProto.FLOAT, ["n", SIDE])],
        [onnx.numpy_helper.from_array(matrix, "m")],
    )


def main(folder: Path) -> None:
    """Make all of them."""
    both(folder, "order", order)
    frozen(folder, "order", order)
    saved(folder, "text", text)
    frozen(folder, "text", text)
    both(folder, "pick", pick)
    saved(folder, "dtypes", dtypes)
    saved(folder, "scalar", scalar)
    saved(folder, "looped", looped)
    frozen(folder, "looped", looped)
    both(folder, "slow", slow)
    both(folder, "mixing", mixing)
    both(folder, "unrolled", unrolled)
    both(folder, "waves", waves)
    saved(folder, "spectrum", spectrum)
    frozen(folder, "spectrum", spectrum)
    saved(folder, "bins", bins)
    frozen(folder, "bins", bins)
    saved(folder, "twins", twins)
    rename(folder / "twins", "other", "y:0")
    quantised(folder)
    affine = Affine()
    tf.saved_model.save(affine, str(folder / "affine"), signatures=affine.__call__)
    several = {"twice": twice, "thrice": thrice}
    saved(folder, "several", several)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "several"))
    (folder / "several.tflite").write_bytes(converter.convert())
    onnx_models(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
