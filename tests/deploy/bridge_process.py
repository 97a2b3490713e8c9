"""``gpfn bridge run`` in a process of its own, with metrics and health at a free port."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cli.serving import LISTENING, clean_environ, wait_for

__all__ = ["RunningBridge", "running_bridge"]

_FILE = """\
listen = "127.0.0.1:0"

[source]
queue = "queue.db"
topics = ["readings"]

[[route]]
call = "http://127.0.0.1:9/"
"""
_SECONDS = 20.0


class RunningBridge(NamedTuple):
    """A bridge that reads a queue in which nothing is, and where it listens."""

    process: subprocess.Popen[bytes]
    url: str

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics_with(self, text: str) -> str:
        """Return the metrics once something is among them."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            found = self.get("/metrics")[1]
            if text in found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {text} in {found}")

    def is_ready(self, path: str) -> None:
        """Wait until a path is answered with 200."""
        end = time.monotonic() + _SECONDS
        while self.get(path)[0] != 200:
            assert time.monotonic() < end, self.get(path)
            time.sleep(0.05)


@contextmanager
def running_bridge(folder: Path) -> Iterator[RunningBridge]:
    """Start one; it is ended with the block, and has to end in order."""
    (folder / "bridge.toml").write_text(_FILE)
    log = folder / "bridge.log"
    command = [sys.executable, "-m", "gpfn.cli.main", "bridge", "run", "bridge.toml"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env=clean_environ()
        )
    try:
        yield RunningBridge(process, wait_for(log, process, LISTENING))
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
