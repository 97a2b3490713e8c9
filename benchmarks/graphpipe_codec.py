"""GraphPipe messages to bytes and back: gpfn against PyPI's graphpipe 1.0.4.

The small message is the forecast function's: one float32 tensor of (1, 20, 1), its name
and the name of an output. Both sides make it of the same arrays and read the same bytes,
those that PyPI's graphpipe wrote; sixteen messages with other numbers take turns. The
peer runs in its own environment (`make peers`) in a process beside us, and the two are
measured in turn.

"Known" is what every call but the first few costs: gpfn remembers the shape of a message.
"Unknown" is the whole work, as for a message like none before; it has no goal.

The large message is 77 MB, a batch of pictures. Its encoding must not copy them, and
sending it over a unix socket must cost what sending ready buffers costs.

    python benchmarks/graphpipe_codec.py [--quick] [--json FILE]
"""

import argparse
import base64
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from run import table

from gpfn.deadline import NEVER
from gpfn.graphpipe.decode import _request, _response, decode_request, decode_response
from gpfn.graphpipe.encode import _requests, _responses, encode_request, encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse
from gpfn.graphpipe.reader import Flatbuffer
from gpfn.http.connection import Connection
from gpfn.limits import Limits

__all__ = ["main"]

PEER_PYTHON = Path(__file__).resolve().parents[1] / ".venvs" / "graphpipe" / "bin" / "python"
PEER = """
import base64, json, resource, sys, time
import numpy as np
from graphpipe import convert

arrays = [np.arange(20, dtype=np.float32).reshape(1, 20, 1) + i for i in range(16)]
requests = [convert.InferReq("", [a], ["x"], ["y"]) for a in arrays]
written = {
    "request": [bytes(convert.serialize_infer_request(r)) for r in requests],
    "response": [bytes(convert.serialize_infer_response([a])) for a in arrays],
}
work = {
    "encode request": (convert.serialize_infer_request, requests),
    "decode request": (convert.deserialize_request, written["request"]),
    "encode response": (lambda a: convert.serialize_infer_response([a]), arrays),
    "decode response": (convert.deserialize_infer_response, written["response"]),
}

def seconds(do, things, rounds):
    begun = time.process_time()
    for _ in range(rounds):
        for thing in things:
            do(thing)
    return (time.process_time() - begun) / rounds / len(things)

def answer(question):
    what = question["what"]
    if what == "written":
        return {k: [base64.b64encode(b).decode() for b in v] for k, v in written.items()}
    if what == "large":
        large = np.ones(question["shape"], np.float32)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        request = convert.InferReq("", [large], ["x"], ["y"])
        times = [seconds(convert.serialize_infer_request, [request], 1) for _ in range(3)]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return [min(times), (after - before) * 1024]
    return seconds(*work[what], question["rounds"])

for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
"""
GOALS = {"small": 0.17, "large": 0.01, "sending": 1.1}
LARGE = (128, 224, 224, 3)
LIMITS = Limits()


class Peer:
    """PyPI's graphpipe in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __call__(self, what: str, **question: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"what": what, **question}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def peer() -> Iterator[Peer]:
    """Start the peer, and end it."""
    if not PEER_PYTHON.exists():
        raise SystemExit(f"{PEER_PYTHON} is absent; run: make peers")
    command = [PEER_PYTHON, "-c", PEER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Peer(process)
        assert process.stdin
        process.stdin.close()


def seconds(
    do: Callable[[Any], Any],
    things: Sequence[Any],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return what ``do`` takes for one of the things; other processes do not count."""
    begun = clock()
    for _ in range(rounds):
        for thing in things:
            do(thing)
    return (clock() - begun) / rounds / len(things)


def figure(
    what: str, value: float, unit: str, peer: str, ratio: float, goal: float | None
) -> dict[str, Any]:
    """Return a figure as all benchmarks write it."""
    return {
        "what": what,
        "value": round(value, 4),
        "unit": unit,
        "peer": peer,
        "ratio": round(ratio, 4),
        "goal": goal,
        "ok": None if goal is None else ratio <= goal,
    }


