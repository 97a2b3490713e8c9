"""What a small remote call costs its caller: gpfn's client against requests.post.

A bare echo server in a process of its own answers every POST with the same ready bytes, so
that only the client differs. `requests.post` posts a ready body of 244 bytes, as PyPI's
graphpipe does it, and reads the reply's bytes; gpfn also encodes the arrays, decodes the
reply and checks it. Both are measured in turn, by the time that their own process uses
(`time.process_time`), and by the clock.

    python benchmarks/graphpipe_client.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests
from run import table

from gpfn.graphpipe import Client, remote
from gpfn.graphpipe.encode import encode_response
from gpfn.graphpipe.messages import InferResponse

__all__ = ["main"]

GOAL = 0.17
SMALL = 244
ARRAY = np.arange(20, dtype=np.float32).reshape(1, 20, 1)


def serve(listener: socket.socket, reply: bytes) -> None:
    """Answer every request on every connection with ``reply``."""
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=talk, args=(sock, reply), daemon=True).start()


def talk(sock: socket.socket, reply: bytes) -> None:
    """Serve one connection; a request ends with its Content-Length."""
    with sock:
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(1 << 16)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            received = len(body)
            while received < length:
                received += len(sock.recv(1 << 16))
            sock.sendall(reply)


@contextmanager
def server() -> Iterator[str]:
    """Run the echo server in another process and give its URL."""
    body = b"".join(encode_response(InferResponse((ARRAY,))))
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        child = os.fork()
        if not child:
            serve(listener, head % len(body) + body)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            os.kill(child, 15)
            os.waitpid(child, 0)


def microseconds(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """Return the microseconds of one call: of this process, and by the clock."""
    used, begun = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    used, passed = time.process_time() - used, time.perf_counter() - begun
    return 1e6 * used / calls, 1e6 * passed / calls


def figures(url: str, *, quick: bool) -> list[dict[str, Any]]:
    """Measure each way of calling in turn."""
    client, session, body = Client(url), requests.Session(), bytes(SMALL)
    calls, turns = (20, 3) if quick else (150, 15)
    jobs: dict[str, Callable[[], object]] = {
        "client": lambda: client.infer({"x": ARRAY}, output_names=("y",)),
        "remote": lambda: remote(url, ARRAY, input_name="x", output_name="y"),
        "post": lambda: requests.post(url, data=body, timeout=60).content,
        "session": lambda: session.post(url, data=body, timeout=60).content,
    }
    for job in jobs.values():
        microseconds(job, 10)
    samples = {name: [] for name in jobs}
    for _ in range(turns):
        for name, job in jobs.items():
            samples[name].append(microseconds(job, calls))
    medians = {
        name: tuple(map(statistics.median, zip(*pairs, strict=True)))
        for name, pairs in samples.items()
    }
    session.close()
    client.close()
    return [
        figure(f"{what}, {measured}", medians[ours][index], medians[peer][index], peer, goal)
        for ours, what in (("client", "Client.infer"), ("remote", "remote()"))
        for peer in ("post", "session")
        for index, measured, goal in (
            (0, "client CPU", GOAL if peer == "post" else None),
            (1, "by the clock", None),
        )
    ]


def figure(what: str, ours: float, theirs: float, peer: str, goal: float | None) -> dict[str, Any]:
    """Return a figure as all benchmarks write it."""
    name = "requests.post" if peer == "post" else "requests.Session().post"
    return {
        "what": f"GraphPipe call of {SMALL} B, {what}",
        "value": round(ours, 1),
        "unit": "µs",
        "peer": f"{name}: {theirs:.0f} µs",
        "ratio": round(ours / theirs, 4),
        "goal": goal,
        "ok": None if goal is None else ours / theirs <= goal,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    with server() as url:
        found = figures(url, quick=args.quick)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
