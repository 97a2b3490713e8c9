"""Whatever is sent to a served forecast: the answer names the fault, the next call succeeds."""

import gzip
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from tests.conftest import ROOT
from tests.platforms.fn.container import Container, call_bytes, container, trigger

FORECAST = ROOT / "functions" / "forecast" / "func.py"
GOOD = orjson.dumps([20.5] * 20)
EVENTS = "application/cloudevents+json"
HEAD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def event(**members: object) -> bytes:
    """Return a structured event; a member that is None is left out."""
    return orjson.dumps({k: v for k, v in {**HEAD, **members}.items() if v is not None})


class Bad:
    """A body, how it is sent, and what the answer has to say."""

    def __init__(
        self,
        body: bytes,
        *says: str,
        status: int = 400,
        content_type: str = "application/json",
        headers: tuple[str, ...] = (),
        deadline: str | None = None,
    ) -> None:
        self.says = says
        self.status = status
        late = {} if deadline is None else {"deadline": deadline}
        self.by_invoke = call_bytes(body, *headers, content_type=content_type, **late)
        self.by_trigger = call_bytes(body, *trigger(*headers), content_type=content_type, **late)


BINARY = ("Ce-Id: 1", "Ce-Specversion: 1.0", "Ce-Type: t", "Ce-Source: /s")
BAD = {
    "empty body": Bad(b"", "empty"),
    "empty body as text": Bad(b"", "empty", content_type="text/plain"),
    "not JSON": Bad(b"{not json", "not JSON"),
    "not JSON as text": Bad(b"hello", "not JSON", content_type="text/plain"),
    "not UTF-8": Bad(b'["\xff\xfe"]', "not JSON"),
    "no event and no numbers": Bad(b'{"hello": "world"}', "body"),
    "null": Bad(b"null", "body"),
    "19 numbers": Bad(orjson.dumps([1] * 19), "19"),
    "19 numbers in an event": Bad(event(data=[1] * 19), "data", "19", content_type=EVENTS),
    "strings": Bad(orjson.dumps(["a"] * 20), "[0]"),
    "a ragged list": Bad(orjson.dumps([[1] * 20, [1] * 19]), "[1]"),
    "nested deep": Bad(b"[" * 10_000 + b"]" * 10_000, "body"),
    "nested deep in an event": Bad(
        b'{"specversion":"1.0","id":"1","source":"/","type":"t","data":'
        + b"[" * 10_000
        + b"]" * 10_000
        + b"}",
        content_type=EVENTS,
    ),
    "bytes that are no whole numbers": Bad(
        b"x" * 81, "81", content_type="application/octet-stream"
    ),
    "integers of another type": Bad(
        orjson.dumps({"shape": [1, 20, 1], "data": [1e300] * 20}), "data"
    ),
    "base64 that is none": Bad(event(data_base64="%%%"), "data_base64", content_type=EVENTS),
    "both kinds of data": Bad(event(data=[1], data_base64="AA=="), content_type=EVENTS),
    "an event without data": Bad(event(), "data", content_type=EVENTS),
    "an event without an id": Bad(event(id=None), "id", content_type=EVENTS),
    "an unknown version": Bad(event(specversion="9.9"), "specversion", content_type=EVENTS),
    "a binary event without a type": Bad(GOOD, "type", headers=BINARY[:2] + BINARY[3:]),
    "a line break in an attribute": Bad(
        event(subject="a\r\nX-Injected: 1", data=[20.5] * 20), "subject", content_type=EVENTS
    ),
    "a line break in a binary attribute": Bad(
        GOOD, "subject", headers=(*BINARY, "Ce-Subject: a%0D%0AX-Injected: 1")
    ),
    "a batch that is none": Bad(b"{}", content_type="application/cloudevents-batch+json"),
    "a media type that nobody reads": Bad(b"x", status=415, content_type="image/svg+xml"),
    "a GraphPipe message that is none": Bad(
        b"\x08\0\0\0garbage!", content_type="application/vnd.graphpipe"
    ),
    "compressed": Bad(
        gzip.compress(GOOD), "content-encoding", status=415, headers=("Content-Encoding: gzip",)
    ),
    "too late": Bad(GOOD, "deadline", status=504, deadline="2020-01-01T00:00:00Z"),
}


@pytest.fixture(scope="module")
def forecast() -> Iterator[Container]:
    with container(FORECAST) as running:
        yield running
        assert running.process.poll() is None


def is_good(running: Container) -> bool:
    """Say whether a good call still succeeds."""
    reply = running.call(call_bytes(GOOD))
    return reply.status == 200 and reply.header("content-type") == "application/json"


@pytest.mark.parametrize("case", BAD)
def test_bad_input(forecast: Container, case: str) -> None:
    bad = BAD[case]
    invoked = forecast.call(bad.by_invoke)
    assert invoked.status == (504 if bad.status == 504 else 200)
    assert invoked.header("x-injected") is None
    assert invoked.header("content-type") == "application/problem+json"
    error = orjson.loads(invoked.body)["error"]
    assert error["status"] == bad.status
    told = f"{error.get('field')} {error['detail']}"
    for text in bad.says:
        assert text in told
    triggered = forecast.call(bad.by_trigger)
    assert triggered.status == 200
    assert triggered.header("fn-http-status") == str(bad.status)
    assert triggered.header("fn-http-h-x-injected") is None
    assert orjson.loads(triggered.body)["error"]["type"] == error["type"]
    assert is_good(forecast)


@contextmanager
def model_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve a model server that misbehaves; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ngarbage!")


def huge(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nx")


def half(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")


def nothing(connection: socket.socket) -> None:
    return


@pytest.mark.parametrize("behave", [garbage, huge, half, nothing])
def test_a_model_server_that_misbehaves(behave: Callable[[socket.socket], None]) -> None:
    with model_server(behave) as url, container(FORECAST, environ={"GP_SERVER_URL": url}) as served:
        for _ in range(2):
            reply = served.call(call_bytes(GOOD))
            assert reply.status == 502
            wrapped = served.call(call_bytes(GOOD, *trigger()))
            assert (wrapped.status, wrapped.header("fn-http-status")) == (200, "502")
            assert orjson.loads(wrapped.body)["error"]["type"].startswith("backend-")


def test_a_model_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with container(FORECAST, environ={"GP_SERVER_URL": url}) as served:
            reply = served.call(call_bytes(GOOD, *trigger()))
    assert reply.header("fn-http-status") == "502"
    assert orjson.loads(reply.body)["error"]["type"] == "backend-unreachable"


@pytest.mark.parametrize("content", [b"", b"\x1c\0\0\0TFL3", b"GIF89a", None])
def test_a_model_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    function = tmp_path / "func.py"
    function.write_text(FORECAST.read_text())
    model = tmp_path / "forecast.tflite"
    if content is None:
        model.mkdir()
    else:
        model.write_bytes(content)
    with container(function) as served:
        assert "model-unreadable" in served.log
        reply = served.call(call_bytes(GOOD, *trigger()))
        assert reply.header("fn-http-status") == "500"
        assert "forecast.tflite" in orjson.loads(reply.body)["error"]["detail"]
        assert served.stop(signal.SIGTERM) == 0
        assert not os.path.lexists(served.listener)
