"""A model server that fails in every way: the answer says how, and the next call succeeds.

GP_SERVER_URL names a server that can be made to misbehave; while it behaves, it hands
requests on to a real one. The function's process stays the same throughout.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.graphpipe import InferResponse, encode_response
from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.http import HttpHost
from gpfn.hosts.target import find_target
from tests.cli.serving import clean_environ, serve

GOOD = Invocation(json.dumps([0.5] * 20).encode(), timeout=20)


class Handler(BaseHTTPRequestHandler):
    """Hands requests on, or does what the server's ``misbehave`` does."""

    protocol_version = "HTTP/1.1"
    server: "Unreliable"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.misbehave is not None and not self.server.asks_metadata(self, body):
            self.close_connection = True
            self.server.misbehave(self)
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=20)
        headers = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "accept")}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        data = response.read()
        upstream.close()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", response.getheader("Content-Type") or "")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Unreliable(ThreadingHTTPServer):
    """The server; metadata is told truly unless ``everything`` fails."""

    daemon_threads = True
    allow_reuse_address = True
    misbehave: Callable[[Handler], None] | None = None
    everything = False
    upstream = ""

    def asks_metadata(self, handler: Handler, body: bytes) -> bool:
        """Say whether the request is for metadata, and is to be answered."""
        return not self.everything and (handler.command == "GET" or len(body) < 60)

    def handle_error(self, *_: object) -> None:
        """Keep quiet about clients that gave up."""


def hangs(handler: Handler) -> None:
    handler.server.finished.wait(15)  # type: ignore[attr-defined] # an event, set at the end


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")


def garbage_body(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"\xa5" * 64)


def empty_body(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def huge_length(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n" + bytes(100))


def endless_chunk(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nabc")


def closes_half_way(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(10))


def closes_at_once(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def another_shape(handler: Handler) -> None:
    body = b"".join(encode_response(InferResponse((np.zeros((3, 7), np.float32),))))
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def refuses_the_request(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\nno such op")


CASES: dict[Callable[[Handler], None], tuple[int, str]] = {
    garbage: (502, "backend-broken-reply"),
    garbage_body: (502, "backend-broken-reply"),
    empty_body: (502, "backend-broken-reply"),
    huge_length: (502, "backend-broken-reply"),
    endless_chunk: (502, "backend-broken-reply"),
    closes_half_way: (502, "backend-broken-reply"),
    closes_at_once: (502, "backend-broken-reply"),
    another_shape: (502, "backend-broken-reply"),
    refuses_the_request: (502, "backend-refused"),
}


@pytest.fixture(scope="module")
def model_server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serve")
    model = str(root / "models" / "forecast.tflite")
    with serve(folder, "--model", model, environ=clean_environ()) as served:
        yield served.url.removeprefix("http://")


def listen(upstream: str, port: int = 0) -> Unreliable:
    server = Unreliable(("127.0.0.1", port), Handler)
    server.upstream = upstream
    server.finished = threading.Event()  # type: ignore[attr-defined] # for hangs()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def close(server: Unreliable) -> None:
    server.finished.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def unreliable(model_server: str) -> Iterator[Unreliable]:
    server = listen(model_server)
    yield server
    close(server)


@pytest.fixture(scope="module", params=["fn", "http"])
def running(
    request: pytest.FixtureRequest, root: Path, unreliable: Unreliable
) -> Iterator[StartedFunction]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GP_SERVER_URL", f"http://127.0.0.1:{unreliable.server_port}")
        target = find_target(str(root / "functions" / "forecast"))
        with StartedFunction(make_host(request.param, target)) as session:
            yield session


def fault(session: StartedFunction, request: Invocation = GOOD) -> dict[str, Any]:
    answer = session.call(request)
    assert answer.failed, answer
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


def check_good(session: StartedFunction) -> None:
    answer = session.call(GOOD)
    assert not answer.failed, answer.body
    assert np.shape(json.loads(answer.body)) == (1, 20, 1)


@pytest.mark.parametrize("everything", [False, True], ids=["inference", "everything"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_answer_says_how_it_failed_and_the_next_call_succeeds(
    running: StartedFunction,
    unreliable: Unreliable,
    case: Callable[[Handler], None],
    everything: bool,
) -> None:
    unreliable.misbehave, unreliable.everything = case, everything
    try:
        found = fault(running)
    finally:
        unreliable.misbehave = None
    assert (found["status"], found["type"]) == CASES[case], found
    assert f"127.0.0.1:{unreliable.server_port}" in found["detail"]
    check_good(running)


def within(seconds: int, session: StartedFunction) -> Invocation:
    """Return a good request with a deadline: the platform's, or the event's where it has none."""
    if not isinstance(session.host, HttpHost):
        return Invocation(GOOD.body, timeout=seconds)
    expiry = datetime.now(UTC) + timedelta(seconds=seconds)
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    headers = {**event, "expirytime": expiry.isoformat()}
    pairs = tuple((f"ce-{name}", value) for name, value in headers.items())
    return Invocation(GOOD.body, "application/json", pairs, timeout=20)


def test_one_that_hangs_is_given_up_in_time(
    running: StartedFunction, unreliable: Unreliable
) -> None:
    unreliable.misbehave, unreliable.everything = hangs, False
    began = time.monotonic()
    try:
        found = fault(running, within(2, running))
    finally:
        unreliable.misbehave = None
    assert found["status"] == 504
    assert found["type"] in ("backend-timeout", "deadline-exceeded")
    assert time.monotonic() - began < 3
    check_good(running)


@pytest.mark.parametrize("platform", ["fn", "http"])
def test_a_function_starts_before_its_model_server(
    platform: str, root: Path, model_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    monkeypatch.setenv("GP_SERVER_URL", f"http://127.0.0.1:{port}")
    target = find_target(str(root / "functions" / "forecast"))
    with StartedFunction(make_host(platform, target)) as session:
        found = fault(session)
        assert (found["status"], found["type"]) == (502, "backend-unreachable")
        assert f"127.0.0.1:{port}" in found["detail"]
        server = listen(model_server, port)
        try:
            check_good(session)
        finally:
            close(server)


@pytest.mark.parametrize("platform", ["fn", "http", "openwhisk"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_password_in_the_address_is_not_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, platform: str, form: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    monkeypatch.setenv("GP_SERVER_URL", f"http://user:s3cret@127.0.0.1:{port}/?token=t0ken")
    monkeypatch.setenv("GPFN_LOG", form)
    target = find_target(str(root / "functions" / "forecast"))
    with StartedFunction(make_host(platform, target)) as session:
        answer = session.call(GOOD)
        assert answer.failed
        assert b"s3cret" not in answer.body
    log = session.host.log()
    assert f"http://127.0.0.1:{port}" in log
    assert "s3cret" not in log
    assert "t0ken" not in log
