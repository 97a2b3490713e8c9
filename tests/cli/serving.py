"""``gpfn serve`` in a process of its own, on a free port."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["LISTENING", "READY", "Served", "clean_environ", "serve", "wait_for"]


class Served(NamedTuple):
    """A running server: its process, where it listens, and what it writes to stderr."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def get(self, path: str = "/") -> bytes:
        """Return what it answers to GET."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            body: bytes = response.read()
        return body


READY = r"(?s) listening on (http://\S+)\n.* ready: "
LISTENING = r" listening on (http://\S+)\n"
"""All that a server says which has no model yet."""


@contextmanager
def serve(
    folder: Path,
    *options: str,
    environ: Mapping[str, str] = os.environ,
    told: str = READY,
) -> Iterator[Served]:
    """Start it and wait until it has told that it is ready; it is ended with the block."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "gpfn.cli.main", "serve", "--listen", "127.0.0.1:0", *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=dict(environ), cwd=folder)
    try:
        url = wait_for(log, process, told)
        yield Served(process, url, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(log: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    """Return the first group of a pattern once the log has it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in {log.read_text()!r}")


def clean_environ(**more: str) -> dict[str, str]:
    """Return this environment without settings of ours, and with some more."""
    kept: Sequence[tuple[str, str]] = [
        (name, value) for name, value in os.environ.items() if not name.startswith(("GP_", "GPFN_"))
    ]
    return {**dict(kept), **more}
