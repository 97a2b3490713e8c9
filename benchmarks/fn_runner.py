"""The Fn runner against the stock FDK: an echo on one connection, and a cold start.

Both serve the same file, a plain ``handler(ctx, data)``, under the same contract, and
take turns. The echo sends a CloudEvent of 669 bytes as Fn's agent does, chunked and with
its headers, one call after the other on one connection of the unix socket; the figure is
the median of the medians. Where the two processes run makes more of a difference than
anything else (waking a sleeping core up costs up to 50 µs in a virtual machine), so it is
said: on one core, or on two. The runner logs every call, as it does by default; the FDK
has no such log. Bytecode is compiled first, as an image has it.

    python benchmarks/fn_runner.py [--quick] [--json FILE]
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
BIN = Path(sys.executable).parent
FDK = [str(BIN / "fdk")]
OURS = [str(BIN / "gpfn"), "run", "fn"]
PATIENCE = 60.0
BODY = 669
CORES = sorted(os.sched_getaffinity(0))

PLAIN = """
def handler(ctx, data=None):
    return data.getvalue()
"""

BY_HAND = """
import json
import uuid

def handler(ctx, data=None):
    event = json.loads(data.getvalue())
    return json.dumps({**event, "id": str(uuid.uuid4()), "type": event["type"] + ".response"})
"""

FUNCTION = """
from gpfn import Function

def echo(payload):
    return payload

