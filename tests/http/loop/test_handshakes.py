"""TLS handshakes that nobody goes on with."""

import ssl
import subprocess
import time
from pathlib import Path

import pytest

from gpfn.http.loop.process import Tls
from tests.http.loop.running import LOOPS, Running
from tests.http.loop.test_requests import post


@pytest.mark.parametrize("loop", LOOPS)
def test_half_handshakes_are_bounded_and_keep_nobody_out(loop: str, tmp_path: Path) -> None:
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
    tls = Tls(str(certificate), str(key))
    run = Running(LOOPS[loop], connections=20)
    run.server._tls = tls.context  # what a process gives it
    held = []
    try:
        for _ in range(300):
            sock = run.connect()
            sock.sendall(b"\x16\x03\x01")
            held.append(sock)
        time.sleep(0.2)
        assert run.on_loop(lambda: len(run.server._making)) <= 21
        context = ssl.create_default_context(cafile=str(certificate))
        with context.wrap_socket(run.connect(), server_hostname="localhost") as secured:
            secured.sendall(post("/a", b"secret", "Connection: close"))
            received = b""
            while piece := secured.recv(4096):
                received += piece
        assert received.endswith(b"POST /a secret")
    finally:
        for sock in held:
            sock.close()
        run.stop()
