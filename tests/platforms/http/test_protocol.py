"""What comes before a request is one: heads that are too large, too slow, or no HTTP."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.http.served import Process, served, write_function


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("probe")
    limits = {"GPFN_MAX_HEADER_BYTES": "5000", "GPFN_MAX_HEADERS": "30"}
    with served(write_function(folder), folder / "log", **limits) as running:
        yield running


def ask(process: Process, data: bytes, piece: int = 1 << 16) -> bytes:
    """Send raw bytes in pieces; return all that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for start in range(0, len(data), piece):
                client.sendall(data[start : start + piece])
        except (BrokenPipeError, ConnectionResetError):
            assert piece < len(data)  # refused before all of it was sent
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def refused(reply: bytes) -> tuple[int, str]:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    error = json.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 %d " % error["status"])
    return error["status"], error["detail"]


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"nonsense\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n[]",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n[]",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"a b: c\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told(process: Process, data: bytes) -> None:
    status, detail = refused(ask(process, data))
    assert status == (400 if data.startswith(HEAD) else 501)  # the others have no method we know
    assert detail


@pytest.mark.parametrize("piece", [1 << 16, 700])
@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (HEAD + b"x: " + b"a" * 9000 + b"\r\n\r\n", "the head is over 5000 bytes"),
        (HEAD + b"x: " + b"a" * 9000, "the head is over 5000 bytes"),
        (b"POST /" + b"a" * 9000, "the head is over 5000 bytes"),
        (HEAD + b"a: b\r\n" * 31 + b"\r\n", "over 30 header lines"),
    ],
)
def test_a_head_over_a_limit(process: Process, data: bytes, detail: str, piece: int) -> None:
    status, told = refused(ask(process, data, piece))
    assert status == 431
    assert told.startswith(detail)


def test_a_head_within_the_limits_on_a_connection_that_goes_on(process: Process) -> None:
    one = HEAD + b"x: " + b"a" * 4500 + b"\r\ncontent-length: 2\r\n\r\n{}"
    last = one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    for piece in (1 << 16, 999):
        reply = ask(process, one * 4 + last, piece)
        assert reply.count(b"HTTP/1.1 200 OK") == 5


def test_what_was_asked_before_is_answered_before_the_end(process: Process) -> None:
    first = HEAD + b'content-length: 14\r\n\r\n{"sleep": 0.3}'
    reply = ask(process, first + b"nonsense\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.count(b"HTTP/1.1 501 Not Implemented") == 1
    assert reply.count(b"HTTP/1.1") == 2


def test_an_answer_that_has_begun_is_not_followed_by_another(process: Process) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as client:
        client.sendall(head)
        first = client.recv(1 << 16)
        client.sendall(b"zz\r\n")
        rest = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert first.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1" not in rest


def test_a_coding_that_is_not_known(process: Process) -> None:
    data = HEAD + b"connection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    status, detail = refused(ask(process, data))
    assert status == 501
    assert "only chunked is supported" in detail


def test_slow_heads_are_given_up(tmp_path: Path) -> None:
    file = write_function(tmp_path)
    with (
        served(file, tmp_path / "log", GPFN_HEAD_TIMEOUT="0.5", GPFN_IDLE_TIMEOUT="0.5") as process,
        socket.create_connection(("127.0.0.1", process.port), timeout=20) as silent,
        socket.create_connection(("127.0.0.1", process.port), timeout=20) as slow,
    ):
        slow.sendall(b"POST / HT")
        reply = b"".join(iter(lambda: slow.recv(1 << 16), b""))
        assert refused(reply) == (408, "the head took over 0.5 s to come")
        assert silent.recv(1) == b""


def test_the_process_is_well_after_all_this(process: Process) -> None:
    assert process.ask(body={"a": 1}).status == 200
    assert process.ask("GET", "/health/ready").status == 200
    assert "Traceback" not in Path(process.log).read_text()
