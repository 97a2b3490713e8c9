"""The OpenWhisk runner against Python's own HTTP server, both answering the same JSON.

The action echoes its parameters, an object of 669 bytes or of 56 kB, beside the context
that the platform sends; the peer is ``http.server`` as it comes, with the same JSON read
and written by ``json``, but for Nagle's algorithm (it would wait 40 ms for an
acknowledgement). Both write a log, to nowhere: the peer a line a call, the runner what the
contract asks, the sentinels; it also sets the context's variables. Calls go over one kept
connection, or each over a new one, as OpenWhisk's invoker makes them; the figure is the
median of the medians, the sides take turns. Where the two processes run is said, since
waking a sleeping core up costs more than a call. A good part of that is counted as the
server's processor time, which is measured where the kernel puts the two.

    python benchmarks/openwhisk_runner.py [--quick] [--json FILE]
"""

import argparse
import compileall
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
GPFN = str(Path(sys.executable).parent / "gpfn")
CORES = sorted(os.sched_getaffinity(0))
PATIENCE = 60.0
SIZES = (669, 56_000)
GOAL = 0.5
FUNCTION_GOAL = 0.8

ACTION = """
def main(args):
    return args
"""

FUNCTION = """
from gpfn import Function
main = Function(lambda payload: payload, takes="payload", name="echo").openwhisk
"""

PEER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = json.dumps(body.get("value", {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

Connection = socket.socket


def requests(size: int, close: bool) -> list[bytes]:
    """Return calls as the invoker sends them: each is an activation of its own."""
    return [request(f"{number:032x}", size, close) for number in range(256)]


def request(activation: str, size: int, close: bool) -> bytes:
    """Return one call with parameters of ``size`` bytes."""
    value = {"name": "", "list": [1, 2.5, "two", True]}
    value["name"] = "x" * (size - len(json.dumps(value)))
    context = {
        "namespace": "guest",
        "action_name": "/guest/echo",
        "action_version": "0.0.1",
        "activation_id": activation,
        "transaction_id": activation,
        "deadline": f"41024448{activation[-4:]}".translate(str.maketrans("abcdef", "012345")),
    }
    body = json.dumps({"value": value, **context}).encode()
    head = (
        "POST /run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n"
        "User-Agent: Apache-HttpClient/4.5.5\r\n"
        + ("Connection: close\r\n" if close else "")
        + "\r\n"
    )
    return head.encode() + body


@contextmanager
def served(source: str, *, peer: bool) -> Iterator[tuple[int, int]]:
    """Start a server; gives its port and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "func.py"
        file.write_text(source)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        ours = [GPFN, "run", "openwhisk", str(file), "--host", "127.0.0.1", "--port", str(port)]
        command = [sys.executable, str(file), str(port)] if peer else ours
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        try:
            connected(port, process).close()
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def connected(port: int, process: "subprocess.Popen[bytes]") -> Connection:
    """Connect as soon as it listens."""
    give_up = time.perf_counter() + PATIENCE
    while time.perf_counter() < give_up and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.002)
    raise RuntimeError("the server did not start")


def call(connection: Connection, data: bytes) -> bytes:
    """Make one call and return its reply's body."""
    connection.sendall(data)
    head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"refused: {head!r} {body[:300]!r}")
    return body


def echo(
    source: str, size: int, calls: int, cores: tuple[int, int], *, kept: bool, peer: bool
) -> float:
    """Return the median microseconds of a call, with server and client on these cores."""
    data = requests(size, close=not kept)
    with served(source, peer=peer) as (port, process):
        os.sched_setaffinity(process, {cores[0]})
        os.sched_setaffinity(0, {cores[1]})
        try:
            taken = on_one(port, data, calls) if kept else on_many(port, data, calls)
        finally:
            os.sched_setaffinity(0, CORES)
    return statistics.median(taken) * 1e6


def spent(source: str, size: int, calls: int, *, peer: bool) -> float:
    """Return the microseconds of the server's processor time for a call."""
    data = requests(size, close=False)
    with served(source, peer=peer) as (port, process):
        on_one(port, data, 500)
        before = processor_time(process)
        on_one(port, data, calls)
        return (processor_time(process) - before) / (calls + 1) * 1e6


def processor_time(process: int) -> float:
    """Return the seconds that a process has used, its own and the kernel's for it.

    The scheduler counts them exactly; the usual utime and stime are samples of every tick.
    """
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def on_one(port: int, data: Sequence[bytes], calls: int) -> list[float]:
    """Make the calls on one connection."""
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        expected = call(connection, data[0])
        for number in range(calls):
            begun = time.perf_counter()
            reply = call(connection, data[number % len(data)])
            taken.append(time.perf_counter() - begun)
            assert len(reply) == len(expected)
    return taken


def on_many(port: int, data: Sequence[bytes], calls: int) -> list[float]:
    """Make each call on a connection of its own."""
    taken = []
    for number in range(calls):
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            call(connection, data[number % len(data)])
        taken.append(time.perf_counter() - begun)
    return taken


def alternate(sides: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Return each side's median of ``rounds``, taking turns."""
    runs = [[side() for side in sides] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def figure(what: str, value: float, peer: float, goal: float | None) -> dict[str, Any]:
    """Return one figure whose goal is on the ratio, if it has one."""
    return {
        "what": what,
        "value": round(value, 1),
        "unit": "µs",
        "peer": f"http.server: {peer:.1f} µs",
        "ratio": round(value / peer, 3),
        "goal": None if goal is None else f"≤ {goal}",
        "ok": None if goal is None else value / peer <= goal,
    }


def times(size: int, calls: int, rounds: int) -> list[dict[str, Any]]:
    """Compare what a call costs the server's processor."""
    peer, action = alternate(
        [
            lambda: spent(PEER, size, 5 * calls, peer=True),
            lambda: spent(ACTION, size, 5 * calls, peer=False),
        ],
        rounds,
    )
    what = f"OpenWhisk runner, echo of {size} bytes, processor time of the server"
    return [figure(what, action, peer, GOAL)]


def latencies(how: str, sizes: Sequence[int], calls: int, rounds: int) -> list[dict[str, Any]]:
    """Compare how long a caller waits, on one core and on two."""
    kept, figures = how == "kept connection", []
    for where, cores in (("one core", CORES[:1] * 2), ("two cores", (CORES * 2)[:2])):
        for size in sizes:
            pair = (cores[0], cores[1])
            peer, action, function = alternate(
                [
                    lambda s=size, p=pair: echo(PEER, s, calls, p, kept=kept, peer=True),
                    lambda s=size, p=pair: echo(ACTION, s, calls, p, kept=kept, peer=False),
                    lambda s=size, p=pair: echo(FUNCTION, s, calls, p, kept=kept, peer=False),
                ],
                rounds,
            )
            what = f"OpenWhisk runner, echo of {size} bytes, {how}, {where}"
            # on two cores waking up takes most of the time, of a new connection the kernel
            goal = GOAL if kept and where == "one core" else None
            figures.append(figure(what, action, peer, goal))
            what += ", gpfn.Function and its log"
            figures.append(figure(what, function, peer, FUNCTION_GOAL if goal else None))
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    compileall.compile_dir(ROOT / "src", quiet=1)
    rounds, calls = (1, 100) if args.quick else (5, 2000)
    figures = []
    for size in SIZES:
        figures += times(size, calls, rounds)
    figures += latencies("kept connection", SIZES, calls, rounds)
    figures += latencies("new connections", SIZES[:1], calls, rounds)
    text = json.dumps(figures, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
