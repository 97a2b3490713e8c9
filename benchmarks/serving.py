"""The loop server under load: `gpfn serve` and `gpfn run http` against floors, with wrk.

The floor of `gpfn serve` is a bare Protocol on httptools and uvloop with the same codec, the
same model call and nothing else: no checks, no bounds, no counters. The floor of `gpfn run
http` is the function's own answer, called in a loop. wrk and the servers share all cores;
the processor time of a server for a request is the robust figure, requests a second and
times depend on the machine. Floor and server take turns, medians are shown.

    python benchmarks/serving.py [--quick] [--json FILE]

wrk comes from the system's packages (apt-get install wrk).
"""

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wrk import DIFFERENT, GPFN, ROOT, Server, figure, load, middle, script, served

__all__ = ["main"]

BODY_BYTES = 19_000_000

MODEL = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
tf.keras.utils.set_random_seed(1)
layers = [tf.keras.layers.Dense(64, activation="relu") for _ in range(2)]
network = tf.keras.Sequential([tf.keras.Input((42,), name="x"), *layers, tf.keras.layers.Dense(1)])
open(sys.argv[1], "wb").write(tf.lite.TFLiteConverter.from_keras_model(network).convert())
"""

FLOOR = """
import asyncio, sys
import httptools, uvloop
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_response
from gpfn.graphpipe.messages import InferResponse
from gpfn.limits import Limits
from gpfn.models.open import open_model

limits, model = Limits(), open_model(sys.argv[2])
given, (wanted,) = model.inputs[0].name, [spec.name for spec in model.outputs]
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: a/b\\r\\ncontent-length: %d\\r\\n\\r\\n"

class Bare(asyncio.Protocol):
    def __init__(self):
        self.parser, self.body = httptools.HttpRequestParser(self), b""
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.parser.feed_data(data)
    def on_body(self, data):
        self.body += data
    def on_message_complete(self):
        request, self.body = decode_request(self.body, limits), b""
        result = model({given: request.tensors[0]})[wanted]
        body = b"".join(encode_response(InferResponse(tensors=(result,))))
        self.transport.write(head % len(body) + body)

async def main():
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Bare, "127.0.0.1", int(sys.argv[1]))).serve_forever()

uvloop.run(main())
"""

RAW = """
import mmap, socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, _ = listening.accept()
    with sock:
        while True:
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                piece = sock.recv(256)
                if not piece:
                    break
                head += piece
            if not head:
                break
            head, _, body = head.partition(b"\\r\\n\\r\\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\\r", 1)[0])
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_HUGEPAGE)
            view, at = memoryview(memory), len(body)
            view[:at] = body
            while at < size:
                at += sock.recv_into(view[at:])
            sock.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
"""

OWN = """
import sys, time
from pathlib import Path
from gpfn.message import Message
from gpfn.platforms.load import load_function
function = load_function(sys.argv[1], ("app",))
function.open()
message = Message(Path(sys.argv[2]).read_bytes(), "application/cloudevents+json")
for _ in range(500):
    function.answer(message)
began = time.process_time()
for _ in range(int(sys.argv[3])):
    assert function.answer(message).status == 200
