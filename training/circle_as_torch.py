"""Writes a network as ``torch.onnx.export`` does, without PyTorch, whose wheel is gigabytes.

It is the network of docs/ten-minutes-pytorch.md: is a point within a circle? NumPy trains it here,
and the onnx package writes it in the form of PyTorch's exporter of 2.9: the inputs and outputs
under the names that were asked for, an open first axis, parameters by the names of their modules,
and those of 256 bytes and more in a file ``.onnx.data`` beside the model.

It needs ``pip install numpy onnx``, and none of gpfn.

    python training/circle_as_torch.py FOLDER     writes circle.onnx and circle.onnx.data
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["main", "points", "train", "write"]

HIDDEN = 64
STEPS = 500
OUTSIDE = 256
"""Bytes from which a parameter is written to the file beside the model."""


def points(seed: int = 1, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 2) between -1 and 1, and 1 for those in the circle, (n, 1)."""
    x = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    return x, (np.hypot(*x.T) < 0.7).astype(np.float32)[:, None]


def train(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parameters by the names that PyTorch's ``Sequential`` gives them."""
    random = np.random.default_rng(2)
    shapes = {"0.weight": (HIDDEN, 2), "0.bias": (HIDDEN,), "2.weight": (1, HIDDEN), "2.bias": (1,)}
    ends = {"0": 2**-0.5, "2": HIDDEN**-0.5}  # as nn.Linear begins
    weights = {name: random.uniform(-1, 1, shapes[name]) * ends[name[0]] for name in shapes}
    first = {name: np.zeros_like(each) for name, each in weights.items()}
    second = {name: np.zeros_like(each) for name, each in weights.items()}
    for step in range(1, STEPS + 1):
        slopes = _slopes(weights, x, y)
        for name, slope in slopes.items():  # Adam
            first[name] += 0.1 * (slope - first[name])
            second[name] += 0.001 * (slope**2 - second[name])
            mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
            weights[name] = weights[name] - 0.01 * mean / (np.sqrt(square) + 1e-8)
    return {name: each.astype(np.float32) for name, each in weights.items()}


def _slopes(weights: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the slope of the mean binary cross-entropy along each parameter."""
    hidden = np.maximum(x @ weights["0.weight"].T + weights["0.bias"], 0)
    given = 1 / (1 + np.exp(-(hidden @ weights["2.weight"].T + weights["2.bias"])))
    outer = (given - y) / len(x)
    inner = (outer @ weights["2.weight"]) * (hidden > 0)
    return {
        "0.weight": inner.T @ x,
        "0.bias": inner.sum(0),
        "2.weight": outer.T @ hidden,
        "2.bias": outer.sum(0),
    }


def write(weights: dict[str, np.ndarray], path: Path) -> None:
    """Write the model, and beside it the file with its larger parameters."""
    linear = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    nodes = [
        _node("linear", "Gemm", ["point", "0.weight", "0.bias"], **linear),
        _node("relu", "Relu", ["linear"]),
        _node("linear_1", "Gemm", ["relu", "2.weight", "2.bias"], **linear),
        helper.make_node("Sigmoid", ["linear_1"], ["inside"], "node_sigmoid"),
    ]
    point = helper.make_tensor_value_info("point", TensorProto.FLOAT, ["n", 2])
    inside = helper.make_tensor_value_info("inside", TensorProto.FLOAT, ["n", 1])
    tensors = [numpy_helper.from_array(each, name) for name, each in weights.items()]
    graph = helper.make_graph(nodes, "main_graph", [point], [inside], tensors)
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    model.producer_name = "gpfn training/circle_as_torch.py"
    outside = f"{path.name}.data"
    (path.parent / outside).unlink(missing_ok=True)  # onnx would write behind what is there
    onnx.save(model, path, save_as_external_data=True, location=outside, size_threshold=OUTSIDE)


def _node(name: str, operator: str, inputs: list[str], **numbers: float) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [name], f"node_{name}", **numbers)


def main(argv: list[str] | None = None) -> int:
    """Train and write."""
    folder = Path((sys.argv[1:] if argv is None else argv)[0])
    folder.mkdir(parents=True, exist_ok=True)
    write(train(*points()), folder / "circle.onnx")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
