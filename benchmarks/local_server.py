"""``gpfn dev`` as its callers see it: warm calls, many clients, lists, its start, an edit.

A warm call goes over HTTP to the server and down the function's socket; the floor is the same
function's runner alone on its socket, asked as Fn's agent asks it, with the same 669 bytes. Beside
a real Fn server the goals are those of recordings: 1.4 ms for a warm trigger, and with 6 clients
989 ms at most. Starts and edits are what comes on top of the function's own cold start, which the
server tells of each call. The processes are held to the platform's limits, as by default.

    python benchmarks/local_server.py [--quick] [--json FILE]
"""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fn_runner import OURS, PLAIN, call, event, request, served

__all__ = ["main"]

GPFN = str(Path(sys.executable).with_name("gpfn"))
BODY = event(669)
PATIENCE = 60.0
CLIENTS = 6
LISTED = 1000
ANSWER = """
def handler(ctx, data=None):
    return {value!r}
"""


class Dev:
    """A server that runs, and the JSON lines that it prints."""

    def __init__(self, folder: Path) -> None:
        ports = ["--fn-port", "0", "--openwhisk-port", "0"]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [GPFN, "dev", str(folder), *ports, "--app", "demo", "--memory", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.url = self.told("serving")["fn"]

    def told(self, event: str, **wanted: object) -> dict[str, Any]:
        """Return the next line of an event with these values."""
        assert self.process.stdout
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event and wanted.items() <= found.items():
                return found
        raise RuntimeError("gpfn dev has ended")

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to it."""
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)

    def ask(self, connection: http.client.HTTPConnection, path: str, body: bytes | None) -> bytes:
        """Return an answer's body; raises RuntimeError unless it is 200."""
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def keep_asking(self, path: str) -> "Callable[[], object]":
        """Return what asks with BODY on a connection of its own, as raw bytes: no client's time."""
        host, port = urlsplit(self.url).hostname, urlsplit(self.url).port
        sock = socket.create_connection((host, port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(BODY)}\r\n"
        data = f"{head}Content-Type: text/plain\r\n\r\n".encode() + BODY
        return lambda: call(sock, data)

    def endpoint(self, name: str) -> str:
        """Return the path that a function is invoked at."""
        connection = self.connect()
        (app,) = json.loads(self.ask(connection, "/v2/apps?name=demo", None))["items"]
        path = f"/v2/fns?app_id={app['id']}&name={name}"
        (fn,) = json.loads(self.ask(connection, path, None))["items"]
        return urlsplit(fn["annotations"]["fnproject.io/fn/invokeEndpoint"]).path


@contextmanager
def dev(folder: Path) -> Iterator[Dev]:
    """Run a server for a folder."""
    running = Dev(folder)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.communicate(timeout=PATIENCE)


def write(folder: Path, value: str = "", code: str = PLAIN) -> Path:
    """Write a function with a trigger."""
    folder.mkdir(exist_ok=True)
    name = folder.name
    trigger = f"triggers:\n- {{name: {name}, type: http, source: /{name}}}\n"
    (folder / "func.yaml").write_text(f"name: {name}\n{trigger}")
    (folder / "func.py").write_text(ANSWER.format(value=value) if value else code)
    return folder


def timed(ask: Callable[[], object], count: int) -> list[float]:
    """Return how long each of several calls took, in milliseconds."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        found.append((time.perf_counter() - began) * 1000)
    return found


def figure(
    what: str, value: float, peer: str, limit: float, ratio: float | None = None
) -> dict[str, Any]:
    """Return one figure in milliseconds; the goal is on the ratio, where there is one."""
    return {
        "what": what,
        "value": round(value, 3),
        "unit": "ms",
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 3),
        "goal": f"≤ {limit:g}" if ratio is not None else f"≤ {limit:g} ms",
        "ok": (value if ratio is None else ratio) <= limit,
    }


def alone(count: int) -> float:
    """Return the median of a call on the runner's own socket."""
    asked = request(BODY)
    with served(OURS, PLAIN, asked) as (sock, _pid, _first):
        timed(lambda: call(sock, asked), count // 4)
        return statistics.median(timed(lambda: call(sock, asked), count))


def calls(folder: Path, count: int) -> list[dict[str, Any]]:
    """Measure warm calls of one client, and of several."""
    write(folder / "echo")
    floor = alone(count)
    with dev(folder) as running:
        path = running.endpoint("echo")
        ask = running.keep_asking(path)
        timed(ask, count // 4)
        warm = statistics.median(timed(ask, count))

        def client(_number: int) -> list[float]:
            own = running.keep_asking(path)
            timed(own, 5)
            return timed(own, count // CLIENTS)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(client, range(CLIENTS)))  # its processes are there then
            took = sorted(each for one in pool.map(client, range(CLIENTS)) for each in one)
    p99 = took[int(len(took) * 0.99)]
    name = f"warm POST /invoke, {len(BODY)} B, median"
    return [
        figure(name, warm, f"the runner alone on its socket: {floor:.3f} ms", 2.5, warm / floor),
        figure(f"{CLIENTS} clients on one function, p99", p99, "a Fn server: 989 ms at most", 50),
    ]


def lists(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure a list of many functions, over all its pages."""
    with dev(folder) as running:
        connection = running.connect()
        app = json.loads(running.ask(connection, "/v2/apps", b'{"name": "many"}'))["id"]
        for number in range(LISTED):
            body = {"name": f"f{number}", "app_id": app, "image": "f:0.0.1"}
            running.ask(connection, "/v2/fns", json.dumps(body).encode())

        def whole() -> None:
            found, cursor = 0, ""
            while found < LISTED:
                path = f"/v2/fns?app_id={app}&per_page=100&cursor={cursor}"
                page = json.loads(running.ask(connection, path, None))
                found, cursor = found + len(page["items"]), page.get("next_cursor", "")

        took = statistics.median(timed(whole, rounds))
    return figure(f"list of {LISTED:,} functions, in pages of 100", took, "", 10)


def start(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure from the command to the first answer, beyond the function's own cold start."""
    for number in range(10):
        write(folder / f"f{number}")
    beyond = []
    for _ in range(rounds):
        with dev(folder) as running:
            running.ask(running.connect(), "/t/demo/f0", BODY)
            took = time.perf_counter() - running.began
            beyond.append(took * 1000 - running.told("call")["ms"]["start"])
    what = "start with 10 functions to the first answer, beyond its cold start"
    return figure(what, statistics.median(beyond), "", 1000)


def edit(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure from an edit to the first answer of the new code, beyond the cold start."""
    write(folder / "edited", "0")
    beyond = []
    with dev(folder) as running:
        connection = running.connect()
        running.ask(connection, "/t/demo/edited", BODY)
        running.told("call", cold=True)
        for value in map(str, range(1, rounds + 1)):
            write(folder / "edited", value)
            began = time.perf_counter()
            while running.ask(connection, "/t/demo/edited", BODY) != value.encode():
                continue
            took = time.perf_counter() - began
            beyond.append(took * 1000 - running.told("call", cold=True)["ms"]["start"])
    what = "edit of func.py to the first answer of the new code, beyond its cold start"
    return figure(what, statistics.median(beyond), "", 500)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    count, rounds = (120, 1) if args.quick else (2400, 5)
    os.environ.pop("GPFN_LOG", None)  # the runner logs its calls, alone as under the server
    with tempfile.TemporaryDirectory() as top:
        folders = [Path(top, name) for name in ("calls", "lists", "start", "edit")]
        for folder in folders:
            folder.mkdir()
        figures = [
            *calls(folders[0], count),
            lists(folders[1], 2 * rounds + 1),
            start(folders[2], rounds),
            edit(folders[3], rounds),
        ]
    for one in figures:
        ratio = "" if one["ratio"] is None else f", {one['ratio']} of {one['peer']}"
        print(f"{one['what']}: {one['value']} {one['unit']}{ratio} (goal {one['goal']})")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
