"""Open Inference messages to arrays and back, against bare orjson with NumPy.

The small message is one row of 42 float32, as JSON of about 500 bytes and in binary; the
answer is one float32. The peer does what a server without checks would do: `orjson.loads`
and `numpy.array` of the list, or `numpy.frombuffer`; and for the answer `orjson.dumps` of a
document with the array in it.

The large message is 19 MB in binary. Reading it must copy nothing: the array is a view into
the body, and the time does not depend on its size.

    python benchmarks/oip_codec.py [--quick] [--json FILE]
"""

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from run import table

from gpfn.limits import Limits
from gpfn.oip.reply import encode_reply
from gpfn.oip.request import InferCall, decode_infer, encode_infer

__all__ = ["main"]

GOALS = {"read JSON": 2.5, "read binary": 3.0, "write JSON": 3.0, "write binary": 3.5}
LIMITS = Limits(body_bytes=64 << 20)
ROW = np.sin(np.arange(42, dtype=np.float32)).reshape(1, 42)
ANSWER = np.array([[0.125]], np.float32)
LARGE = (16, 640, 464)


def whole(pieces: Sequence[bytes | memoryview], size: int | None) -> tuple[bytes, str | None]:
    """Return a body and its header."""
    return b"".join(pieces), None if size is None else str(size)


def bare_json(body: bytes) -> object:
    """Read a request in JSON without a check."""
    entry = orjson.loads(body)["inputs"][0]
    return np.array(entry["data"], np.float32).reshape(entry["shape"])


def bare_binary(body: bytes, size: str) -> object:
    """Read a binary request without a check."""
    end = int(size)
    entry = orjson.loads(body[:end])["inputs"][0]
    return np.frombuffer(body, np.float32, offset=end).reshape(entry["shape"])


def bare_answer() -> object:
    """Write the answer as JSON."""
    output = {"name": "y", "datatype": "FP32", "shape": ANSWER.shape, "data": ANSWER.ravel()}
    document = {"model_name": "m", "model_version": "1", "outputs": [output]}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def bare_binary_answer() -> object:
    """Write the answer as bytes."""
    output = {"name": "y", "datatype": "FP32", "shape": ANSWER.shape,
              "parameters": {"binary_data_size": ANSWER.nbytes}}  # fmt: skip
    head = orjson.dumps({"model_name": "m", "model_version": "1", "outputs": [output]})
    return head, ANSWER.tobytes()


def least(do: Callable[[], object], rounds: int, turns: int) -> float:
    """Return the least microseconds that one round took: what is above it is somebody else's."""
    found = []
    for _ in range(turns):
        begun = time.perf_counter()
        for _ in range(rounds):
            do()
        found.append((time.perf_counter() - begun) / rounds)
    return 1e6 * min(found)


def figure(what: str, ours: float, theirs: float, goal: float | None) -> dict[str, Any]:
    """Return a figure as all benchmarks write it."""
    ratio = ours / theirs
    return {
        "what": what,
        "value": round(ours, 2),
        "unit": "µs",
        "peer": f"orjson and NumPy: {theirs:.2f} µs",
        "ratio": round(ratio, 2),
        "goal": goal,
        "ok": None if goal is None else ratio <= goal,
    }


def small(*, quick: bool) -> list[dict[str, Any]]:
    """Measure one row in and one value out, in both forms."""
    text, _ = whole(*encode_infer({"x": ROW}, binary=False))
    body, size = whole(*encode_infer({"x": ROW}))
    assert size is not None
    call = InferCall("", {}, {}, {}, (), binary=False)
    binary = call._replace(binary=True)
    jobs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        f"read JSON, {len(text)} B": (
            lambda: decode_infer(text, None, LIMITS),
            lambda: bare_json(text),
        ),
        f"read binary, {len(body)} B": (
            lambda: decode_infer(body, size, LIMITS),
            lambda: bare_binary(body, size),
        ),
        "write JSON, 1 value": (lambda: encode_reply("m", "1", {"y": ANSWER}, call), bare_answer),
        "write binary, 1 value": (
            lambda: encode_reply("m", "1", {"y": ANSWER}, binary),
            bare_binary_answer,
        ),
    }
    rounds, turns = (100, 5) if quick else (1000, 200)
    figures = []
    for name, (ours, theirs) in jobs.items():
        pair = [least(job, rounds, turns) for job in (ours, theirs)]
        figures.append(figure(f"OIP {name}", *pair, GOALS[name.partition(",")[0]]))
    return figures


def large(*, quick: bool) -> list[dict[str, Any]]:
    """Measure reading 19 MB, and that nothing of it is copied."""
    body, size = whole(*encode_infer({"x": np.ones(LARGE, np.float32)}))
    assert size is not None
    tracemalloc.start()
    call = decode_infer(body, size, LIMITS)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert traced < 100_000, f"{traced} bytes were made to read it"
    assert np.shares_memory(call.inputs["x"], np.frombuffer(body, np.uint8))
    turns = 5 if quick else 50
    ours = least(lambda: decode_infer(body, size, LIMITS), 100, turns)
    copied = least(lambda: np.frombuffer(body, np.float32, offset=int(size)).copy(), 1, turns)
    return [
        figure(f"OIP read binary, {len(body) / 1e6:.0f} MB, against one copy", ours, copied, 0.1)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    figures = small(quick=args.quick) + large(quick=args.quick)
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
