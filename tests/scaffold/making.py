"""Models as a new user has them, made in a moment: ONNX graphs and a Python file."""

import struct
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

__all__ = [
    "FLOATS",
    "SPECIAL",
    "TEXTS",
    "WHOLE",
    "Ends",
    "affine",
    "classifier",
    "columns",
    "graph",
    "letters",
    "lines",
    "two_inputs",
    "words",
]

FLOATS, WHOLE, TEXTS = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
Ends = dict[str, tuple[int, Sequence[int | str]]]


def graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Ends,
    outputs: Ends,
    *,
    constants: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
    outside: str = "",
) -> Path:
    """Write an ONNX model; ``outside`` is the file that its constants go to."""
    ends = [
        [helper.make_tensor_value_info(name, *each) for name, each in side.items()]
        for side in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "made", *ends, list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(
        model,
        path,
        save_as_external_data=bool(outside),
        location=outside or None,
        size_threshold=0,
    )
    return path


def affine(path: Path, *, outside: str = "", opset: int = 17, operator: str = "Mul") -> Path:
    """Twice each of three numbers: ``x`` float32 (n, 3) to ``y``."""
    two = helper.make_tensor("two", FLOATS, [3], struct.pack("<3f", 2, 2, 2), raw=True)
    node = helper.make_node(operator, ["x", "two"], ["y"])
    x, y = {"x": (FLOATS, ["n", 3])}, {"y": (FLOATS, ["n", 3])}
    return graph(path, [node], x, y, constants=[two], outside=outside, opset=opset)


def two_inputs(path: Path) -> Path:
    """Whole numbers and texts in and out, by names."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Identity", ["s"], ["t"]),
    ]
    inputs: Ends = {"a": (WHOLE, ["n"]), "b": (WHOLE, ["n"]), "s": (TEXTS, ["n"])}
    return graph(path, nodes, inputs, {"sum": (WHOLE, ["n"]), "t": (TEXTS, ["n"])})


def words(path: Path) -> Path:
    """Texts in, the same texts out."""
    node = helper.make_node("Identity", ["words"], ["same"])
    return graph(path, [node], {"words": (TEXTS, ["n"])}, {"same": (TEXTS, ["n"])})


def letters(path: Path) -> Path:
    """Two columns of texts in, the same out."""
    nodes = [
        helper.make_node("Identity", ["body"], ["copy"]),
        helper.make_node("Identity", ["head"], ["title"]),
    ]
    ins: Ends = {name: (TEXTS, ["n", 1]) for name in ("body", "head")}
    return graph(path, nodes, ins, {name: (TEXTS, ["n", 1]) for name in ("copy", "title")})


def lines(path: Path) -> Path:
    """Three texts a row, the same out: no column."""
    node = helper.make_node("Identity", ["line"], ["same"])
    return graph(path, [node], {"line": (TEXTS, ["n", 3])}, {"same": (TEXTS, ["n", 3])})


def classifier(path: Path, shape: list[int | str], *, softmax: bool = False) -> Path:
    """The mean of each channel, or its share, as the scores of classes."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    mean = helper.make_node("ReduceMean", ["image"], ["mean"], axes=axes, keepdims=0)
    last = helper.make_node("Softmax" if softmax else "Identity", ["mean"], ["scores"])
    ends = {"image": (FLOATS, shape)}, {"scores": (FLOATS, ["n", 3])}
    return graph(path, [mean, last], *ends)


def columns(path: Path) -> Path:
    """An input for each column, as sklearn-onnx has them."""
    node = helper.make_node("Mul", ["width", "height"], ["area"])
    inputs = {name: (FLOATS, ["n", 1]) for name in ("width", "height")}
    return graph(path, [node], inputs, {"area": (FLOATS, ["n", 1])})


SPECIAL = {
    "first": ["--from", "first.onnx", "--kind", "image"],
    "last": ["--from", "last.onnx", "--kind", "image"],
    "digits": ["--from", "digits.tflite", "--kind", "image"],
    "described": ["--from", "described/shades.onnx"],
    "matrix": ["--from", "matrix.onnx", "--kind", "rows"],
    "columns": ["--from", "columns.onnx", "--kind", "rows"],
}
"""What is asked of the models of the fixture ``special``, by a name for the test."""
