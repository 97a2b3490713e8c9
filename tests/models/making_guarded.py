"""Models that do what an uploaded model must not, and some that are right; as a program: FOLDER.

``allowed/`` has what must pass, ``refused/`` what must not. A folder is a SavedModel, a .pb a
frozen graph. In a process of its own, because the tests themselves must not load TensorFlow's
Python package.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.lite.python import schema_py_generated as schema

__all__: list[str] = []

Spec = tf.TensorSpec
NUMBERS, WORDS = [Spec([None, 3], tf.float32, "x")], [Spec([], tf.string, "name")]
raw = tf.raw_ops
v1 = tf.compat.v1


def frozen(folder: Path, name: str, body: Callable[[tf.Tensor], tf.Tensor]) -> None:
    """Freeze a function of a string."""
    function = tf.function(body, input_signature=WORDS)
    graph = function.get_concrete_function().graph.as_graph_def()
    (folder / f"{name}.pb").write_bytes(graph.SerializeToString())


@tf.function(input_signature=WORDS)
def reading(name: tf.Tensor) -> tf.Tensor:
    """Read a file, in a function of its own."""
    return tf.io.read_file(name)


@tf.function(input_signature=WORDS)
def calling(name: tf.Tensor) -> tf.Tensor:
    """Call the one that reads."""
    return tf.strings.join([reading(name), "!"])


def loop(name: tf.Tensor) -> tf.Tensor:
    """Read in the body of a loop."""
    return tf.while_loop(lambda text: tf.strings.length(text) < 9, tf.io.read_file, [name])[0]


def frozen_ones(folder: Path) -> None:
    """Graphs with one operator too many."""
    frozen(folder, "ReadFile", tf.io.read_file)
    frozen(folder, "ReadFile-nested", calling.python_function)
    frozen(folder, "ReadFile-in-while", loop)
    frozen(
        folder,
        "ReadFile-in-if",
        lambda name: tf.cond(name == "x", lambda: tf.io.read_file(name), lambda: name),
    )
    frozen(
        folder,
        "ReadFile-in-case",
        lambda name: tf.switch_case(
            tf.strings.length(name), [lambda: name, lambda: tf.io.read_file(name)]
        ),
    )
    frozen(folder, "MatchingFiles", lambda name: tf.io.matching_files(name)[0])
    frozen(folder, "PyFunc", lambda name: v1.py_func(lambda x: x, [name], tf.string))
    frozen(folder, "EagerPyFunc", lambda name: tf.py_function(lambda x: x, [name], tf.string))
    frozen(
        folder,
        "RestoreV2",
        lambda name: raw.RestoreV2(
            prefix=name, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
        )[0],
    )
    frozen(
        folder,
        "ImmutableConst",
        lambda name: (
            raw.ImmutableConst(dtype=tf.uint8, shape=[4], memory_region_name="/etc/passwd"),
            name,
        )[1],
    )

    def writes(name: tf.Tensor) -> tf.Tensor:
        tf.io.write_file(name, "x")
        return name

    def prints(name: tf.Tensor) -> tf.Tensor:
        tf.print(name, output_stream="file:///tmp/gpfn-printed")
        return name

    def aborts(name: tf.Tensor) -> tf.Tensor:
        raw.Abort()
        return name

    frozen(folder, "WriteFile", writes)
    frozen(folder, "PrintV2", prints)
    frozen(folder, "Abort", aborts)
    frozen(
        folder,
        "TextLineDataset",
        lambda name: tf.data.TextLineDataset(name).reduce(name, lambda _, line: line),
    )


class Affine(tf.Module):
    """With variables, and a table from a file."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.ones((3, 2), np.float32))
        lines, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        source = tf.lookup.TextFileInitializer(words, tf.string, lines, tf.int64, number)
        self.table = tf.lookup.StaticHashTable(source, -1)

    @tf.function(input_signature=NUMBERS)
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Use both."""
        index = tf.cast(self.table.lookup(tf.constant("b")), tf.float32)
        return {"y": tf.matmul(x, self.kernel) + index}


class Restoring(tf.Module):
    """A signature that reads a checkpoint from anywhere."""

    @tf.function(input_signature=WORDS)
    def __call__(self, name: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ignore what was asked."""
        found = raw.RestoreV2(
            prefix="/etc/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
        )
        return {"y": found[0], "name": name}


