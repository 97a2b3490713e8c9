"""Our server with a repository, in a process of its own, in the place of a recorded one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cli.serving import wait_for
from tests.e2e.tfaas.wire import Wire

__all__ = ["Running", "serving", "until_nothing_is_on_its_way"]


class Running(NamedTuple):
    """A server: where it listens, what it logs, its port for gRPC (0 without), its store."""

    wire: Wire
    log: Path
    grpc: int
    store: Path


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Running]:
    """Serve the repository of a folder; it is ended with the block.

    An empty repository has nothing to open, so the log says of no model that it is ready.
    """
    log, store = folder / "serve.log", folder / "repository"
    command = [sys.executable, "-m", "gpfn.cli.main", "serve", "--listen", "127.0.0.1:0"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--repository", str(store), *options], stderr=stderr, cwd=folder
        )
    try:
        port = int(wait_for(log, process, r"listening on http://[\d.]+:(\d+)\n"))
        wire = Wire("127.0.0.1", port)
        _until_ready(wire, process, log)
        grpc = wait_for(log, process, r"gRPC on \S+:(\d+)") if "--grpc" in options else "0"
        yield Running(wire, log, int(grpc), store)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()


def until_nothing_is_on_its_way(running: Running) -> None:
    """Wait until what has come of uploads that failed is removed, which is after the answer."""
    until = time.monotonic() + 60
    while found := [*(running.store / ".incoming").iterdir()]:
        assert time.monotonic() < until, found
        time.sleep(0.02)


def _until_ready(wire: Wire, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while wire.send("GET", "/v2/health/ready").status != 200:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)
