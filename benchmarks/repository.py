"""A repository under load: TFaaS's paths, an upload, and a thousand models.

The floor of ``/json`` and ``/proto`` is a bare Protocol on httptools and uvloop that reads the
row with orjson or struct, calls the same model and writes the answer: no checks, no bounds, no
routes. TFaaS itself was measured by hand on two such cores (396 and 339 requests a second at 8
and 200 connections, 479 MB after 5,000 calls); it cannot be had from a registry. An upload is
held against what it cannot do without: to read, hash, write and sync the file, and to open it
twice, of that once in a new process.

    python benchmarks/repository.py [--quick] [--json FILE]

wrk comes from the system's packages (apt-get install wrk).
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving import MODEL
from wrk import GPFN, ROOT, Server, figure, load, middle, script, served

__all__ = ["main"]

FLOOR = """
import asyncio, struct, sys
import httptools, numpy as np, orjson, uvloop
from gpfn.models.open import open_model

proto, model = sys.argv[3] == "proto", open_model(sys.argv[2])
given, (wanted,) = model.inputs[0].name, [spec.name for spec in model.outputs]
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
        body, self.body = self.body, b""
        if proto:
            at = body.index(b"\\x12\\xa8\\x01") + 3
            row = np.frombuffer(body[at : at + 168], np.float32).reshape(1, 42)
        else:
            row = np.array(orjson.loads(body)["values"], np.float32).reshape(1, 42)
        result = model({given: row})[wanted][0]
        if proto:
            answer = b"".join(b"\\n\\x05\\x15" + struct.pack("<f", value) for value in result)
        else:
            answer = orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY) + b"\\n"
        self.transport.write(head % len(answer) + answer)

async def main():
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Bare, "127.0.0.1", int(sys.argv[1]))).serve_forever()

uvloop.run(main())
"""
OPEN = "import sys; from gpfn.models.open import open_model; open_model(sys.argv[1])"
TFAAS = {8: 396, 200: 339}
"""Requests a second of the real TFaaS, measured by hand, by connections."""
SIDE = 5000
"""A matrix of so many rows and columns of float32 is 100 MB."""


def rows(folder: Path, model: Path, seconds: int, rounds: int) -> list[dict[str, Any]]:
    """Compare /json and /proto with their floors, at 8 and 200 connections."""
    import numpy as np

    from gpfn.tfaas.messages import encode_row_message
    from gpfn.tfaas.row import encode_row

    values = np.linspace(0, 1, 42, dtype=np.float32)
    keys = [f"a{number}" for number in range(42)]
    bodies = {
        "json": encode_row(values, keys=keys, model="dnn"),
        "proto": encode_row_message(values, keys=keys, model="dnn"),
    }
    floor_file = folder / "floor.py"
    floor_file.write_text(FLOOR)
    command = [GPFN, "serve", "--repository", str(folder / "store"), "--listen", "127.0.0.1:{port}"]
    figures = []
    with served(command, "/control/is_ready") as ours:
        upload(ours, "dnn", model)
        for kind, body in bodies.items():
            sends = script(folder, kind, body, "application/x-www-form-urlencoded")
            floor_command = [sys.executable, str(floor_file), "{port}", str(model), kind]
            with served(floor_command, "") as floor:
                figures += row_figures(kind, floor, ours, sends, seconds, rounds)
        figures.append(memory(ours, folder, bodies["json"]))
    return figures


def row_figures(
    kind: str, floor: Server, ours: Server, sends: Path, seconds: int, rounds: int
) -> list[dict[str, Any]]:
    """Return the figures of one path."""
    path = f"/{kind}"
    load(floor, sends, 8, seconds, path), load(ours, sends, 8, seconds, path)
    figures = []
    goals = {8: (30e3, None), 200: (40e3 if kind == "json" else 30e3, 15.0)}
    for connections, (rps, p99) in goals.items():
        pairs = [
            (
                load(floor, sends, connections, seconds, path),
                load(ours, sends, connections, seconds, path),
            )
            for _ in range(rounds)
        ]
        bare, found = middle([a for a, _ in pairs]), middle([b for _, b in pairs])
        ratio = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
        name = f"gpfn serve --repository, TFaaS {path}, DNN 42→1, {connections} connections"
        peer = f"bare httptools and uvloop, same model: {bare.cpu_us:.1f} µs"
        figures += [
            figure(f"{name}, processor time", found.cpu_us, "µs", peer=peer, ratio=ratio),
            figure(
                f"{name}, requests a second",
                found.rps,
                "1/s",
                peer=f"the same: {bare.rps:.0f} 1/s; TFaaS by hand: {TFAAS[connections]} 1/s",
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
    return figures


def memory(server: Server, folder: Path, body: bytes) -> dict[str, Any]:
    """Return what the server takes after at least 5,000 calls."""
    load(server, script(folder, "memory", body, "application/json"), 8, 1, "/json")
    taken = server.resident() / 1e6
    what = "gpfn serve --repository, memory of all processes after 5,000 calls of /json"
    peer = "TFaaS by hand: 479 MB"
    return figure(what, taken, "MB", peer=peer, goal="≤ 70 MB", ok=taken <= 70)


def upload(server: Server, name: str, model: Path) -> float:
    """Upload a model; returns the seconds until it is visible, which is when that is answered."""
    began = time.perf_counter()
    parts = ["-F", f"name={name}", "-F", f"model=@{model}"]
    url = f"http://127.0.0.1:{server.port}/upload"
    subprocess.run(["curl", "-sS", "--fail", *parts, url], check=True, capture_output=True)
    return time.perf_counter() - began


def large_model(path: Path, number: int) -> None:
    """Write an ONNX model of 100 MB that is like no other one."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.full((SIDE, SIDE), number, np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", SIDE]) for n in "xy")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def without_a_server(model: Path, folder: Path) -> float:
    """Return the seconds of what an upload cannot do without."""
    from gpfn.models.open import open_model

    began = time.perf_counter()
    with model.open("rb") as read, (folder / "copy").open("wb") as write:
        digest = hashlib.sha256()
        while block := read.read(1 << 20):
            digest.update(block)
            write.write(block)
        write.flush()
        os.fsync(write.fileno())
    subprocess.run([sys.executable, "-c", OPEN, str(model)], check=True)
    open_model(model).close()
    return time.perf_counter() - began


