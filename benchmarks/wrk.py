"""Servers under wrk: start one, have it asked, and see what a request costs it.

Not a benchmark: what ``serving.py`` and ``model_server.py`` share. wrk and the servers share all
cores; the processor time of a server for a request is the robust figure, requests a second and
times depend on the machine. wrk comes from the system's packages (apt-get install wrk).
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "DIFFERENT",
    "GPFN",
    "ROOT",
    "Load",
    "Server",
    "figure",
    "free_port",
    "load",
    "loaded",
    "middle",
    "script",
    "served",
]

ROOT = Path(__file__).resolve().parents[1]
GPFN = str(Path(sys.executable).parent / "gpfn")
PATIENCE = 60.0
TICKS = os.sysconf("SC_CLK_TCK")

POST = """
wrk.method = "POST"
wrk.body = io.open({body!r}, "rb"):read("*all")
wrk.headers["Content-Type"] = {kind!r}
"""

DIFFERENT = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["X-Request-Id"] = "call-" .. number
  return wrk.format()
end
"""


class Load(NamedTuple):
    """What wrk measured, and the processor time that the server took for a request."""

    rps: float
    p99_ms: float
    cpu_us: float


class Server(NamedTuple):
    """A running server."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Return the processor time of the process and all below it so far."""
        return sum(map(_cpu, self.pids()))

    def pids(self) -> list[int]:
        """Return the process and all that it started, and they."""
        found, new = [], [self.pid]
        while new:
            found.append(new.pop())
            new += _children(found[-1])
        return found

    def resident(self) -> int:
        """Return the resident bytes of all its processes; what they share counts once (PSS)."""
        return sum(map(_resident, self.pids()))


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _children(pid: int) -> list[int]:
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(number) for text in tasks for number in text.split()]


@contextmanager
def served(command: Sequence[str], ready: str = "/") -> Iterator[Server]:
    """Start a server, wait until it answers.

    ``{port}`` in its command stands for a free one, ``{port+1}`` for the one behind it.
    """
    port = free_port()
    words = [
        word.replace("{port}", str(port)).replace("{port+1}", str(port + 1)) for word in command
    ]
    nowhere = subprocess.DEVNULL
    environ = {**os.environ, "GPFN_LOG": "quiet"}
    process = subprocess.Popen(words, stdout=nowhere, stderr=nowhere, env=environ)
    try:
        _wait(port, process, ready)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that is free, and so are the two behind it: some servers take three."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for more in (1, 2):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
            except (OSError, OverflowError):  # one of them is taken: others are tried
                continue
            return port


def _wait(port: int, process: "subprocess.Popen[bytes]", path: str) -> None:
    give_up = time.perf_counter() + PATIENCE
    while time.perf_counter() < give_up and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
                if not path:
                    return
                sock.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
                )
                if sock.recv(16).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:  # it does not listen yet
            time.sleep(0.02)
            continue
        time.sleep(0.02)
    raise RuntimeError("the server did not start")


def load(server: Server, script: Path, connections: int, seconds: float, path: str = "/") -> Load:
    """Have wrk ask a server; every answer has to be a 200."""
    before = server.cpu_seconds()
    command = _wrk(server, script, connections, seconds, path)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = server.cpu_seconds() - before
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    count = int(re.findall(r"(\d+) requests in", text)[0])
    rps = float(re.findall(r"Requests/sec: +([\d.]+)", text)[0])
    value, unit = re.findall(r"99% +([\d.]+)(us|ms|s)", text)[0]
    return Load(rps, float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], spent / count * 1e6)


@contextmanager
def loaded(server: Server, script: Path, connections: int, path: str = "/") -> Iterator[None]:
    """Have wrk ask a server as long as the block runs."""
    command = _wrk(server, script, connections, 3600, path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wrk(server: Server, script: Path, connections: int, seconds: float, path: str) -> list[str]:
    url = f"http://127.0.0.1:{server.port}{path}"
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]


def middle(loads: Sequence[Load]) -> Load:
    """Return the medians."""
    return Load(*(statistics.median(values) for values in zip(*loads, strict=True)))


def script(folder: Path, name: str, body: bytes, kind: str, more: str = "") -> Path:
    """Write what wrk sends."""
    (folder / f"{name}.body").write_bytes(body)
    file = folder / f"{name}.lua"
    file.write_text(POST.format(body=str(folder / f"{name}.body"), kind=kind) + more)
    return file


def figure(
    what: str,
    value: float,
    unit: str,
    *,
    peer: str = "",
    ratio: float | None = None,
    goal: str = "",
    ok: bool | None = None,
) -> dict[str, Any]:
    """Return one line of the table."""
    return {
        "what": what,
        "value": round(value, 3 if value < 100 else 0),
        "unit": unit,
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 3),
        "goal": goal,
        "ok": ok,
    }
