"""What it costs that a model computes in a process of its own: ProcessModel against the model here.

Two measures. A dense network of 42 inputs and one output (three layers of 64, float32, ONNX
Runtime), where only the round trip counts: it is compared with the barest one there is between
two processes, 300 bytes to and fro over a pair of sockets. And 32 pictures of 224 x 224, 19 MB of
float32, of which the means are taken by ONNX Runtime and by a Python function, where copying
counts: that is compared with two copies of the array by `memcpy`. All are measured in turn with
what they are compared with, and the figure is the lowest tenth: what it takes when nobody else
has the processors.

    python benchmarks/process_model.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from run import table

from gpfn.models import open_model
from gpfn.models.process import ProcessModel

__all__ = ["main"]

MOST_OVER = 60.0
MOST_COPIES = 1.3
WIDTHS = (42, 64, 64, 64, 1)
PICTURES = (32, 224, 224, 3)


def network(path: Path) -> str:
    """Write the dense network, and return the file's name."""
    random, nodes, weights, last = np.random.default_rng(1), [], [], "x"
    for index, (taken, given) in enumerate(pairwise(WIDTHS)):
        matrix = random.normal(0, 0.1, (taken, given)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]))
        last = "y" if given == 1 else f"r{index}"
        nodes.append(helper.make_node("Sigmoid" if given == 1 else "Relu", [f"m{index}"], [last]))
    return _save(path, nodes, weights, ["n", WIDTHS[0]], ["n", WIDTHS[-1]])


def means(path: Path) -> str:
    """Write a graph that gives the mean of each picture, and return the file's name."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)
    return _save(path, [node], [], ["n", *PICTURES[1:]], ["n"])


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    taken: Sequence[int | str],
    given: Sequence[int | str],
) -> str:
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", taken), ("y", given))
    )
    graph = helper.make_graph(nodes, "graph", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return str(path)


@contextmanager
def echo() -> Iterator[Callable[[], object]]:
    """Give a function that sends 300 bytes to another process and gets them back."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while data := theirs.recv(4096):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    sent = bytes(300)

    def there_and_back() -> object:
        ours.send(sent)
        return ours.recv(4096)

    try:
        yield there_and_back
    finally:
        ours.close()
        os.waitpid(child, 0)


def lowest_tenths(jobs: Sequence[Callable[[], object]], rounds: int, calls: int) -> list[float]:
    """Return the time of one call of each job in µs, measured in turn."""
    samples: list[list[float]] = [[] for _ in jobs]
    for number in range(rounds + 1):
        for job, found in zip(jobs, samples, strict=True):
            for _ in range(calls):
                began = time.perf_counter()
                job()
                if number:  # the first round is to get warm
                    found.append(1e6 * (time.perf_counter() - began))
    return [float(np.percentile(found, 10)) for found in samples]


def small(uri: str, *, quick: bool) -> dict[str, Any]:
    """Measure the round trip of a small call."""
    here, there = open_model(uri), ProcessModel(uri)
    x = {"x": np.linspace(0, 1, WIDTHS[0], dtype=np.float32).reshape(1, -1)}
    with echo() as bare:
        jobs = (lambda: here(x), lambda: there(x), bare)
        own, ours, theirs = lowest_tenths(jobs, *((3, 50) if quick else (30, 300)))
    there.close()
    return {
        "what": "a call of a dense network 42→1 in a process of its own, over the model's own time",
        "value": round(ours - own, 1),
        "unit": "µs",
        "peer": f"echo between two processes: {theirs:.1f} µs",
        "ratio": round((ours - own) / theirs, 2),
        "goal": f"≤ {MOST_OVER:.0f} µs",
        "ok": ours - own <= MOST_OVER,
    }


def large(uri: str, what: str, *, quick: bool) -> dict[str, Any]:
    """Measure a call with much to copy."""
    here, there = open_model(uri), ProcessModel(uri)
    array = np.random.default_rng(2).random(PICTURES, np.float32)
    x, target = {"x": array}, np.empty_like(array)
    jobs = (lambda: there(x), lambda: here(x), lambda: np.copyto(target, array))
    ours, own, copy = lowest_tenths(jobs, *((2, 3) if quick else (15, 10)))
    there.close()
    ratio = (ours - own) / (2 * copy)
    return {
        "what": f"{array.nbytes / 1e6:.0f} MB to {what} in a process of its own, over its own time",
        "value": round((ours - own) / 1000, 2),
        "unit": "ms",
        "peer": f"two copies by memcpy: {2 * copy / 1000:.2f} ms",
        "ratio": round(ratio, 2),
        "goal": MOST_COPIES,
        "ok": ratio <= MOST_COPIES,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "means.py").write_text("def means(x):\n    return x.mean(axis=(1, 2, 3))\n")
        found = [
            small(network(place / "dense.onnx"), quick=args.quick),
            large(means(place / "means.onnx"), "an ONNX model", quick=args.quick),
            large(f"{place / 'means.py'}:means", "a Python function", quick=args.quick),
        ]
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
