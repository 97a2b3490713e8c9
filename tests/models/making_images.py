"""Small image classifiers in ONNX, and pictures whose class is plain to see."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from PIL import Image

__all__ = ["colour", "colour_model", "save", "shade_model"]

NAMES = ("red", "green", "blue")
Size = int | str | None


def save(
    path: Path,
    nodes: Sequence[NodeProto],
    outputs: dict[str, tuple[int, Sequence[Size]]],
    *,
    shape: Sequence[Size] = ("n", 3, 8, 8),
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    **constants: np.ndarray,
) -> Path:
    """Write a model with one input ``image``; outputs are (type, shape) by name."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info(name, *about) for name, about in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=imports, ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def colour_model(
    path: Path,
    *,
    end: str = "Identity",
    layout: str = "NCHW",
    batch: Size = "n",
    dtype: int = TensorProto.FLOAT,
    side: int = 8,
) -> Path:
    """Write a model whose three scores are the means of red, green and blue, through ``end``."""
    axes, shape = ((2, 3), (3, side, side)) if layout == "NCHW" else ((1, 2), (side, side, 3))
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["mean"], axes=axes, keepdims=0),
        helper.make_node(end, ["mean"], ["scores"]),
    ]
    outputs = {"scores": (TensorProto.FLOAT, (batch, 3))}
    return save(path, nodes, outputs, shape=(batch, *shape), dtype=dtype)


def shade_model(path: Path, classes: int) -> Path:
    """Write a model of logits for how near a grey picture is to 0, 20, 40, …"""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(1, 2, 3), keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Sub", ["column", "shades"], ["off"]),
        helper.make_node("Abs", ["off"], ["distance"]),
        helper.make_node("Neg", ["distance"], ["scores"]),
    ]
    return save(
        path,
        nodes,
        {"scores": (TensorProto.FLOAT, ("n", classes))},
        last=np.array([1], np.int64),
        shades=np.arange(0, 20 * classes, 20, dtype=np.float32)[None],
    )


def colour(rgb: tuple[int, ...], kind: str = "PNG", mode: str = "RGB") -> bytes:
    """Return a picture of one colour as a file."""
    buffer = io.BytesIO()
    Image.new(mode, (20, 12), rgb).save(buffer, kind)
    return buffer.getvalue()
