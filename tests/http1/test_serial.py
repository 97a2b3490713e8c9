"""The server of one thread: many connections, one request at a time, an orderly end."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from gpfn.errors import GpfnError
from gpfn.http1 import Request, response_head
from gpfn.http1.serial import SerialServer
from gpfn.limits import Limits


class Echo:
    """Answers with what it was sent; a body ``sleep`` takes its time."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.running = 0
        self.most = 0

    def answer(self, request: Request) -> Sequence[bytes | memoryview]:
        self.running += 1
        self.most = max(self.most, self.running)
        self.seen.append(bytes(request.body))
        if request.body == b"sleep":
            time.sleep(0.3)
        self.running -= 1
        head = response_head(200, (), len(request.body), close=not request.keep_alive)
        return [head, request.body]

    def refuse(self, error: GpfnError) -> Sequence[bytes | memoryview]:
        text = str(error).encode()
        return [response_head(error.status, (), len(text), close=True), text]


class Running:
    """A server in a thread of its own."""

    def __init__(self, limits: Limits) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self.echo = Echo()
        self.server = SerialServer(listening, self.echo, limits)
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def post(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/", body)
        try:
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def running(limits: Limits = Limits()) -> Iterator[Running]:  # noqa: B008 - immutable
    server = Running(limits)
    try:
        yield server
    finally:
        server.server.stop()
        server.thread.join(10)
        assert not server.thread.is_alive()


def request(body: bytes, *lines: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in ("POST / HTTP/1.1", "Host: x", *lines))
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def read(connection: socket.socket, count: int = 1) -> list[bytes]:
    """Return the bodies of so many responses."""
    stream = connection.makefile("rb")
    bodies = []
    for _ in range(count):
        assert stream.readline().startswith(b"HTTP/1.1 ")
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        bodies.append(stream.read(length))
    return bodies


def test_a_kept_connection_and_a_silent_one() -> None:
    with running() as server, server.connect() as silent, server.connect() as kept:
        for number in range(3):
            kept.sendall(request(b"%d" % number))
            assert read(kept) == [b"%d" % number]
        silent.sendall(request(b"at last"))
        assert read(silent) == [b"at last"]


def test_pipelined_requests_are_answered_in_order() -> None:
    with running() as server, server.connect() as connection:
        connection.sendall(b"".join(request(b"%d" % number) for number in range(20)))
        assert read(connection, 20) == [b"%d" % number for number in range(20)]


def test_a_request_in_small_pieces_holds_nobody_up() -> None:
    with running() as server, server.connect() as slow:
        data = request(b"slow")
        for position in range(0, len(data), 7):
            slow.sendall(data[position : position + 7])
            assert server.post(b"quick") == b"quick"
        assert read(slow) == [b"slow"]


def test_only_one_at_a_time() -> None:
    with running() as server:
        threads = [threading.Thread(target=server.post, args=(b"sleep",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (server.echo.most, len(server.echo.seen)) == (1, 4)


def test_a_large_body_is_received_whole() -> None:
    body = bytes(range(256)) * 20_000
    with running() as server:
        assert server.post(body) == body


def test_what_is_no_request_is_refused_and_its_reply_arrives() -> None:
    with running() as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nno colon\r\n\r\n" + b"x" * 100_000)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")
        assert server.post(b"next") == b"next"


def test_a_body_over_the_limit_is_refused_and_its_reply_arrives() -> None:
    with running(Limits(body_bytes=1000)) as server, server.connect() as connection:
        connection.sendall(request(bytes(3_000_000))[:2_000_000])
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 413 ")
        assert server.post(b"next") == b"next"


def test_a_connection_that_ends_inside_a_request() -> None:
    with running() as server, server.connect() as connection:
        connection.sendall(request(b"whole")[:-2])
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")
        assert server.post(b"next") == b"next"
        assert server.echo.seen == [b"next"]


def test_a_caller_that_goes_away_before_its_answer() -> None:
    with running() as server:
        for _ in range(3):
            connection = server.connect()
            connection.sendall(request(b"sleep"))
            connection.close()
        assert server.post(b"next") == b"next"


def test_expect_100_continue() -> None:
    with running() as server, server.connect() as connection:
        for _ in range(2):
            data = request(b"body", "Expect: 100-continue")
            connection.sendall(data[:-4])
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(data[-4:])
            assert read(connection) == [b"body"]


@pytest.mark.parametrize("line", ["Connection: close"])
def test_a_connection_is_closed_when_asked(line: str) -> None:
    with running() as server, server.connect() as connection:
        connection.sendall(request(b"a", line))
        assert connection.makefile("rb").read().endswith(b"\r\n\r\na")


def test_room_is_made_for_new_connections_by_closing_idle_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpfn.http1.serial._CONNECTIONS", 3)
    with running() as server, server.connect() as busy:
        busy.sendall(request(b"half")[:-2])
        time.sleep(0.05)
        silent = [server.connect() for _ in range(6)]
        assert server.post(b"next") == b"next"
        busy.sendall(b"lf")
        assert read(busy) == [b"half"], "one in the middle of a request was kept"
        for connection in silent:
            connection.close()


def test_a_number_that_is_used_again_is_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dropped connection's descriptor goes to the next; its late end must not hurt that."""
    monkeypatch.setattr("gpfn.http1.serial._CONNECTIONS", 1)
    with running() as server:
        for number in range(20):
            first, second = server.connect(), server.connect()
            first.sendall(request(b"first"))
            second.sendall(request(b"%d" % number))
            assert read(second) == [b"%d" % number]
            first.close()
            second.close()
        assert server.post(b"next") == b"next"


def test_the_end_answers_what_has_come() -> None:
    server = Running(Limits())
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda body=body: answers.append(server.post(body)))
        for body in (b"sleep", b"a", b"b")
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    server.server.stop()
    for thread in (*threads, server.thread):
        thread.join(10)
    assert sorted(answers) == [b"a", b"b", b"sleep"]
    with pytest.raises(ConnectionRefusedError):
        server.connect()
