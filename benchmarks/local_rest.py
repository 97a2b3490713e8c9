"""Fn's REST of ``gpfn dev``: a list of a thousand functions, and what a call costs beside it.

The list is asked for as ``fn`` asks, in pages of a hundred behind a cursor, on one connection. A
call is answered at once by a caller of functions that runs none, so that what is left is what
``POST /invoke/ID`` does itself: the HTTP, the routes, the bytes for the function, the record in
the state. Beside it stands ``GET /version`` of the same server. Medians, one request at a time.

    python benchmarks/local_rest.py [--quick] [--json FILE]
"""

import argparse
import json
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

from wrk import figure

__all__ = ["main"]

FUNCTIONS, PAGE, BODY = 1000, 100, 669
LIST_MS = 10.0

SERVER = """
import asyncio, sys
from pathlib import Path
from gpfn.http.body import Budget
from gpfn.http.loop.process import Endpoint, listen, run_loop
from gpfn.http.loop.server import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.calling import CallOutcome, ProcessAnswer
from gpfn.local.calls import Calls
from gpfn.local.deployed import MappedImage
from gpfn.local.fn.api import FnApi
from gpfn.local.fn.entities import FnEntities
from gpfn.local.handler import LocalHandler
from gpfn.local.state import State
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.browser import own_hosts

ANSWER = CallOutcome(ProcessAnswer(200, (("content-type", "text/plain"),), b"x" * 669))

class AtOnce:
    def begin(self, deployed, call, answered, done):
        answered(ANSWER.answer)
        asyncio.get_running_loop().call_soon(done, ANSWER)
        return True
    async def call(self, deployed, call):
        return ANSWER
    def forget(self, key):
        pass

async def main():
    state, sock = State(Path(sys.argv[1])), listen(Endpoint(port=0))
    entities, log = FnEntities(state), Log("dev")
    image = MappedImage("1", Path("func.py"))
    api = FnApi(entities, AtOnce(), Calls(state), lambda name: image, log, unknown=str)
    app = entities.create_app({"name": "models"})
    for number in range(int(sys.argv[2])):
        fields = {"app_id": app.id, "name": f"f{number:04}", "image": "f:0.0.1", "memory": 256}
        fn = entities.create_fn({**fields, "config": {"MODEL": "forecast"}})
    host, port = sock.getsockname()
    server = LoopServer(
        sock, LocalHandler([api], own_hosts(host, port), log), log, limits=Limits(),
        settings=LoopSettings(), budget=Budget(1 << 26), metrics=Metrics(),
    )
    await server.serve(lambda: print(port, app.id, fn.id, flush=True))

run_loop(main)
"""


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"Host: 127.0.0.1:{port}\r\n"

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the body of a reply, which has to be a 200."""
        head = f"{method} {path} HTTP/1.1\r\n{self._host}Content-Length: {len(body)}\r\n\r\n"
        self._sock.sendall(head.encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._sock.recv(1 << 18)
        found, _, rest = data.partition(b"\r\n\r\n")
        if not found.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(found.decode())
        length = int(found.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(rest) < length:
            rest += self._sock.recv(1 << 18)
        return rest


@contextmanager
def served() -> Iterator[tuple[Client, str, str]]:
    """Start the server; gives a client, and the ids of its app and of a function."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", SERVER, f"{folder}/dev.sqlite", str(FUNCTIONS)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port, app, fn = process.stdout.readline().split()
            yield Client(int(port)), app, fn
        finally:
            process.terminate()
            process.wait()


def listed(client: Client, app: str) -> int:
    """Ask for all functions of an app; returns how many there are."""
    count, cursor = 0, ""
    while True:
        page = client.ask("GET", f"/v2/fns?app_id={app}&per_page={PAGE}&cursor={cursor}")
        found = json.loads(page)
        count += len(found["items"])
        if "next_cursor" not in found:
            return count
        cursor = found["next_cursor"]


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return how long a piece of work takes."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Return the figures."""
    rounds = 3 if quick else 30
    with served() as (client, app, fn):
        if listed(client, app) != FUNCTIONS:
            raise RuntimeError("the list is not whole")
        whole = median_ms(lambda: listed(client, app), rounds)
        body = b"x" * BODY
        version = median_ms(lambda: client.ask("GET", "/version"), rounds * 50)
        call = median_ms(lambda: client.ask("POST", f"/invoke/{fn}", body), rounds * 50)
    list_goal = f"≤ {LIST_MS:g} ms"
    return [
        figure(
            f"dev: list of {FUNCTIONS} functions", whole, "ms", goal=list_goal, ok=whole <= LIST_MS
        ),
        figure(
            f"dev: /invoke of {BODY} B beside the function",
            call * 1e3,
            "µs",
            peer=f"GET /version, {version * 1e3:.0f} µs",
            ratio=call / version,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(argv)
    figures = measure(quick=options.quick)
    for each in figures:
        print(f"{each['what']}: {each['value']} {each['unit']} {each['peer']}")
    if options.json:
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
