"""A request that is refused leaves nothing of its body, whenever the collector comes."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.memory import worker_of
from tests.residue import NO_COLLECTOR, REFUSED, growth, status_of

GPFN = str(Path(sys.executable).parent / "gpfn")
MODEL = f"{NO_COLLECTOR}\n\ndef model(x):\n    return x\n"
BOUND = 12_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Serve a model of Python with a limit of 6 MB; its process and port."""
    folder = tmp_path_factory.mktemp("residue")
    (folder / "kept_by_nobody.py").write_text(MODEL)
    environ = {**os.environ, "PYTHONPATH": str(folder), "GPFN_MAX_BODY_BYTES": "6000000"}
    command = [GPFN, "serve", "-m", "kept_by_nobody:model", "-l", "127.0.0.1:0"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        port = _port(process, log)
        while log.read_text().count(" ready: ") == 0:
            time.sleep(0.01)
        yield worker_of(process.pid), port
    finally:
        process.kill()
        process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    until = time.monotonic() + 30
    while not (found := re.search(r"127\.0\.0\.1:(\d+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, "not ready"
        time.sleep(0.01)
    return int(found[1])


@pytest.mark.parametrize("case", REFUSED)
def test_refused_bodies(server: tuple[int, int], case: str) -> None:
    pid, port = server
    data, status = REFUSED[case]
    if status == 400:
        status = 415  # what is broken is JSON, which nobody reads here

    def again() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert status_of(connection, data) == status

    assert growth(pid, again) < BOUND
