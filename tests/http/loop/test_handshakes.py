"""TLS handshakes that nobody goes on with."""

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpfn.http.loop.process import Tls
from tests.http.loop.running import LOOPS, Running
from tests.http.loop.test_requests import post


@pytest.fixture
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a server with TLS; its certificate is beside it."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)),
            *("-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    started: list[Running] = []

    def start(loop: str, **settings: Any) -> Running:
        run = Running(LOOPS[loop], **settings)
        run.server._tls = Tls(str(certificate), str(key)).context  # what a process gives it
        started.append(run)
        return run

    yield start
    for run in started:
        run.stop()


def dial(run: Running, tmp_path: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
    return context.wrap_socket(run.connect(), server_hostname="localhost")


@pytest.mark.parametrize("loop", LOOPS)
def test_half_handshakes_are_bounded_and_keep_nobody_out(
    loop: str, tmp_path: Path, secured: Callable[..., Running]
) -> None:
    run = secured(loop, connections=20)
    held = [run.connect() for _ in range(300)]
    for sock in held:
        sock.sendall(b"\x16\x03\x01")
    time.sleep(0.2)
    assert run.on_loop(lambda: len(run.server._making)) <= 21
    with dial(run, tmp_path) as sock:
        sock.sendall(post("/a", b"secret", "Connection: close"))
        received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert received.endswith(b"POST /a secret")
    for plain in held:
        plain.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_client_with_tls_stops_neither_the_clock_nor_the_end(
    loop: str, tmp_path: Path, secured: Callable[..., Running]
) -> None:
    run = secured(loop, idle_seconds=0.3, head_seconds=0.6, drain_seconds=20)
    with dial(run, tmp_path) as idle:
        time.sleep(0.8)  # it is closed, and does not answer that
        with dial(run, tmp_path) as slow:
            slow.sendall(b"POST / HT")
            assert slow.recv(99).startswith(b"HTTP/1.1 408 "), "the clock stands still"
        with dial(run, tmp_path) as busy:
            busy.sendall(post("/later?0.5", b"runs"))
            run.wait_for(lambda: bool(run.script.seen))
            began = time.monotonic()
            run.server.loop.call_soon_threadsafe(run.server.stop)
            assert b"POST /later runs" in b"".join(iter(lambda: busy.recv(4096), b""))
        run.thread.join(20)
        assert time.monotonic() - began < 8
        assert idle.fileno() >= 0
    assert "Error" not in "".join(run.log)
