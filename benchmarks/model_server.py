"""The model server beside the servers that people would pick instead, with wrk.

A network of 42 numbers to 1 is asked over the Open Inference Protocol's JSON, one row a
request, at 8, 64 and 200 connections. Peers are Triton 2.51 with ONNX Runtime, MLServer and
FastAPI with ONNX Runtime, each as its makers or users run it (``benchmarks/peers/``; ``make
bench-peers`` makes their environments, and without one a peer is left out). The floor is a bare
Protocol on httptools, uvloop, orjson and LiteRT: one inference a request, no checks. All
servers take turns, medians are shown; wrk and the servers share all cores.

    python benchmarks/model_server.py [--quick] [--only WORD] [--json FILE]
"""

import argparse
import asyncio
import cProfile
import gc
import http.client
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from wrk import GPFN, ROOT, Load, Server, figure, free_port, load, loaded, middle, script, served

__all__ = ["main"]

SHARED = Path(os.environ.get("GPFN_SHARED") or ROOT.parent / "shared")
MOBILENET = SHARED / "data" / "models" / "mobilenet_v2_1.0_224_quant.tflite"
PEERS = Path(__file__).resolve().parent / "peers"
ENVIRONMENTS = ROOT / os.environ.get("PEERS", ".venvs")
READY = "/v2/health/ready"
JSON = "application/json"

FLOOR = """
import asyncio, sys
import httptools, numpy as np, orjson, uvloop
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(sys.argv[2], num_threads=1)
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]["index"]
wanted = interpreter.get_output_details()[0]["index"]
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"

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
        tensor, self.body = orjson.loads(self.body)["inputs"][0], b""
        array = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        interpreter.set_tensor(given, array)
        interpreter.invoke()
        result = interpreter.get_tensor(wanted)
        output = {"name": "y", "datatype": "FP32", "shape": result.shape, "data": result.ravel()}
        answer = {"model_name": "dnn", "model_version": "1", "outputs": [output]}
        body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        self.transport.write(head % len(body) + body)

async def main():
    create = asyncio.get_running_loop().create_server
    await (await create(Bare, "127.0.0.1", int(sys.argv[1]), backlog=512)).serve_forever()

uvloop.run(main())
"""

ECHO = """
import asyncio, sys
import uvloop

answer = b"HTTP/1.1 200 OK\\r\\ncontent-length: 130\\r\\n\\r\\n" + bytes(130)

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(answer)

async def main():
    create = asyncio.get_running_loop().create_server
    await (await create(Echo, "127.0.0.1", int(sys.argv[1]), backlog=512)).serve_forever()

uvloop.run(main())
"""
"""Answers whatever comes: what is left is the cost of asking."""

ALONE = """
import asyncio, sys
import numpy as np
import uvloop
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
interpreter.invoke()
print("ready", flush=True)
"""
"""What a server of this model cannot do without: interpreter, NumPy, LiteRT, loop, load."""

THREADS = """
import sys, threading, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

end, counts = time.perf_counter() + float(sys.argv[2]), [0, 0]

def work(number):
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    given, wanted = (
        tensors[0]
        for tensors in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    array = np.zeros(given["shape"], given["dtype"])
    while time.perf_counter() < end:
        interpreter.set_tensor(given["index"], array)
        interpreter.invoke()
        interpreter.get_tensor(wanted["index"])
        counts[number] += 1

threads = [threading.Thread(target=work, args=[number]) for number in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(counts) / float(sys.argv[2]))
"""
"""Two bare interpreters in two threads: inferences a second."""

BINARY = """
wrk.headers["Inference-Header-Content-Length"] = "{size}"
"""


