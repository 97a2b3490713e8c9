"""One row of ten columns to a function of rows, against a function that builds its arrays by hand.

Both are called with the same message, an object of ten numbers, ask the same ONNX model and
answer with the same object. By hand means what one writes without ``takes="rows"``: an array of
each member of the parsed JSON, unchecked, and a dict of the results. Columns are inputs of their
own in one model, and the columns of one matrix in the other. The two sides take turns, so that
noise meets both.

    python benchmarks/rows.py [--quick] [--json FILE]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from gpfn import Function, Payload
from gpfn.message import Message

__all__ = ["main"]

NAMES = [f"column_{number}" for number in range(10)]
ROW = {name: number + 0.25 for number, name in enumerate(NAMES)}
GOAL = 15.0
CALLS = 100


def save(folder: Path, name: str, nodes: list[Any], inputs: dict[str, int]) -> Path:
    """Write a model of float inputs of so many values a row, and the sum of them as output."""

    def end(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])

    ends = [end(*item) for item in inputs.items()]
    graph = helper.make_graph(nodes, name, ends, [end("total", 1)])
    opsets = [helper.make_opsetid("", 15)]
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def of_inputs(folder: Path) -> Path:
    """Return a model with an input for each column."""
    node = helper.make_node("Sum", NAMES, ["total"])
    return save(folder, "inputs", [node], dict.fromkeys(NAMES, 1))


def of_a_matrix(folder: Path) -> Path:
    """Return a model with one matrix, whose columns a model.toml names."""
    node = helper.make_node("ReduceMean", ["x"], ["total"], axes=[1])
    columns = "".join(f'[[columns]]\nname = "{name}"\n' for name in NAMES)
    (folder / "model.toml").write_text(f'model = "matrix.onnx"\n{columns}')
    return save(folder, "matrix", [node], {"x": len(NAMES)})


def arrays_of_inputs(payload: Payload) -> dict[str, np.ndarray]:
    """Build the arrays by hand, one for each input."""
    row: Any = payload.json()
    return {name: np.array([[row[name]]], np.float32) for name in NAMES}


def array_of_a_matrix(payload: Payload) -> dict[str, np.ndarray]:
    """Build the one array by hand."""
    row: Any = payload.json()
    return {"x": np.array([[row[name] for name in NAMES]], np.float32)}


def told(total: np.ndarray) -> dict[str, float]:
    """Build the answer by hand."""
    return {"total": total.tolist()[0][0]}


def compared(
    what: str, path: Path, by_hand: Callable[[Payload], Any], *, quick: bool
) -> dict[str, Any]:
    """Return the figure of one model."""
    message = Message(json.dumps(ROW).encode(), "application/json")
    rows = Function(model=str(path), takes="rows")
    hand = Function(model=str(path), takes="payload", before=by_hand, after=told)
    answers = [json.loads(bytes(each.answer(message).message.body)) for each in (rows, hand)]
    assert answers[0] == answers[1], answers
    taken = [
        [microseconds(lambda each=each: each.answer(message)) for each in (rows, hand)]  # type: ignore[misc]
        for _ in range(5 if quick else 200)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*taken, strict=True))
    more = statistics.median([one - other for one, other in taken])
    return {
        "what": f"a row of {len(NAMES)} columns, {what}: more than by hand",
        "value": round(more, 2),
        "unit": "µs",
        "peer": f"by hand {theirs:.1f} µs a call",
        "ratio": round(ours / theirs, 3),
        "goal": GOAL,
        "ok": more <= GOAL,
    }


def microseconds(call: Callable[[], object]) -> float:
    """Return the processor time of a call, on average of several."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS * 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both models and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [
            compared("an input each", of_inputs(folder), arrays_of_inputs, quick=args.quick),
            compared("one matrix", of_a_matrix(folder), array_of_a_matrix, quick=args.quick),
        ]
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