handler = Function(echo, takes="payload").fn
"""


def event(size: int) -> bytes:
    """Return a structured CloudEvent of ``size`` bytes."""
    members = {"specversion": "1.0", "id": "1", "source": "/benchmark", "type": "echo", "data": ""}
    members["data"] = "x" * (size - len(json.dumps(members)))
    return json.dumps(members).encode()


def request(body: bytes) -> bytes:
    """Return a call as the agent sends it; ``fn invoke`` calls everything text."""
    head = (
        "POST /call HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\n"
        "Transfer-Encoding: chunked\r\nAccept-Encoding: gzip\r\n"
        "Content-Type: text/plain\r\nFn-Call-Id: 01M7YJCV41R00040J6M000001T\r\n"
        "Fn-Deadline: 2099-11-21T08:09:06Z\r\n\r\n"
    )
    return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@contextmanager
def served(
    command: Sequence[str], source: str, first: bytes
) -> Iterator[tuple[socket.socket, int, float]]:
    """Start a server; gives a connection, its process id and the seconds to its first reply."""
    with tempfile.TemporaryDirectory() as folder:
        file, listener = Path(folder) / "func.py", os.path.join(folder, "lsnr.sock")
        file.write_text(source)
        variables = {"FN_LISTENER": f"unix:{listener}", "FN_FORMAT": "http-stream"}
        with open(os.path.join(folder, "log"), "wb") as log:
            started = time.perf_counter()
            process = subprocess.Popen(
                [*command, str(file), "handler"], stderr=log, env={**os.environ, **variables}
            )
        connection = connected(listener, process)
        call(connection, first)
        yield connection, process.pid, time.perf_counter() - started
        connection.close()
        process.terminate()
        process.wait()


def connected(listener: str, process: "subprocess.Popen[bytes]") -> socket.socket:
    """Connect as soon as the socket is there."""
    give_up = time.perf_counter() + PATIENCE
    while time.perf_counter() < give_up and process.poll() is None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(listener)
        except OSError:
            connection.close()
            time.sleep(0.0002)
        else:
            return connection
    raise RuntimeError("the server did not start")


def call(connection: socket.socket, data: bytes) -> int:
    """Make one call and return how long its reply is."""
    connection.sendall(data)
    reply = connection.recv(1 << 20)
    size, _, rest = reply.partition(b"\r\n\r\n")
    length = int(size.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
    while len(rest) < length:
        rest += connection.recv(1 << 20)
    if b" 200 " not in reply[:20]:
        raise RuntimeError(f"refused: {reply[:300]!r}")
    return len(size) + 4 + length


def echo(
    command: Sequence[str], source: str, calls: int, cores: tuple[int, int], size: int
) -> float:
    """Return the median microseconds of a call, with client and server on these cores."""
    data = request(event(size))
    with served(command, source, data) as (connection, process, _):
        os.sched_setaffinity(process, {cores[0]})
        os.sched_setaffinity(0, {cores[1]})
        expected = call(connection, data)
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            connection.sendall(data)
            received = len(connection.recv(1 << 17))
            while received < expected:
                received += len(connection.recv(1 << 17))
            taken.append(time.perf_counter() - begun)
        os.sched_setaffinity(0, CORES)
    return statistics.median(taken) * 1e6


def cold(command: Sequence[str], source: str, data: bytes) -> float:
    """Return the milliseconds from starting the process to its first reply."""
    with served(command, source, data) as (_, _, seconds):
        return seconds * 1e3


def growth(command: Sequence[str], source: str, calls: int) -> float:
    """Return by how many megabytes memory grows over ``calls``, after 500."""
    data = request(event(BODY))
    with served(command, source, data) as (connection, process, _):
        sizes = []
        for number in (500, calls):
            for _ in range(number):
                call(connection, data)
            statm = Path(f"/proc/{process}/statm").read_text()
            sizes.append(int(statm.split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6)
    return sizes[1] - sizes[0]


def alternate(sides: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Return each side's median of ``rounds``, taking turns."""
    for side in sides:
        side()
    runs = [[side() for side in sides] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def figure(what: str, unit: str, value: float, peer: float, limit: float | None) -> dict[str, Any]:
    """Return one figure whose goal is on the ratio, if it has one."""
    return {
        "what": what,
        "value": round(value, 1),
        "unit": unit,
        "peer": f"stock FDK: {peer:.1f} {unit}",
        "ratio": round(value / peer, 3),
        "goal": None if limit is None else f"≤ {limit}",
        "ok": None if limit is None else value / peer <= limit,
    }


def echoes(rounds: int, calls: int) -> list[dict[str, Any]]:
    """Measure the echo, on one core and on two, small and large."""
    found = []
    for where, cores in (("one core", CORES[:1] * 2), ("two cores", (CORES * 2)[:2])):
        for size in (BODY, 56_000):
            pair = (cores[0], cores[1])
            stock, ours = alternate(
                [
                    lambda pair=pair, size=size: echo(FDK, PLAIN, calls, pair, size),
                    lambda pair=pair, size=size: echo(OURS, PLAIN, calls, pair, size),
                ],
                rounds,
            )
            found.append(
                figure(f"Fn runner, echo of {size} bytes, {where}", "µs", ours, stock, 0.36)
            )
    return found


def starts(rounds: int) -> list[dict[str, Any]]:
    """Measure cold starts; an event is answered with an event, and by hand under the FDK."""
    text, structured = request(b"hello"), request(event(BODY))
    sides = [
        lambda: cold(FDK, PLAIN, structured),
        lambda: cold(OURS, PLAIN, structured),
        lambda: cold(OURS, FUNCTION, text),
        lambda: cold(FDK, BY_HAND, structured),
        lambda: cold(OURS, FUNCTION, structured),
    ]
    stock, plain, function, by_hand, answered = alternate(sides, rounds)
    what = "Fn runner, process start to first reply, no model"
    return [
        figure(f"{what}, plain handler", "ms", plain, stock, 0.5),
        figure(f"{what}, gpfn.Function", "ms", function, stock, 0.48),
        figure(f"{what}, gpfn.Function and an event", "ms", answered, by_hand, None),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    compileall.compile_dir(ROOT / "src", quiet=1)
    rounds, calls = (1, 200) if args.quick else (9, 4000)
    figures = echoes(rounds, calls)
    figures += starts(2 if args.quick else 31)
    grown = growth(OURS, FUNCTION, 200 if args.quick else 10_000)
    figures.append(
        {
            "what": "Fn runner, memory's growth over 10,000 warm calls after 500",
            "value": round(grown, 3),
            "unit": "MB",
            "peer": "nothing",
            "ratio": None,
            "goal": "< 1 MB",
            "ok": grown < 1.0,
        }
    )
    text = json.dumps(figures, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