print((time.process_time() - began) / int(sys.argv[3]) * 1e6)
"""


def question() -> bytes:
    """Return a GraphPipe request with one row for a model of 42 numbers."""
    import numpy as np

    from gpfn.graphpipe import InferRequest, encode_request

    row = np.linspace(0, 1, 42, dtype=np.float32).reshape(1, 42)
    return b"".join(encode_request(InferRequest(tensors=(row,), input_names=("x",))))


def serving(folder: Path, model: str, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Compare `gpfn serve` with the floor, at 8, 64 and 200 connections."""
    floor_file = folder / "floor.py"
    floor_file.write_text(FLOOR)
    body = question()
    same = script(folder, "same", body, "application/octet-stream")
    differing = script(folder, "differing", body, "application/octet-stream", DIFFERENT)
    figures = []
    ours_command = [GPFN, "serve", "--model", model, "--listen", "127.0.0.1:{port}"]
    with (
        served([sys.executable, str(floor_file), "{port}", model], "") as floor,
        served(ours_command, "/control/is_ready") as ours,
    ):
        load(floor, same, 8, seconds), load(ours, same, 8, seconds)
        goals = {8: (30e3, 1.5, None), 64: (35e3, 1.3, None), 200: (35e3, 1.3, 15.0)}
        for connections, (rps, most, p99) in goals.items():
            pairs = [
                (load(floor, same, connections, seconds), load(ours, same, connections, seconds))
                for _ in range(rounds)
            ]
            bare, found = middle([a for a, _ in pairs]), middle([b for _, b in pairs])
            ratio = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
            name = f"gpfn serve, GraphPipe, DNN 42→1, {connections} connections"
            peer = f"bare httptools and uvloop, same codec and model: {bare.cpu_us:.1f} µs"
            figures += [
                figure(
                    f"{name}, processor time",
                    found.cpu_us,
                    "µs",
                    peer=peer,
                    ratio=ratio,
                    goal=f"≤ {most}",
                    ok=ratio <= most,
                ),
                figure(
                    f"{name}, requests a second",
                    found.rps,
                    "1/s",
                    peer=f"the same: {bare.rps:.0f} 1/s",
                    goal=f"≥ {rps:.0f} 1/s",
                    ok=found.rps >= rps,
                ),
                figure(
                    f"{name}, 99 %",
                    found.p99_ms,
                    "ms",
                    peer=f"the same: {bare.p99_ms:.1f} ms",
                    goal=f"≤ {p99:.0f} ms" if p99 else "",
                    ok=found.p99_ms <= p99 if p99 else None,
                ),
            ]
        pairs = [
            (load(ours, same, 64, seconds), load(ours, differing, 64, seconds))
            for _ in range(rounds)
        ]
        ratio = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
        found = middle([b for _, b in pairs])
        what = "gpfn serve, every request with another head, 64 connections, processor time"
        figures.append(figure(what, found.cpu_us, "µs", peer="the same head", ratio=ratio))
        figures += idle(ours, same, seconds, rounds)
    return figures + workers(ours_command, same, seconds, rounds)


def idle(server: Server, sends: Path, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """See what 2,000 idle connections cost eight busy ones."""
    alone, beside, grown = [], [], 0
    for _ in range(rounds):
        alone.append(load(server, sends, 8, seconds))
        before = server.resident()
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2000)]
        time.sleep(0.3)
        grown = max(grown, server.resident() - before)
        beside.append(load(server, sends, 8, seconds))
        for sock in held:
            sock.close()
        time.sleep(0.3)
    ratio = statistics.median(b.cpu_us / a.cpu_us for a, b in zip(alone, beside, strict=True))
    name = "gpfn serve, 2,000 idle connections beside 8 busy ones"
    return [
        figure(f"{name}, memory", grown / 1e6, "MB", goal="≤ 10 MB", ok=grown <= 10e6),
        figure(
            f"{name}, processor time a request",
            middle(beside).cpu_us,
            "µs",
            peer="without them",
            ratio=ratio,
            goal="≤ 1.05",
            ok=ratio <= 1.05,
        ),
    ]


def workers(
    command: Sequence[str], sends: Path, seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Compare two processes with one, at 64 connections."""
    with (
        served(command, "/control/is_ready") as one,
        served([*command, "--workers", "2"], "/control/is_ready") as two,
    ):
        time.sleep(1)
        pairs = [
            (load(one, sends, 64, seconds), load(two, sends, 64, seconds)) for _ in range(rounds)
        ]
    ratio = statistics.median(b.rps / a.rps for a, b in pairs)
    return [
        figure(
            "gpfn serve, 2 workers, 64 connections, requests a second",
            middle([b for _, b in pairs]).rps,
            "1/s",
            peer=f"1 worker: {middle([a for a, _ in pairs]).rps:.0f} 1/s",
            ratio=ratio,
            goal="≥ 1.3",
            ok=ratio >= 1.3,
        )
    ]


def function(folder: Path, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Compare `gpfn run http` with the function's own answer, and with uvicorn."""
    file, event = ROOT / "functions/forecast/func.py", ROOT / "ce_samples/forecast.json"
    own_file = folder / "own.py"
    own_file.write_text(OWN)
    sends = script(folder, "event", event.read_bytes(), "application/cloudevents+json")
    ours_command = [GPFN, "run", "http", str(file), "--port", "{port}"]
    uvicorn = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "error"]
    uvicorn += ["--app-dir", str(file.parent), "--port", "{port}", "func:app"]
    calls = str(int(2000 * seconds))
    figures = []
    with (
        served(ours_command, "/health/ready") as ours,
        served(uvicorn, "/health/ready") as peer,
    ):
        load(ours, sends, 8, seconds), load(peer, sends, 8, seconds)
        for connections in (8, 200):
            found, other, own = [], [], []
            for _ in range(rounds):
                command = [sys.executable, str(own_file), str(file), str(event), calls]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                own.append(float(done.stdout))
                found.append(load(ours, sends, connections, seconds))
                other.append(load(peer, sends, connections, seconds))
            more = statistics.median(a.cpu_us - b for a, b in zip(found, own, strict=True))
            name = f"gpfn run http, forecast by an event, {connections} connections"
            alone = f"the function's own answer: {statistics.median(own):.0f} µs"
            figures += [
                figure(
                    f"{name}, processor time above the function's",
                    more,
                    "µs",
                    peer=alone,
                    goal="≤ 30 µs",
                    ok=more <= 30,
                ),
                figure(
                    f"{name}, requests a second",
                    middle(found).rps,
                    "1/s",
                    peer=f"the same function's .asgi on uvicorn: {middle(other).rps:.0f} 1/s",
                    ratio=middle(found).rps / middle(other).rps,
                ),
                figure(
                    f"{name}, 99 %",
                    middle(found).p99_ms,
                    "ms",
                    peer=f"uvicorn: {middle(other).p99_ms:.1f} ms",
                    goal="≤ 40 ms" if connections == 200 else "",
                    ok=middle(found).p99_ms <= 40 if connections == 200 else None,
                ),
            ]
    return figures