class Bench(NamedTuple):
    """Where files are, how long each load is, how many rounds."""

    folder: Path
    seconds: float
    rounds: int
    quick: bool

    @property
    def dnn(self) -> str:
        """The network of 42 numbers for LiteRT; ``dnn.onnx`` beside it has the same weights."""
        return str(self.folder / "dnn.tflite")

    def file(self, name: str, text: str) -> str:
        """Write a script and return its path."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)


class Asked(NamedTuple):
    """A server and the path that is asked there."""

    server: Server
    path: str = "/"


Figures = list[dict[str, Any]]


def row() -> list[float]:
    """Return the 42 numbers that are asked."""
    return [round(float(value), 7) for value in np.linspace(0, 1, 42)]


def oip_json() -> bytes:
    """Return the request for one row: 507 bytes, as in the figures that the goals come from."""
    tensor = {"name": "x", "shape": [1, 42], "datatype": "FP32", "data": row()}
    document = {"id": "row".ljust(28, "."), "inputs": [tensor]}
    return json.dumps(document, separators=(",", ":")).encode()


def graphpipe() -> bytes:
    """Return the request for the same row as GraphPipe."""
    from gpfn.graphpipe import InferRequest, encode_request

    array = np.array([row()], np.float32)
    return b"".join(encode_request(InferRequest(tensors=(array,), input_names=("x",))))


def binary(name: str, array: "np.ndarray[Any, Any]", datatype: str) -> tuple[bytes, str]:
    """Return a request whose tensor is bytes, and what wrk has to add to its headers."""
    tensor = {"name": name, "shape": array.shape, "datatype": datatype}
    tensor["parameters"] = {"binary_data_size": array.nbytes}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    return head + array.tobytes(), BINARY.format(size=len(head))


def ours(bench: Bench, *options: str, model: str = "") -> list[str]:
    """Return the command that serves the network, or another model."""
    models = ["--model", model or f"dnn={bench.dnn}"]
    return [GPFN, "serve", *models, "--listen", "127.0.0.1:{port}", *options]


def peers(bench: Bench, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the commands of the peers whose environments are there, by their names."""
    found = {}
    for name in [] if bench.quick else names:
        python = ENVIRONMENTS / name / "bin" / "python"
        if python.exists():
            program, model = PEERS / f"run_{name}.py", bench.folder / "dnn.onnx"
            found[name] = [str(python), str(program), str(model), "--port", "{port}"]
        else:
            print(f"left out: {name}, make bench-peers makes its environment", file=sys.stderr)
    return found


def turns(
    bench: Bench, asked: Mapping[str, Asked], sends: Path, connections: int
) -> dict[str, list[Load]]:
    """Have all servers take turns."""
    found: dict[str, list[Load]] = {name: [] for name in asked}
    for _ in range(bench.rounds):
        for name, one in asked.items():
            found[name].append(load(one.server, sends, connections, bench.seconds, one.path))
    return found


def ratio(above: Sequence[Load], below: Sequence[Load], field: str = "rps") -> float:
    """Return the median of the rounds' ratios."""
    pairs = zip(above, below, strict=True)
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs)


def at_least(what: str, value: float, goal: float, **more: Any) -> dict[str, Any]:
    """Return a figure of requests a second with a goal."""
    return figure(what, value, "1/s", goal=f"≥ {goal:.0f} 1/s", ok=value >= goal, **more)


def compared(
    what: str, value: float, peer: str, times: float, goal: float | None = None
) -> dict[str, Any]:
    """Return a figure of requests a second beside a peer's."""
    words = {} if goal is None else {"goal": f"≥ {goal:g}", "ok": times >= goal}
    return figure(what, value, "1/s", peer=peer, ratio=times, **words)


NAMES = {"triton": "Triton 2.51", "mlserver": "MLServer", "fastapi": "FastAPI, 2 workers"}
COUNTS = (8, 64, 200)
RATES = {8: 35e3, 64: 50e3, 200: 50e3}
COSTS = {8: 1.6, 64: 1.25, 200: 1.25}
TIMES = {"triton": {8: 4, 64: 4, 200: 3.5}, "mlserver": dict.fromkeys(COUNTS, 20)}


def rows(bench: Bench) -> Figures:
    """Compare one row a request with the floor and the peers, and two processes with one."""
    sends = script(bench.folder, "row", oip_json(), JSON)
    place = "/v2/models/dnn/infer"
    floor = [sys.executable, bench.file("floor.py", FLOOR), "{port}", bench.dnn]
    commands = {"floor": floor, "ours": ours(bench), "two": ours(bench, "--workers", "2")}
    commands |= peers(bench, [*NAMES])
    figures = []
    with ExitStack() as stack:
        asked = {}
        for name, command in commands.items():
            ready = "" if name == "floor" else READY
            asked[name] = Asked(stack.enter_context(served(command, ready)), place)
        time.sleep(1)  # one process of two may be ready, and the other not yet
        answers = {name: answer(one) for name, one in asked.items()}
        if max(answers.values()) - min(answers.values()) > 1e-4:
            raise RuntimeError(f"they compute different things: {answers}")
        for one in asked.values() if not bench.quick else ():
            load(one.server, sends, 8, 1, one.path)
        for connections in COUNTS[: 2 if bench.quick else None]:
            figures += compare_rows(connections, turns(bench, asked, sends, connections))
    return figures