class Filling(tf.Module):
    """A signature that fills a table from any file and shows it."""

    @tf.function(input_signature=WORDS)
    def __call__(self, name: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read a file through a table."""
        table = raw.HashTableV2(key_dtype=tf.int64, value_dtype=tf.string, shared_name="t")
        raw.InitializeTableFromTextFileV2(
            table_handle=table, filename=name, key_index=-1, value_index=-2
        )
        found = raw.LookupTableExportV2(table_handle=table, Tkeys=tf.int64, Tvalues=tf.string)
        return {"y": found.values}


def variables_v1(folder: Path) -> None:
    """As TensorFlow 1 saved: a saver in the graph, in shards."""
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], "x")
        kernel = v1.get_variable(
            "kernel", initializer=np.ones((3, 2), np.float32), use_resource=False
        )
        y = tf.matmul(x, kernel, name="y")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "predict")
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, saver=v1.train.Saver(sharded=True)
        )
        builder.save()


def changed(
    source: Path, target: Path, change: Callable[[meta_graph_pb2.MetaGraphDef], None]
) -> None:
    """Copy a SavedModel and change its graph."""
    shutil.copytree(source, target)
    path = target / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def constant(name: str, text: bytes) -> node_def_pb2.NodeDef:
    """Make a node with a text."""
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text, tf.string))
    return node


def restorer(graph: meta_graph_pb2.MetaGraphDef) -> object:
    """Return the function that restores."""
    (found,) = [
        function
        for function in graph.graph_def.library.function
        if any(node.op == "RestoreV2" for node in function.node_def)
    ]
    return found


def write_init(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Write a file before all else."""
    nodes = graph.graph_def.node
    nodes.append(constant("path", b"/tmp/gpfn-written"))
    nodes.append(node_def_pb2.NodeDef(name="write", op="WriteFile", input=["path", "path"]))
    name = graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name
    next(node for node in nodes if node.name == name.partition(":")[0]).input.append("^write")


def save_init(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Save in the initialiser."""
    outputs = graph.signature_def["__saved_model_init_op"].outputs
    outputs["other"].name = graph.saver_def.save_tensor_name


def constant_prefix(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore from elsewhere."""
    function = restorer(graph)
    function.node_def.append(constant("evil", b"/etc/x"))
    for node in function.node_def:
        if node.op == "RestoreV2":
            node.input[0] = "evil:output:0"


def constant_argument(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore from elsewhere, which the function is told."""
    graph.graph_def.node.append(constant("evil", b"/etc/x"))
    for node in graph.graph_def.node:
        if node.name == graph.saver_def.restore_op_name:
            node.input[0] = "evil"


def second_output(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore from what is not fed beside what is."""
    constant_argument(graph)
    node = graph.graph_def.node.add(name="two", op="IdentityN", input=["evil", "evil"])
    node.attr["T"].list.type.extend([tf.string.as_datatype_enum] * 2)
    graph.saver_def.filename_tensor_name = "two:0"
    for each in graph.graph_def.node:
        if each.name == graph.saver_def.restore_op_name:
            each.input[0] = "two:1"


def signature_restores(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore for an answer."""
    output = graph.signature_def["serving_default"].outputs["y"]
    output.name = f"{graph.saver_def.restore_op_name}:0"


def signature_depends(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore before an answer."""
    name = graph.signature_def["serving_default"].outputs["y"].name.partition(":")[0]
    for node in graph.graph_def.node:
        if node.name == name:
            node.input.append(f"^{graph.saver_def.restore_op_name}")


def signature_by_attribute(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Name the restorer deep in an attribute."""
    name = graph.signature_def["serving_default"].outputs["y"].name.partition(":")[0]
    for node in graph.graph_def.node:
        if node.name == name:
            inner = node.attr["more"].list.func.add(name="harmless").attr["f"]
            inner.func.name = restorer(graph).signature.name


def exchanged(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Let another function be exchanged for the restorer."""
    restorer(graph).attr["api_implements"].s = b"same"


def unreached(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Leave a restorer that nothing leads to."""
    graph.saver_def.restore_op_name = ""


def list_argument(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Count the arguments otherwise."""
    restorer(graph).signature.input_arg[0].number_attr = "N"


def loop_variable(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Restore in a loop, whose variables change."""
    for node in graph.graph_def.node:
        if node.name == graph.saver_def.restore_op_name:
            node.op = "While"


def asset_outside(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Have an asset outside of the folder."""
    graph.asset_file_def[0].filename = "../../secret"


def asset_not_fed(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Fill a table from a constant."""
    del graph.asset_file_def[:]


def variable_shared(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Have another variable under the name of the one that has the asset's."""
    (first, *_) = (node for node in graph.graph_def.node if node.op == "VarHandleOp")
    other = graph.graph_def.node.add()
    other.CopyFrom(first)
    other.name = "other"


def variable_twice(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Assign something else to the variable that has the asset's name."""
    nodes = graph.graph_def.node
    nodes.append(constant("evil", b"/etc/passwd"))
    (assignment,) = (node for node in nodes if node.op == "AssignVariableOp")
    other = nodes.add()
    other.CopyFrom(assignment)
    other.name, other.input[1] = "other", "evil"


def function_called_as_operator(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Call a function as an operator is called."""
    function = graph.graph_def.library.function.add()
    function.signature.name = "ReadFile"
    graph.graph_def.node.append(constant("path", b"/etc/passwd"))
    graph.graph_def.node.add(name="read", op="ReadFile", input=["path"])


def twice(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Have two functions of one name."""
    graph.graph_def.library.function.append(restorer(graph))


CHANGES = (
    write_init,
    save_init,
    constant_prefix,
    constant_argument,
    second_output,
    signature_restores,
    signature_depends,
    signature_by_attribute,
    exchanged,
    unreached,
    list_argument,
    loop_variable,
    asset_outside,
    asset_not_fed,
    variable_shared,
    variable_twice,
    function_called_as_operator,
    twice,
)


def tflite_ones(folder: Path, refused: Path) -> None:
    """LiteRT files with operators of their own, and of TensorFlow."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    for target, name in (
        (folder, b"TFLite_Detection_PostProcess"),
        (refused, b"Evil"),
        (refused, b"FlexReadFile"),
    ):
        parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, name
        parsed.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(parsed.Pack(builder), b"TFL3")
        (target / f"{name.decode()}.tflite").write_bytes(bytes(builder.Output()))


def keras_ones(folder: Path) -> None:
    """What Keras exports: a recurrent network, words, an image with its variables, a pickle's."""
    layers = keras.layers
    recurrent = keras.Sequential(
        [
            keras.Input((10, 3)),
            layers.LSTM(4, return_sequences=True),
            layers.GRU(3),
            layers.Dense(2),
        ]
    )
    recurrent.export(folder / "recurrent", verbose=False)
    words = layers.TextVectorization()
    words.adapt(["a b c", "d"])
    text = keras.Input((1,), dtype="string")
    keras.Model(text, layers.Embedding(9, 4)(words(text))).export(folder / "words", verbose=False)
    image = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.LeakyReLU(),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    image.compile("adam", "mse")
    image.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 3)), verbose=0)
    image.export(folder / "image", verbose=False)
    tf.saved_model.save(image, str(folder / "image-saved"))
    image.save(folder.parent / "image.keras")
    image.save(folder.parent / "image.h5")


def main(folder: Path) -> None:
    """Make all of them."""
    allowed, refused = folder / "allowed", folder / "refused"
    allowed.mkdir()
    refused.mkdir()
    words = folder / "words.txt"
    words.write_text("a\nb\n")
    frozen_ones(refused)
    affine = Affine(str(words))
    tf.saved_model.save(affine, str(allowed / "affine"), signatures=affine.__call__)
    for module in (Restoring(), Filling()):
        name = f"signature-{type(module).__name__}"
        tf.saved_model.save(module, str(refused / name), signatures=module.__call__)
    variables_v1(allowed / "variables_v1")
    for change in CHANGES:
        changed(allowed / "affine", refused / change.__name__, change)
    tflite_ones(allowed, refused)
    keras_ones(allowed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
