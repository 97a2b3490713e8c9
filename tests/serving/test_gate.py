"""Who may do what at a running server."""

import hashlib
import socket
from pathlib import Path

import pytest

from gpfn.models.python import PythonModel
from gpfn.serving import Server, ServerSettings

from .test_v2 import ROW, Asked, both

INFER = ("/v2/models/both/infer", {"inputs": [ROW]})
UNLOAD = ("/v2/repository/models/both/unload", {})


def tokens(folder: Path) -> str:
    file = folder / "tokens"
    lines = [
        f"{name} {scope} {hashlib.sha256(name.encode()).hexdigest()}\n"
        for name, scope in (("asks", "predict"), ("writes", "write"))
    ]
    file.write_text("".join(lines))
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize(
    ("token", "infers", "unloads"),
    [("", 401, 401), ("nobody", 401, 401), ("asks", 200, 403), ("writes", 200, 200)],
)
def test_with_tokens(tmp_path: Path, token: str, infers: int, unloads: int) -> None:
    settings = ServerSettings(port=0, threads=1, tokens=tokens(tmp_path))
    with Server({"both": PythonModel(both)}, settings) as server:
        ask = Asked(server.address[1])
        headers = {"authorization": f"Bearer {token}"} if token else {}
        status, found, _ = ask(*INFER, **headers)
        assert status == infers
        assert ("www-authenticate" in found) == (infers == 401)
        assert ask("/v1/models/both:predict", {"instances": [[1, 2]]}, **headers)[0] == infers
        for path in ("/v2/health/ready", "/v2/health/live", "/v2/models/both/ready", "/metrics"):
            assert ask(path)[0] == 200, "never behind a key"
        assert ask(*UNLOAD, **headers)[0] == unloads


def test_who_may_not_ask_need_not_send_a_body(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, threads=1, tokens=tokens(tmp_path))
    with (
        Server({"both": PythonModel(both)}, settings) as server,
        socket.create_connection(server.address, timeout=10) as sock,
    ):
        sock.sendall(
            b"POST /v2/models/both/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{"
        )
        assert sock.recv(64).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.test"}, 403),
        ({"origin": "http://localhost.evil.test"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
    ],
)
def test_a_page_of_another_site_may_not_write(headers: dict[str, str], status: int) -> None:
    with Server({"both": PythonModel(both)}, ServerSettings(port=0)) as server:
        ask = Asked(server.address[1])
        assert ask(*INFER, **headers)[0] == 200
        assert ask(*UNLOAD, **headers)[0] == status


def test_beyond_loopback_only_asking_is_allowed(capfd: pytest.CaptureFixture[str]) -> None:
    settings = ServerSettings(host="0.0.0.0", port=0)
    with Server({"both": PythonModel(both)}, settings) as server:
        ask = Asked(server.address[1])
        assert ask(*INFER)[0] == 200
        assert ask(*UNLOAD)[0] == 403
    assert "--tokens FILE" in capfd.readouterr().err
