"""The server of one thread, with a real socket and nothing of any platform."""

import errno
import os
import socket
import threading
import time
from _socket import AF_INET, SOCK_STREAM
from _socket import socket as RawSocket
from collections.abc import Iterator

import pytest

from gpfn.errors import GpfnError
from gpfn.http import Request, response_head
from gpfn.http.serial import SerialServer
from gpfn.limits import Limits
from tests.http.feeding import head


class Echo:
    """Answers with what it got; knows when it was called."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.troubles: list[str] = []

    def answer(self, request: Request) -> list[bytes | memoryview]:
        self.running.set()
        assert self.go_on.wait(20)
        body = request.body
        return [response_head(200, (), len(body), close=not request.keep_alive), body]

    def refuse(self, error: GpfnError) -> list[bytes | memoryview]:
        return [response_head(error.status, (), 0, close=True)]

    def warn(self, trouble: str) -> None:
        self.troubles.append(trouble)


class Listening:
    """A listening socket of which accepting fails for a while."""

    def __init__(self, listening: RawSocket, failures: int) -> None:
        self.failures = failures
        self.tried = 0
        self._listening = listening
        self.family = listening.family
        self.fileno, self.setblocking = listening.fileno, listening.setblocking
        self.close = listening.close

    def _accept(self) -> tuple[int, object]:
        self.tried += 1
        if self.tried <= self.failures:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._listening._accept()  # type: ignore[attr-defined,no-any-return] # no stub


class Served:
    """A server on a thread, and its address."""

    def __init__(self, failures: int = 0) -> None:
        listening = RawSocket(AF_INET, SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        self.address = listening.getsockname()
        self.echo = Echo()
        self.listening = Listening(listening, failures)
        self.server = SerialServer(
            self.listening,  # type: ignore[arg-type] # as much of a socket as it needs
            self.echo,
            Limits(body_bytes=1000),
        )
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()

    def stop(self) -> None:
        self.echo.go_on.set()
        self.server.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.stop()


def call(body: bytes, *lines: str) -> bytes:
    """Return a request."""
    return head(f"Content-Length: {len(body)}", *lines) + body


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_requests_of_several_connections(served: Served) -> None:
    connections = [served.connect() for _ in range(5)]
    for number, connection in enumerate(connections):
        connection.sendall(call(b"%d" % number)[:-1])
    for number, connection in reversed(list(enumerate(connections))):
        connection.sendall(b"%d" % number)
        assert connection.recv(65536).endswith(b"\r\n\r\n%d" % number)
        connection.close()


def test_pipelined_requests_and_the_end(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(call(b"a") + call(b"b") + call(b"c", "Connection: close"))
        bodies = read_all(connection).split(b"HTTP/1.1 200 OK")
    assert [body[-1:] for body in bodies[1:]] == [b"a", b"b", b"c"]


def test_a_head_is_answered_without_a_body(served: Served) -> None:
    with served.connect() as connection:
        asked = head("Content-Length: 5", start="HEAD / HTTP/1.1") + b"hello"
        connection.sendall(asked + call(b"next", "Connection: close"))
        answer = read_all(connection)
    assert answer.count(b"content-length: 5") == 1
    assert b"hello" not in answer
    assert answer.endswith(b"next")


def test_the_last_answer_is_not_lost_when_more_comes(served: Served) -> None:
    for _ in range(20):
        with served.connect() as connection:
            asked = call(b"last", "Connection: close")
            connection.sendall(asked[:-1])
            time.sleep(0.001)
            connection.sendall(asked[-1:] + b"x" * 100_000)
            connection.sendall(b"x" * 100_000)
            answer = read_all(connection)
        assert answer.endswith(b"last")


def test_what_is_refused_ends_its_connection_and_no_other(served: Served) -> None:
    with served.connect() as good, served.connect() as bad:
        bad.sendall(call(b"a") + b"\x16\x03\x01" + bytes(100_000))
        assert b" 501 Not Implemented\r\n" in read_all(bad)
        good.sendall(call(b"x"))
        assert good.recv(65536).endswith(b"x")


def test_a_body_over_the_limit_is_answered_although_it_still_comes(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head("Content-Length: 5000000") + bytes(5_000_000))
        assert b" 413 Content Too Large\r\n" in read_all(connection)


def test_a_request_that_breaks_off_is_refused(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(call(b"abc")[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 Bad Request\r\n" in read_all(connection)


def test_expect_continue_is_said_once(served: Served) -> None:
    data = call(b"abc", "Expect: 100-continue")
    with served.connect() as connection:
        connection.sendall(data[:-3])
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"a")
        connection.sendall(b"bc")
        assert connection.recv(65536).endswith(b"\r\n\r\nabc")


def test_idle_connections_make_room(served: Served) -> None:
    crowd = [served.connect() for _ in range(150)]
    with served.connect() as connection:
        connection.sendall(call(b"x"))
        assert connection.recv(65536).endswith(b"x")
    assert crowd[0].recv(1) == b""
    for connection in crowd:
        connection.close()


def test_the_connection_that_is_idle_for_longest_gives_way(served: Served) -> None:
    first, second = served.connect(), served.connect()
    for connection in (second, first, first):
        connection.sendall(call(b"x"))
        assert connection.recv(65536).endswith(b"x")
    crowd = [served.connect() for _ in range(63)]
    assert second.recv(1) == b"", "the first was used after it"
    first.sendall(call(b"y"))
    assert first.recv(65536).endswith(b"y")
    for connection in (first, second, *crowd):
        connection.close()


def test_a_request_that_waits_for_its_turn_is_answered_in_any_crowd(served: Served) -> None:
    served.echo.go_on.clear()
    with served.connect() as running, served.connect() as waiting:
        running.sendall(call(b"r"))
        assert served.echo.running.wait(20)
        waiting.sendall(call(b"w"))
        crowd = [served.connect() for _ in range(80)]
        for connection in crowd[60:]:
            connection.sendall(call(b"c"))
        served.echo.go_on.set()
        assert running.recv(65536).endswith(b"r")
        assert waiting.recv(65536).endswith(b"w")
        for connection in crowd[60:]:
            assert connection.recv(65536).endswith(b"c")
        for connection in crowd:
            connection.close()


def test_without_a_file_for_a_connection_it_waits_and_says_so_once() -> None:
    served = Served(failures=4)
    began, spent = time.monotonic(), time.process_time()
    with served.connect() as connection:
        connection.sendall(call(b"x"))
        assert connection.recv(65536).endswith(b"x")
    assert time.monotonic() - began > 0.3, "ten times a second, it does not spin"
    assert time.process_time() - spent < 0.2
    assert served.listening.tried == 5
    assert served.echo.troubles == ["cannot accept a connection: Too many open files"]
    served.stop()


def test_idle_connections_give_way_where_files_are_few() -> None:
    served = Served()
    crowd = [served.connect() for _ in range(3)]
    crowd[2].sendall(call(b"x"))
    assert crowd[2].recv(65536).endswith(b"x"), "all three are accepted"
    served.listening.failures = served.listening.tried + 1
    with served.connect() as connection:
        began = time.monotonic()
        connection.sendall(call(b"x"))
        assert connection.recv(65536).endswith(b"x")
        assert time.monotonic() - began < 0.09, "there was no need to wait"
    assert crowd[0].recv(1) == b""
    for connection in crowd:
        connection.close()
    served.stop()


def test_stopping_lets_the_running_request_end_and_those_that_have_come(served: Served) -> None:
    served.echo.go_on.clear()
    with served.connect() as first, served.connect() as second:
        first.sendall(call(b"1"))
        assert served.echo.running.wait(20)
        second.sendall(call(b"2"))
        time.sleep(0.05)
        served.server.stop()
        served.echo.go_on.set()
        assert read_all(first).endswith(b"1")
        assert read_all(second).endswith(b"2")
    served.thread.join(20)
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_waking_up_changes_nothing(served: Served) -> None:
    served.server.wake()
    os.write(served.server.wakeup_fd, b"x" * 1000)
    with served.connect() as connection:
        connection.sendall(call(b"x"))
        assert connection.recv(65536).endswith(b"x")