def answer(asked: Asked) -> float:
    """Return what a server answers for the row."""
    connection = http.client.HTTPConnection("127.0.0.1", asked.server.port, timeout=10)
    try:
        connection.request("POST", asked.path, oip_json(), {"Content-Type": JSON})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {content[:300]!r}")
        (value,) = np.ravel(json.loads(content)["outputs"][0]["data"])
        return float(value)
    finally:
        connection.close()


def compare_rows(connections: int, loads: Mapping[str, Sequence[Load]]) -> Figures:
    """Return the figures for one number of connections."""
    what = f"OIP JSON of {len(oip_json())} B, DNN 42→1, {connections} connections"
    found, bare, two = (middle(loads[name]) for name in ("ours", "floor", "two"))
    cost, goal = ratio(loads["ours"], loads["floor"], "cpu_us"), COSTS[connections]
    floor = "bare httptools, uvloop, orjson and LiteRT"
    figures = [
        at_least(f"{what}, requests a second", found.rps, RATES[connections]),
        figure(
            f"{what}, processor time",
            found.cpu_us,
            "µs",
            peer=f"{floor}: {bare.cpu_us:.1f} µs",
            ratio=cost,
            goal=f"≤ {goal}",
            ok=cost <= goal,
        ),
    ]
    for name, shown in NAMES.items():
        if name not in loads:
            continue
        said = f"{shown}: {middle(loads[name]).rps:.0f} 1/s"
        times, least = ratio(loads["ours"], loads[name]), TIMES.get(name, {}).get(connections)
        figures.append(compared(f"{what}, requests a second", found.rps, said, times, least))
        if name == "triton":
            times, least = ratio(loads["two"], loads[name]), 5 if connections == 64 else None
            figures.append(compared(f"{what}, 2 processes", two.rps, said, times, least))
    others = [f"{NAMES[name]}: {middle(loads[name]).p99_ms:.1f}" for name in NAMES if name in loads]
    p99 = {"goal": "≤ 10 ms", "ok": found.p99_ms <= 10} if connections == 200 else {}
    peer = ", ".join([f"the floor: {bare.p99_ms:.1f}", *others])
    figures.append(figure(f"{what}, 99 %", found.p99_ms, "ms", peer=peer, **p99))
    if "triton" not in loads:
        figures.append(figure(f"{what}, 2 processes", two.rps, "1/s"))
    return figures


def graphpipe_rows(bench: Bench) -> Figures:
    """Measure the same row over GraphPipe."""
    sends = script(bench.folder, "graphpipe", graphpipe(), "application/octet-stream")
    with served(ours(bench), READY) as server:
        load(server, sends, 8, 1)
        return [
            at_least(
                f"GraphPipe, DNN 42→1, {connections} connections, requests a second",
                middle(turns(bench, {"ours": Asked(server)}, sends, connections)["ours"]).rps,
                goal,
            )
            for connections, goal in ((8, 30e3), (64, 45e3))
        ]


def batches(bench: Bench) -> Figures:
    """Compare a batch per turn of the loop with one row after the other, for a slower model."""
    model = f"forecast={ROOT / 'models' / 'forecast.tflite'}"
    array = np.linspace(0, 1, 20, dtype=np.float32).reshape(1, 20, 1)
    body, more = binary("series", array, "FP32")
    sends = script(bench.folder, "series", body, "application/octet-stream", more)
    path = "/v2/models/forecast/infer"
    with (
        served(ours(bench, model=model), READY) as batched,
        served(ours(bench, "--max-batch", "1", model=model), READY) as single,
    ):
        asked = {"batched": Asked(batched, path), "single": Asked(single, path)}
        loads = turns(bench, asked, sends, 64)
    times = ratio(loads["batched"], loads["single"])
    said = f"--max-batch 1: {middle(loads['single']).rps:.0f} 1/s"
    what = "forecast (RNN), a batch per turn of the loop, 64 connections"
    return [compared(what, middle(loads["batched"]).rps, said, times, 1.6)]