def bodies(folder: Path, count: int, rounds: int) -> list[dict[str, Any]]:
    """Compare the processor time for a body of 19 MB with that of a raw recv_into."""
    import numpy as np

    from gpfn.graphpipe import InferRequest, encode_request

    (folder / "first_row.py").write_text("def first(x):\n    return x[:1]\n")
    raw_file = folder / "raw.py"
    raw_file.write_text(RAW)
    array = np.zeros(BODY_BYTES, np.uint8)
    body = b"".join(encode_request(InferRequest(tensors=(array,))))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    model = f"{folder / 'first_row.py'}:first"
    with (
        served([sys.executable, str(raw_file), "{port}"], "") as raw,
        served([GPFN, "serve", "-m", model, "-l", "127.0.0.1:{port}"], "/control/is_ready") as ours,
    ):
        pairs = [(_send(raw, head + body, count), _send(ours, head + body, count))]
        pairs = [
            (_send(raw, head + body, count), _send(ours, head + body, count)) for _ in range(rounds)
        ]
    ratio = statistics.median(b / a for a, b in pairs)
    return [
        figure(
            "gpfn serve, a body of 19 MB, processor time",
            statistics.median(b for _, b in pairs) * 1e3,
            "ms",
            peer=f"raw recv_into: {statistics.median(a for a, _ in pairs) * 1e3:.2f} ms",
            ratio=ratio,
            goal="≤ 1.2",
            ok=ratio <= 1.2,
        )
    ]


def _send(server: Server, data: bytes, count: int) -> float:
    """Return the server's processor seconds for one body."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        before = server.cpu_seconds()
        for _ in range(count):
            sock.sendall(data)
            if not sock.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("refused")
        return (server.cpu_seconds() - before) / count


def counters(count: int) -> list[dict[str, Any]]:
    """Compare counting a request with prometheus-client."""
    from prometheus_client import CollectorRegistry, Counter
    from prometheus_client import Histogram as PeerHistogram

    from gpfn.metrics import SECONDS, Metrics

    registry, metrics = CollectorRegistry(), Metrics()
    theirs = Counter("calls_total", "Calls.", ["code"], registry=registry).labels("200")
    their_times = PeerHistogram("call_seconds", "Times.", buckets=SECONDS, registry=registry)
    ours = metrics.counters("calls_total", "Calls.", "code", [200])
    our_times = metrics.histogram("call_seconds", "Times.")

    def count_ours() -> None:
        ours[200].add()
        our_times.observe(0.003)

    def count_theirs() -> None:
        theirs.inc()
        their_times.observe(0.003)

    times = []
    for work in (count_ours, count_theirs):
        began = time.process_time()
        for _ in range(count):
            work()
        times.append((time.process_time() - began) / count * 1e6)
    return [
        figure(
            "counting a request and its time",
            times[0],
            "µs",
            peer=f"prometheus-client: {times[1]:.2f} µs",
            ratio=times[0] / times[1],
        )
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs that judge nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    if shutil.which("wrk") is None:
        print("wrk is not installed; run: apt-get install wrk", file=sys.stderr)
        return 1
    seconds, rounds = (1, 1) if args.quick else (3, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = str(folder / "dnn.tflite")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, "-c", MODEL, model], check=True, **quiet)
        figures = serving(folder, model, seconds, rounds)
        figures += function(folder, seconds, rounds)
        figures += bodies(folder, 20 if args.quick else 100, rounds)
        figures += counters(20_000 if args.quick else 500_000)
    for found in figures:
        print(json.dumps(found, ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
