"""Small ONNX models of rows, made by hand as sklearn-onnx would make them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

__all__ = ["CLASSES", "classifier", "describe", "matrix", "mixed", "several", "twice"]

CLASSES = ("no", "yes", "maybe")
_KINDS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "string": TensorProto.STRING,
    "bool": TensorProto.BOOL,
}


def classifier(folder: Path, *, zipmap: bool = True, numbers: Sequence[int] = ()) -> Path:
    """A linear classifier of the matrix ``x`` (n, 3): the class of the largest value.

    The ZipMap has CLASSES, or ``numbers`` for them.
    """
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        intercepts=[0.0, 0, 0],
        classlabels_strings=list(CLASSES),
        post_transform="SOFTMAX",
    )
    ends = [helper.make_tensor_value_info("label", TensorProto.STRING, [None])]
    nodes = [node]
    if zipmap:
        labels: dict[str, Any] = {"classlabels_strings": list(CLASSES)}
        labels = {"classlabels_int64s": list(numbers)} if numbers else labels
        nodes.append(helper.make_node("ZipMap", ["scores"], ["p"], domain="ai.onnx.ml", **labels))
        value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        key = TensorProto.INT64 if numbers else TensorProto.STRING
        rows = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
        ends.append(helper.make_value_info("p", rows))
    else:
        ends.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 3]))
    return _write(folder / "m.onnx", nodes, [_end("x", "float32", [None, 3])], ends)


def matrix(
    folder: Path, dtype: str = "float32", width: int | None = 3, rows: int | None = None
) -> Path:
    """Gives its matrix ``x`` (rows, width) back as ``y``."""
    node = helper.make_node("Identity", ["x"], ["y"])
    ends = [_end(name, dtype, [rows, width]) for name in ("x", "y")]
    return _write(folder / "m.onnx", [node], ends[:1], ends[1:])


def mixed(
    folder: Path, columns: Mapping[str, str], tail: Sequence[int] = (1,), rows: int | None = None
) -> Path:
    """Gives each input, of one value a row, back as NAME_out."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in columns]
    ends = [_end(name, dtype, [rows, *tail]) for name, dtype in columns.items()]
    gives = [_end(f"{name}_out", dtype, [rows, *tail]) for name, dtype in columns.items()]
    return _write(folder / "m.onnx", nodes, ends, gives)


def several(folder: Path, rows: int | None = None) -> Path:
    """A sequence of the matrix ``x`` (n, 3) and its negative, as classifiers of several things."""
    nodes = [
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("SequenceConstruct", ["x", "minus"], ["both"]),
    ]
    gives = helper.make_tensor_sequence_value_info("both", TensorProto.FLOAT, None)
    return _write(folder / "m.onnx", nodes, [_end("x", "float32", [rows, 3])], [gives])


def twice(folder: Path) -> Path:
    """Each text twice; there is one string input and one string output."""
    node = helper.make_node("StringConcat", ["text", "text"], ["twice"])
    ends = [_end(name, "string", ["n"]) for name in ("text", "twice")]
    return _write(folder / "m.onnx", [node], ends[:1], ends[1:], opset=20)


def describe(folder: Path, *columns: str, more: str = "") -> None:
    """Write a model.toml; each column is the inside of an inline table."""
    listed = ", ".join(f"{{ {column} }}" for column in columns)
    (folder / "model.toml").write_text(f'model = "m.onnx"\ncolumns = [{listed}]\n{more}')


def _end(name: str, dtype: str, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _KINDS[dtype], shape)


def _write(
    path: Path, nodes: list[Any], takes: list[Any], gives: list[Any], opset: int = 15
) -> Path:
    graph = helper.make_graph(nodes, "rows", takes, gives)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