def write_slow(file: Path, layers: int) -> None:
    """Write a network of 64 numbers to 64 that convolves them as an image, again and again."""
    from onnx import TensorProto, helper, numpy_helper, save

    constants = [
        numpy_helper.from_array(np.array([1, 64, 1, 1]), "column"),
        numpy_helper.from_array(np.array([1, 64, 28, 28]), "image"),
        numpy_helper.from_array(np.full((64, 64, 3, 3), 1e-3, np.float32), "kernel"),
    ]
    nodes = [
        helper.make_node("Reshape", ["x", "column"], ["narrow"]),
        helper.make_node("Expand", ["narrow", "image"], ["at0"]),
        *(
            helper.make_node("Conv", [f"at{n}", "kernel"], [f"at{n + 1}"], pads=[1] * 4)
            for n in range(layers)
        ),
        helper.make_node("GlobalAveragePool", [f"at{layers}"], ["y"]),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", [1, 64]), ("y", [1, 64, 1, 1]))
    ]
    graph = helper.make_graph(nodes, "slow", *ends, constants)
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)


def slow_model(file: Path, seconds: float = 0.004) -> float:
    """Write a network that takes so many seconds on a core of this machine; return how many."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    layers, took = 10, 0.0
    for _ in range(4):
        write_slow(file, layers)
        session = onnxruntime.InferenceSession(str(file), options)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            session.run(None, {"x": np.zeros((1, 64), np.float32)})
            times.append(time.perf_counter() - began)
        took = min(times)
        if abs(took / seconds - 1) < 0.1:
            break
        layers = max(1, round(layers * seconds / took))
    return took


def beside(bench: Bench) -> Figures:
    """See what a model of 4 ms costs the calls of a quick one in the same server."""
    slow = bench.folder / "slow.onnx"
    took = slow_model(slow)
    quick = script(bench.folder, "quick", oip_json(), JSON)
    body, more = binary("x", np.zeros((1, 64), np.float32), "FP32")
    sends = script(bench.folder, "slow", body, "application/octet-stream", more)
    alone, both = [], []
    path = "/v2/models/dnn/infer"
    with served(ours(bench, "--model", f"slow={slow}"), READY) as server:
        load(server, quick, 8, 1, path)
        for _ in range(bench.rounds):
            alone.append(load(server, quick, 8, bench.seconds, path))
            with loaded(server, sends, 4, "/v2/models/slow/infer"):
                time.sleep(0.2)
                both.append(load(server, quick, 8, bench.seconds, path))
    what = f"DNN, 8 connections beside 4 connections of a model of {took * 1e3:.1f} ms"
    said = f"alone: {middle(alone).rps:.0f} 1/s"
    p99 = middle(both).p99_ms
    return [
        compared(what, middle(both).rps, said, ratio(both, alone), 0.75),
        figure(f"{what}, 99 %", p99, "ms", goal="≤ 2 ms", ok=p99 <= 2),
    ]


def photos(bench: Bench) -> Figures:
    """Compare two replicas of MobileNet v2 with two bare interpreters in two threads."""
    body, more = binary("input", np.zeros((1, 224, 224, 3), np.uint8), "UINT8")
    sends = script(bench.folder, "photo", body, "application/octet-stream", more)
    bare, found = [], []
    program = [sys.executable, bench.file("threads.py", THREADS), str(MOBILENET)]
    command = ours(bench, "--parallel", "2", model=f"photos={MOBILENET}")
    with served(command, READY) as server:
        path = "/v2/models/photos/infer"
        load(server, sends, 8, 1, path)
        for _ in range(bench.rounds):
            words = [*program, str(bench.seconds)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            bare.append(float(done.stdout))
            found.append(load(server, sends, 8, bench.seconds, path).rps)
    times = statistics.median(a / b for a, b in zip(found, bare, strict=True))
    said = f"two bare interpreters in two threads: {statistics.median(bare):.0f} 1/s"
    what = "MobileNet v2, 2 replicas, 8 connections"
    return [compared(what, statistics.median(found), said, times, 0.9)]


def grpc(bench: Bench) -> Figures:
    """Compare gRPC with Triton's, the load coming from gpfn bench."""
    try:
        import grpc  # noqa: F401 - the extra
    except ImportError:
        print("left out: gRPC, which the extra grpc brings", file=sys.stderr)
        return []
    command = ours(bench, "--grpc", "127.0.0.1:{port+1}")
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(words, READY))
            for name, words in ({"ours": command} | peers(bench, ["triton"])).items()
        }
        for _ in range(bench.rounds):
            for name, server in servers.items():
                found.setdefault(name, []).append(_grpc_rate(server.port + 1, bench.seconds))
    value, what = statistics.median(found["ours"]), "OIP gRPC, DNN 42→1, 8 connections"
    if "triton" not in found:
        return [figure(what, value, "1/s")]
    times = statistics.median(a / b for a, b in zip(found["ours"], found["triton"], strict=True))
    said = f"Triton 2.51: {statistics.median(found['triton']):.0f} 1/s"
    return [compared(what, value, said, times, 0.5)]


