"""A soak: good and bad calls on many connections, every answer checked, and what stays behind.

The servers run as real processes: ``gpfn serve``, ``gpfn run http`` and ``gpfn run openwhisk``,
one after the other. Each call has numbers of its own, so that an answer that belongs to another
call is noticed. Beside small and large good calls there are bodies that are no JSON, wrong
shapes, broken framing, clients that leave, slow bodies, gzip and pipelined calls. OpenWhisk's
runner answers one call at a time and keeps 64 connections: it gets 16.

After every tenth of the time all clients stop, and the server's memory, descriptors and threads
are counted. What an allocator keeps goes up and down by some megabytes with the last large body:
so the least of the last three counts is compared with the least of three, the second to the
fourth. A pool starts a thread when work first waits, which may be late: it has one for each
processor. Exit code 1: a wrong answer, over 2 MB more memory, other descriptors, a thread that
is gone, or more threads than one pool may have started.

    python benchmarks/soak.py [--seconds 600] [--connections 200] [--server NAME] [--growth BYTES]
"""

import argparse
import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from soak_client import HTTP, KINDS, OPENWHISK, SERVE, Client, Dialect

__all__ = ["main", "soak"]

SERIAL_CONNECTIONS = 16
PARTS = 10
GROWTH = 2 << 20
POOL = os.cpu_count() or 1
PATIENCE = 60.0
MODEL = """
import time


def model(x):
    if x.size == 1:  # the first call of every client: all threads have to take part
        time.sleep(0.05)
    return 2 * x
"""
FUNCTION = """
from gpfn import Function, TensorSpec
from model import model

double = Function(model, inputs={"x": TensorSpec("float32", (None,))})
app = double.asgi
main = double.openwhisk
"""


class Held(NamedTuple):
    """What a process holds when nobody asks it anything."""

    resident: int
    descriptors: int
    threads: int


class Soak(NamedTuple):
    """What came of one server's soak; ``held`` has a count after every tenth."""

    calls: Counter[str]
    wrong: Counter[str]
    held: Sequence[Held]

    @property
    def early(self) -> Held:
        """Return the least that was held after two, three and four tenths."""
        return Held(*map(min, zip(*self.held[1:4], strict=True)))

    @property
    def late(self) -> Held:
        """Return the least that was held after eight, nine and ten tenths."""
        return Held(*map(min, zip(*self.held[-3:], strict=True)))

    def misses(self, growth: int) -> list[str]:
        """Return what is not as it should be; ``growth`` is what memory may grow by."""
        early, late = self.early, self.late
        found = [f"{count} x {text}" for text, count in self.wrong.most_common(5)]
        if late.resident - early.resident >= growth:
            found.append(f"{late.resident - early.resident} bytes more memory")
        if late.descriptors != early.descriptors:
            found.append(f"descriptors: {early.descriptors}, then {late.descriptors}")
        if not early.threads <= late.threads <= early.threads + POOL:
            found.append(f"threads: {early.threads}, then {late.threads}")
        return found


async def soak(pid: int, port: int, dialect: Dialect, connections: int, seconds: float) -> Soak:
    """Ask a server for so many seconds; return what came of it."""
    result = Soak(Counter(), Counter(), held := [])
    for part in range(PARTS):
        clients = [
            Client(port, dialect, random.Random(f"{part} {number}"))
            for number in range(connections)
        ]
        await _ask(clients, time.monotonic() + seconds / PARTS, result, start=not part)
        held.append(await _held(pid))
    return result


async def _ask(clients: Sequence[Client], until: float, result: Soak, *, start: bool) -> None:
    weights, kinds = [weight for weight, _ in KINDS], [kind for _, kind in KINDS]

    async def work(client: Client) -> None:
        kind = Client.first if start else Client.small
        while time.monotonic() < until:
            try:
                await asyncio.wait_for(kind(client), PATIENCE)
                result.calls[kind.__name__] += 1
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is counted
                result.wrong[f"{kind.__name__}: {type(error).__name__}: {error}"] += 1
                client.leave()
            kind = client.chance.choices(kinds, weights)[0]
        client.leave()

    await asyncio.gather(*map(work, clients))


async def _held(pid: int) -> Held:
    """Count what a process holds, once it has noticed that all clients have left."""
    process = Path("/proc") / str(pid)
    found = []
    for _ in range(6):
        await asyncio.sleep(0.05)
        rollup = (process / "smaps_rollup").read_text()
        resident = re.search(r"^Rss: +(\d+) kB", rollup, re.MULTILINE)
        counts = len(os.listdir(process / "fd")), len(os.listdir(process / "task"))
        found.append(Held(int(resident[1]) << 10 if resident else 0, *counts))
    return Held(*map(min, zip(*found, strict=True)))


class Kind(NamedTuple):
    """How a server is started, and asked."""

    dialect: Dialect
    words: tuple[str, ...]
    connections: int = 1 << 20


SERVERS = {
    "serve": Kind(SERVE, ("serve", "-m", "model:model", "-l", "127.0.0.1:0")),
    "run http": Kind(HTTP, ("run", "http", "func.py", "--port", "0")),
    "run openwhisk": Kind(
        OPENWHISK,
        ("run", "openwhisk", "func.py", "--host", "127.0.0.1", "--port", "0"),
        SERIAL_CONNECTIONS,
    ),
}


@contextmanager
def _started(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Run a command of gpfn; yields its process id and port."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "func.py").write_text(FUNCTION)
        (folder / "model.py").write_text(MODEL)
        environ = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gpfn", *words],
                cwd=folder,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            port = _port(process, folder / "log")
            yield _answering(process.pid), port
        finally:
            process.kill()
            process.wait()


def _answering(pid: int) -> int:
    """Return the process that answers: what looks after it, if anything, does not grow."""
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(workers[0]) if len(workers) == 1 else pid


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        text = log.read_text()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", text)
        if found and " ready: " in text:
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


def _line(name: str, result: Soak) -> str:
    counts = ", ".join(f"{held.resident / 1e6:.1f}" for held in result.held)
    early, late = result.early, result.late
    calls = ", ".join(f"{kind} {count}" for kind, count in result.calls.most_common())
    return (
        f"{name}: {sum(result.calls.values())} calls ({calls})\n"
        f"  wrong answers {sum(result.wrong.values())}\n"
        f"  rss {early.resident / 1e6:.1f} MB, {late.resident / 1e6:.1f} MB late ({counts})\n"
        f"  descriptors {early.descriptors}, {late.descriptors}"
        f"; threads {early.threads}, {late.threads}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Soak the servers; 1 when one of them misses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="for each server")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--server", choices=SERVERS, help="one of them instead of all")
    parser.add_argument("--growth", type=int, default=GROWTH, help="bytes of memory that may be")
    args = parser.parse_args(argv)
    code = 0
    for name in [args.server] if args.server else SERVERS:
        kind = SERVERS[name]
        with _started(kind.words) as (pid, port):
            connections = min(args.connections, kind.connections)
            result = asyncio.run(soak(pid, port, kind.dialect, connections, args.seconds))
        print(_line(name, result), flush=True)
        for miss in result.misses(args.growth):
            print(f"  MISSED: {miss}", flush=True)
            code = 1
    return code


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # somebody has seen enough
        sys.exit(main())
