"""Our server with the models of the recordings: one process for each server that was recorded."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import ROOT
from tests.e2e.oip.models import KSERVE, KSERVE_V1, MLSERVER, STUB, TRITON, Recorded, write_ours

__all__ = ["recorded_servers", "serving", "wait_ready"]

SERVERS = {
    "18100": TRITON,
    "18210": KSERVE,
    "18211": KSERVE_V1,
    "18310": MLSERVER,
    "18405": STUB,
}
"""The models by the port that they were recorded at; KServe's for V1 was the same as for V2."""

PATIENCE = 60.0


@contextmanager
def recorded_servers(folder: Path) -> Iterator[dict[str, int]]:
    """Serve all models; yields our port for each recorded one."""
    with ExitStack() as running:
        ports = {
            port: running.enter_context(serving(models, folder / port))
            for port, models in SERVERS.items()
        }
        for port in ports.values():
            wait_ready(port)
        yield ports | {"18002": ports["18100"]}


@contextmanager
def serving(models: tuple[Recorded, ...], folder: Path, *flags: str) -> Iterator[int]:
    """Start ``gpfn serve`` on a models folder; yields its port, where it may not answer yet."""
    write_ours(models, folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    gpfn = Path(sys.executable).parent / "gpfn"
    command = [
        str(gpfn),
        "serve",
        "--models-dir",
        str(folder),
        "--listen",
        f"127.0.0.1:{port}",
        *flags,
    ]
    environment = os.environ | {"GPFN_LOG": "quiet"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait() == 0


def wait_ready(port: int) -> None:
    """Return when the server is ready."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.sendall(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
                if b" 200 " in sock.recv(32):
                    return
        except OSError:  # it does not listen yet
            pass
        time.sleep(0.05)
    raise AssertionError("the server is not ready")