def _grpc_rate(port: int, seconds: float) -> float:
    words = [GPFN, "bench", f"grpc://127.0.0.1:{port}/dnn", "--connections", "8"]
    words += ["--seconds", str(seconds), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (found,) = json.loads(done.stdout)["loads"]
    if found["failures"]:
        raise RuntimeError(f"gRPC: {found['failures']}")
    return float(found["requests_per_second"])


def start(bench: Bench) -> Figures:
    """Compare the time to the first reply with what the runtime alone takes; see the memory."""
    alone = [sys.executable, bench.file("alone.py", ALONE), bench.dnn]
    bare, found, resident = [], [], 0
    for _ in range(1 if bench.quick else bench.rounds * 3):
        bare.append(_seconds_until_ready(alone))
        seconds, size = _seconds_until_reply(ours(bench))
        found.append(seconds)
        resident = max(resident, size)
    times = statistics.median(a / b for a, b in zip(found, bare, strict=True))
    said = f"interpreter, NumPy, LiteRT, uvloop, load: {statistics.median(bare) * 1e3:.0f} ms"
    size = resident / 1e6
    return [
        figure(
            "process start to first reply, DNN 42→1",
            statistics.median(found) * 1e3,
            "ms",
            peer=said,
            ratio=times,
            goal="≤ 1.3",
            ok=times <= 1.3,
        ),
        figure(
            "memory of all processes after 1,000 calls", size, "MB", goal="≤ 60 MB", ok=size <= 60
        ),
    ]


def _seconds_until_ready(command: Sequence[str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - began


def _seconds_until_reply(command: Sequence[str]) -> tuple[float, int]:
    """Return how long the first good reply took, and the resident bytes after 1,000."""
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    body = oip_json()
    head = f"POST /v2/models/dnn/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        seconds = 0.0
        while not seconds and time.perf_counter() < began + 60:
            if _well(port, request, 1):
                seconds = time.perf_counter() - began
            else:
                time.sleep(0.001)
        if not (seconds and _well(port, request, 1000)):
            raise RuntimeError("the server does not answer")
        return seconds, Server(process.pid, port).resident()
    finally:
        process.terminate()
        process.wait()


def _well(port: int, request: bytes, count: int) -> bool:
    """Say whether so many requests are answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(count):
                sock.sendall(request)
                if not sock.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                    return False
    except OSError:
        return False
    return True


class Nowhere:
    """A transport that throws away what is written, and counts it."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, data: bytes) -> None:
        """Count an answer."""
        if not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:300])
        self.written += 1

    def get_write_buffer_size(self) -> int:
        """Return 0: everything is sent."""
        return 0

    def is_closing(self) -> bool:
        """Say no."""
        return False

    def abort(self) -> None:
        """Stay: the server takes it for a connection that has given way."""


def unwired(bench: Bench) -> Figures:
    """Compare what Python does for a request with the floor, sockets and kernel left out.

    64 connections get a request each, then the loop turns; on a busy machine this varies less
    than anything that is measured over sockets.
    """
    from gpfn.serving import Server as ModelServer

    head = f"POST /v2/models/dnn/infer HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
    request = f"{head}Content-Length: {len(oip_json())}\r\n\r\n".encode() + oip_json()
    turns = 20 if bench.quick else 300
    profile = cProfile.Profile()
    times: dict[str, list[float]] = {"ours": [], "floor": []}
    with ModelServer({"dnn": bench.dnn}) as server:
        for _ in range(bench.rounds * 2):
            times["floor"].append(_bare_us(bench, request, turns))
            times["ours"].append(_turned_us(server, request, turns))
        _turned_us(server, request, 20, profile)
    entered = sum(row.callcount for row in profile.getstats() if not isinstance(row.code, str))
    cost, floor = (min(times[name]) for name in ("ours", "floor"))
    what = "OIP JSON, DNN 42→1, 64 connections without sockets"
    said = f"the floor: {floor:.1f} µs"
    return [
        figure(f"{what}, processor time", cost, "µs", peer=said, ratio=cost / floor),
        figure(f"{what}, Python functions entered", entered / (20 * 64), ""),
    ]


def _bare_us(bench: Bench, request: bytes, turns: int) -> float:
    """Return the microseconds of a request to the floor's protocol."""
    names: dict[str, Any] = {"__name__": "floor"}
    before, sys.argv = sys.argv, ["floor", "0", bench.dnn]
    try:
        exec(FLOOR.partition("uvloop.run")[0], names)
    finally:
        sys.argv = before
    connections = [names["Bare"]() for _ in range(64)]
    for connection in connections:
        connection.connection_made(Nowhere())
    began = time.thread_time()
    for _ in range(turns):
        for connection in connections:
            connection.data_received(request)
    return (time.thread_time() - began) / (turns * 64) * 1e6


def _turned_us(
    server: Any, request: bytes, turns: int, profile: "cProfile.Profile | None" = None
) -> float:
    """Return the microseconds of a request to connections of our server, on its loop."""
    from gpfn.http.loop.connection import LoopConnection

    running = server._loop  # there is no public way to a connection without a socket

    async def measure() -> float:
        transport = Nowhere()
        connections = [LoopConnection(running._server) for _ in range(64)]
        for connection in connections:
            connection.connection_made(transport)
        gc.collect()
        gc.freeze()  # as the server does when it is ready
        if profile:
            profile.enable()
        began = time.thread_time()
        for _ in range(turns):
            for connection in connections:
                connection.data_received(request)
            while transport.written % 64:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        spent = time.thread_time() - began
        if profile:
            profile.disable()
        for connection in connections:
            connection.connection_lost(None)
        if transport.written != turns * 64:
            raise RuntimeError(f"{transport.written} answers to {turns * 64} requests")
        return spent / (turns * 64) * 1e6

    return asyncio.run_coroutine_threadsafe(measure(), running._loop).result()


def generator(bench: Bench) -> Figures:
    """Compare what a request costs the load generator of gpfn bench with what it costs wrk."""
    from gpfn.bench.generator import LoadPlan, http_load
    from gpfn.http.address import Address

    sends = script(bench.folder, "echo", oip_json(), JSON)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(oip_json())}\r\n\r\n".encode()
    plan = LoadPlan(64, bench.seconds)
    costs, wrks, rates = [], [], []
    with served([sys.executable, bench.file("echo.py", ECHO), "{port}"], "") as server:
        address = Address("http", "127.0.0.1", server.port)
        for _ in range(bench.rounds):
            one = http_load(address, head + oip_json(), plan)
            costs.append(one.ours / len(one.times) * 1e6)
            rates.append(len(one.times) / one.seconds)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            found = load(server, sends, 64, bench.seconds)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            wrks.append(spent / (found.rps * bench.seconds) * 1e6)
    cost = statistics.median(costs)
    return [
        figure(
            "gpfn bench, 64 connections, processor time of the load generator a request",
            cost,
            "µs",
            peer=f"wrk: {statistics.median(wrks):.1f} µs",
            ratio=statistics.median(a / b for a, b in zip(costs, wrks, strict=True)),
            goal="≤ 16.7 µs: 60,000 1/s",
            ok=cost <= 1e6 / 60e3,
        ),
        figure(
            "gpfn bench, 64 connections, requests a second against an echo on uvloop",
            statistics.median(rates),
            "1/s",
        ),
    ]


PARTS: tuple[Callable[[Bench], Figures], ...] = (
    *(unwired, rows, graphpipe_rows, batches, beside, photos, grpc, start, generator),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs that judge nothing")
    parser.add_argument("--only", default="", metavar="WORD", help="parts with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    if shutil.which("wrk") is None:
        print("wrk is not installed; run: apt-get install wrk", file=sys.stderr)
        return 1
    seconds, rounds = (1, 1) if args.quick else (3, 5)
    figures: Figures = []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), seconds, rounds, args.quick)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, str(PEERS / "dnn.py"), name], check=True, **quiet)
        for part in PARTS:
            if args.only in part.__name__:
                for found in part(bench):
                    print(json.dumps(found, ensure_ascii=False), flush=True)
                    figures.append(found)
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