def uploads(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Compare an upload of 100 MB with what it cannot do without."""
    command = [GPFN, "serve", "--repository", str(folder / "large"), "--listen", "127.0.0.1:{port}"]
    model = folder / "large.onnx"
    pairs = []
    with served(command, "/control/is_ready") as ours:
        for number in range(rounds + 1):
            large_model(model, number)
            pairs.append((without_a_server(model, folder), upload(ours, "large", model)))
    pairs = pairs[1:]  # the first one has loaded the libraries
    ratio = statistics.median(ours / alone for alone, ours in pairs)
    alone, found = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [
        figure(
            "upload of 100 MB to visible, all gates passed",
            found,
            "s",
            peer=f"read, hash, write, sync, open twice: {alone:.2f} s",
            ratio=ratio,
            goal="≤ 1.3",
            ok=ratio <= 1.3,
        )
    ]


def many(folder: Path, model: Path, rounds: int) -> list[dict[str, Any]]:
    """See how long a server with 1,000 models takes to start, and to list them."""
    place = folder / "many"
    fill(place, model)
    command = [GPFN, "serve", "--repository", str(place), "--listen", "127.0.0.1:{port}"]
    empty = [GPFN, "serve", "--repository", str(folder / "none"), "--listen", "127.0.0.1:{port}"]
    starts, bare, lists = [], [], []
    for _ in range(rounds):
        for words, found in ((empty, bare), (command, starts)):
            began = time.perf_counter()
            with served(words, "/control/is_ready") as server:
                found.append(time.perf_counter() - began)
                if words is command:
                    lists.append(listed(server))
    more = statistics.median(b - a for a, b in zip(bare, starts, strict=True))
    return [
        figure(
            "gpfn serve --repository with 1,000 models, start beyond that of an empty one",
            more,
            "s",
            peer=f"an empty one: {statistics.median(bare):.2f} s",
            goal="≤ 0.5 s",
            ok=more <= 0.5,
        ),
        figure(
            "the list of 1,000 models",
            statistics.median(lists) * 1e3,
            "ms",
            goal="≤ 10 ms",
            ok=statistics.median(lists) <= 0.01,
        ),
    ]


def listed(server: Server) -> float:
    """Return the seconds of GET /models, the best of a few."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/models", timeout=60) as reply:
            assert len(json.loads(reply.read())) == 1000
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def fill(place: Path, model: Path) -> None:
    """Make 1,000 models of one file."""
    from gpfn.repository.documents import Manifest, StoredFile, content_digest
    from gpfn.serving.repository.folder_objects import FolderObjects
    from gpfn.serving.repository.store import VersionStore

    store = VersionStore(FolderObjects(place))
    data = model.read_bytes()
    file = StoredFile(model.name, len(data), hashlib.sha256(data).hexdigest())
    for number in range(1000):
        folder = store.objects.incoming()
        (folder / model.name).write_bytes(data)
        name = f"model_{number}"
        draft = Manifest(name, 1, content_digest([file]), (file,), model.name, "litert")
        store.commit(draft, folder, who="benchmark")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the figures down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs that judge nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    seconds, rounds = (1, 1) if args.quick else (3, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "dnn.tflite"
        subprocess.run([sys.executable, "-c", MODEL, str(model)], check=True, capture_output=True)
        figures = [
            *rows(folder, model, seconds, rounds),
            *uploads(folder, 1 if args.quick else 3),
            *many(folder, ROOT / "models/digits.tflite", 1 if args.quick else 3),
        ]
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False))
    for each in figures:
        print({key: value for key, value in each.items() if value not in ("", None)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