def small(peer: Peer, *, quick: bool) -> list[dict[str, Any]]:
    """Measure the four small jobs, known and unknown."""
    written = {
        kind: [base64.b64decode(body) for body in bodies]
        for kind, bodies in peer("written").items()
    }
    arrays = [np.arange(20, dtype=np.float32).reshape(1, 20, 1) + i for i in range(16)]
    requests = [InferRequest((array,), ("x",), ("y",)) for array in arrays]
    responses = [InferResponse((array,)) for array in arrays]
    known = {
        "encode request": (encode_request, requests),
        "decode request": (decode_request, written["request"]),
        "encode response": (encode_response, responses),
        "decode response": (decode_response, written["response"]),
    }
    unknown = {
        "encode request": (lambda r: _requests._known.clear() or encode_request(r), requests),
        "decode request": (lambda b: _request(Flatbuffer(b, LIMITS)), written["request"]),
        "encode response": (lambda r: _responses._known.clear() or encode_response(r), responses),
        "decode response": (lambda b: _response(Flatbuffer(b, LIMITS)), written["response"]),
    }
    rounds, turns = (5, 3) if quick else (100, 15)
    figures = []
    for name, (do, things) in known.items():
        whole, parts = unknown[name]
        seconds(do, things, 10)
        samples = [
            (
                seconds(do, things, rounds),
                seconds(whole, parts, rounds),
                peer(name, rounds=rounds),
            )
            for _ in range(turns)
        ]
        ours, full, theirs = (1e6 * statistics.median(side) for side in zip(*samples, strict=True))
        size = len(written[name.split()[1]][0])
        other = f"PyPI graphpipe: {theirs:.1f} µs"
        label = f"GraphPipe {name}, {size} B"
        figures += [
            figure(f"{label}, known", ours, "µs", other, ours / theirs, GOALS["small"]),
            figure(f"{label}, unknown", full, "µs", other, full / theirs, None),
        ]
    return figures


def large(peer: Peer, *, quick: bool) -> list[dict[str, Any]]:
    """Measure the encoding of 77 MB: time, and memory by tracemalloc and by the system."""
    array = np.ones(LARGE, np.float32)
    request = InferRequest((array,), ("x",), ("y",))
    theirs, their_memory = peer("large", shape=LARGE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encode_request(request)
    resident = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    tracemalloc.start()
    parts = encode_request(request)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.shares_memory(np.frombuffer(parts[-1], np.uint8), array)
    ours = min(seconds(encode_request, [request], 50) for _ in range(3 if quick else 20))
    memory = max(resident, traced) / 1e6
    size = sum(map(len, parts)) / 1e6
    return [
        figure(
            f"GraphPipe encode, {size:.0f} MB",
            1e3 * ours,
            "ms",
            f"PyPI graphpipe: {1e3 * theirs:.0f} ms",
            ours / theirs,
            GOALS["large"],
        ),
        figure(
            f"memory added by that (RSS or tracemalloc; a copy is {size:.0f} MB)",
            memory,
            "MB",
            f"PyPI graphpipe: {their_memory / 1e6:.0f} MB",
            memory / (their_memory / 1e6),
            GOALS["large"],
        ),
    ]


def drain(sock: socket.socket, size: int) -> None:
    """Receive messages of ``size`` bytes and answer each with a byte, until the end."""
    space = memoryview(bytearray(size))
    while True:
        received = 0
        while received < size:
            count = sock.recv_into(space[received:])
            if not count:
                return
            received += count
        sock.sendall(b".")


@contextmanager
def sink(size: int) -> Iterator[socket.socket]:
    """Give a unix socket whose other end is drained by another process."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        drain(theirs, size)
        os._exit(0)
    theirs.close()
    with ours:
        yield ours
    os.waitpid(child, 0)


def raw_send(sock: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    """Send ready buffers with sendmsg and nothing else."""
    left = [memoryview(part) for part in parts]
    while left:
        sent = sock.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


def sending(*, quick: bool) -> list[dict[str, Any]]:
    """Measure sending 77 MB over a unix socket, until the other side has all of it."""
    request = InferRequest((np.ones(LARGE, np.float32),), ("x",), ("y",))
    ready = encode_request(request)
    with sink(sum(map(len, ready))) as sock:
        connection = Connection(sock, NEVER)

        def floor(_: object) -> None:
            raw_send(sock, ready)
            sock.recv(1)

        def ours(_: object) -> None:
            connection.send(encode_request(request))
            connection.receive()

        for job in (floor, ours):
            seconds(job, [None], 2)
        pairs = [
            tuple(seconds(job, [None], 1, time.perf_counter) for job in (ours, floor))
            for _ in range(3 if quick else 41)
        ]
    mine, raw = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    what = "encode and send 77 MB over a unix socket"
    return [figure(what, mine, "ms", f"raw sendmsg: {raw:.1f} ms", mine / raw, GOALS["sending"])]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    figures = sending(quick=args.quick)
    with peer() as other:
        figures = small(other, quick=args.quick) + large(other, quick=args.quick) + figures
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
