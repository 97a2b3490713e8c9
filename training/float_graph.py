"""A quantised .tflite classifier as an ONNX model of floats, channels first, any batch.

The same file gives the same bytes on every run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gpfn.errors import SetupError

__all__ = ["convert"]

_OPSET = 17  # old enough for every onnxruntime that gpfn accepts
_IR_VERSION = 8  # the one that goes with it
_BATCH = "N"


def convert(tflite: Path, target: Path, *, taken: str, source: str, result: str) -> None:
    """Write the ONNX model to ``target``.

    The input is called ``taken`` in the .tflite and ``source`` in the new model, whose output
    is ``result``, the probabilities. Raises SetupError when tf2onnx fails.
    """
    import onnx

    with tempfile.TemporaryDirectory() as name:
        raw = Path(name, "raw.onnx")
        # As a process: from_tflite() cannot dequantize, and TensorFlow says too much.
        words = [sys.executable, "-m", "tf2onnx.convert", "--tflite", tflite.resolve()]
        words += ["--output", raw, "--opset", str(_OPSET)]
        words += ["--dequantize", "--inputs-as-nchw", taken]
        done = subprocess.run(words, cwd=name, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not raw.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SetupError(f"tf2onnx cannot convert {tflite}: {last}")
        graph = onnx.load(raw).graph
    made = _rebuilt(graph, source, result, target.stem)
    target.write_bytes(made.SerializeToString(deterministic=True))


def _rebuilt(graph: Any, source: str, result: str, name: str) -> Any:
    """Return a model of the part that computes in floats.

    tf2onnx leaves the bytes at both ends: they become floats before the first Conv, and the
    floats become bytes again after the Softmax.
    """
    from onnx import checker, helper

    kinds = [node.op_type for node in graph.node]
    if "Conv" not in kinds or "Softmax" not in kinds:
        raise SetupError("tf2onnx made a graph without a Conv or a Softmax")
    nodes = list(graph.node)[kinds.index("Conv") : kinds.index("Softmax") + 1]
    constants = _renamed(nodes, graph.initializer, source, result)
    ends = [_end(graph.input[0], source)], [_end(graph.output[0], result)]
    made = helper.make_model(
        helper.make_graph(nodes, name, *ends, constants),
        producer_name="gpfn",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    checker.check_model(made, full_check=True)
    return made


def _end(given: Any, name: str) -> Any:
    """Return an input or an output as floats, with the same sizes and an open batch."""
    from onnx import TensorProto, helper

    _, *sizes = (size.dim_value for size in given.type.tensor_type.shape.dim)
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH, *sizes])


def _renamed(nodes: list[Any], initializers: Any, source: str, result: str) -> list[Any]:
    """Number the nodes and name all values after them; returns the constants that they take.

    tf2onnx gives constants other names and another order on every run.
    """
    constants = {tensor.name: tensor for tensor in initializers}
    names, taken = {nodes[0].input[0]: source}, []
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}_{number}"
        for position, name in enumerate(node.input):
            if name not in names:
                names[name] = f"{node.name}.{position}"
                taken.append(_constant(constants[name], names[name], node.op_type))
            node.input[position] = names[name]
        names[node.output[0]] = result if node is nodes[-1] else node.name
        node.output[0] = names[node.output[0]]
    return taken


def _constant(tensor: Any, name: str, kind: str) -> Any:
    """Return a constant under its new name; a Reshape takes any batch instead of 1."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor).copy()
    if kind == "Reshape" and values[0] == 1:
        values[0] = -1
    return numpy_helper.from_array(values, name)
