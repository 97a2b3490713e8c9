"""A real NATS server with JetStream, on a port of its own, for tests that stop, kill and pause it.

Debian's ``nats-server`` has to be installed; nothing is passed over when it is not.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NatsServer", "free_port", "nats_server"]

_WITHIN = 20.0

_STORE = """
jetstream {
  store_dir: "%s"
  # streams reserve what they may hold at most: not to depend on how full a disk is
  max_file_store: 1099511627776
}
"""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """A server that keeps its port and its folder over restarts."""

    def __init__(
        self, folder: Path, *options: str, config: str = "", jetstream: bool = True
    ) -> None:
        program = shutil.which("nats-server")
        assert program, "nats-server is not installed: apt-get install nats-server"
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._command: Sequence[str] = [
            program,
            *("-a", "127.0.0.1", "-p", str(self.port)),
            *options,
        ]
        if jetstream:
            config += _STORE % (folder / "data")
        if config:
            file = folder / "server.conf"
            file.write_text(config)
            self._command = [*self._command, "-c", str(file)]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> NatsServer:
        """Start it and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + _WITHIN
        while not self._greets():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.02)
        return self

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                return client.recv(5) == b"INFO "
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait until it has ended."""
        if self.process is None:
            return
        self.process.send_signal(number)
        if number != signal.SIGKILL:
            self.process.send_signal(signal.SIGCONT)
        self.process.wait(_WITHIN)
        self.process = None

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it without ending it: connections stay, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        states = Path(f"/proc/{self.process.pid}/task")
        while any("State:\tT" not in (task / "status").read_text() for task in states.iterdir()):
            time.sleep(0.001)

    def go_on(self) -> None:
        """Let a paused one go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def nats_server(
    folder: Path, *options: str, config: str = "", jetstream: bool = True
) -> Iterator[NatsServer]:
    """Run a server; it is ended afterwards, paused or not."""
    server = NatsServer(folder, *options, config=config, jetstream=jetstream)
    try:
        yield server.start()
    finally:
        server.stop()
