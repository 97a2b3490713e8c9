"""Bodies that go to a receiver as they come."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.loop.exchange import Exchange, Headers, Response
from tests.http.loop.running import LOOPS, Running, Script, running

MOST = 64 << 20


class Kept:
    """A receiver that keeps what comes; a test may hold it up, or have it refuse."""

    def __init__(self) -> None:
        self.most = MOST
        self.limit = "--max-upload"
        self.seconds = 60.0
        self.data = bytearray()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.refuses_at = MOST + 1
        self.error: Exception = InvalidRequest("no", field="model", status=415)
        self.abandoned = threading.Event()

    def feed(self, data: bytes) -> None:
        assert self.goes_on.wait(20)
        self.data += data
        if len(self.data) >= self.refuses_at:
            raise self.error

    def abandon(self) -> None:
        self.abandoned.set()


class Taking(Script):
    """Takes what is sent to /upload, and answers with how much that was."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = Kept()
        self.forbids: GpfnError | None = None
        self.takes = True

    def receiver(self, method: str, target: str, headers: Headers) -> Kept | None:
        if self.forbids is not None:
            raise self.forbids
        return self.kept if target == "/upload" else None

    def handle(self, exchange: Exchange) -> None:
        incoming = exchange.incoming
        if incoming is None:
            super().handle(exchange)
            return

        def done(error: GpfnError | None) -> None:
            status = 200 if error is None else error.status
            if error is None and self.takes:
                exchange.incoming = None
            exchange.answer(Response(status, (), (b"received",)))

        incoming.when_received(done)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[tuple[Running, Taking]]:
    with running(request.param, script=Taking()) as run:
        assert isinstance(run.script, Taking)
        yield run, run.script


def head(framing: str, method: str = "POST", more: str = "") -> bytes:
    return f"{method} /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n{more}\r\n".encode()


def sized(data: bytes) -> bytes:
    return head(f"Content-Length: {len(data)}") + data


def chunked(data: bytes, size: int = 100_000) -> bytes:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return (
        head("Transfer-Encoding: chunked")
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        + b"0\r\n\r\n"
    )


def body_of(size: int) -> bytes:
    return bytes(range(256)) * (size // 256)


def status_of(sock: socket.socket) -> int:
    reply = b""
    while b"\r\n\r\n" not in reply:
        reply += (got := sock.recv(1 << 16))
        assert got, reply
    return int(reply.split()[1])


@pytest.mark.parametrize("framed", [sized, chunked])
def test_all_of_it_arrives_as_it_was_sent(
    run: tuple[Running, Taking], framed: Callable[[bytes], bytes]
) -> None:
    running, script = run
    data = body_of(20 << 20)
    with running.connect() as sock:
        sock.sendall(framed(data))
        assert status_of(sock) == 200
        assert script.kept.data == data
        sock.sendall(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n")  # the connection goes on
        assert status_of(sock) == 200
    assert not script.kept.abandoned.is_set()


def test_a_small_body_that_is_here_at_once_stays_in_memory(run: tuple[Running, Taking]) -> None:
    running, script = run
    assert b"POST /upload small" in running.ask(sized(b"small"))
    assert not script.kept.data


def test_who_is_slower_than_the_client_has_little_in_memory(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.kept.goes_on.clear()
    data = body_of(40 << 20)
    with running.connect() as sock:
        sender = threading.Thread(target=sock.sendall, args=(sized(data),))
        sender.start()
        running.wait_for(lambda: running.server.budget.used > 3 << 20)
        sender.join(0.3)
        assert sender.is_alive(), "nobody reads what it sends"
        assert running.server.budget.used < 6 << 20
        script.kept.goes_on.set()
        assert status_of(sock) == 200
        sender.join()
    assert script.kept.data == data
    running.wait_for(lambda: running.server.budget.used == 0)


def test_one_that_is_too_large_is_refused_before_it_comes(run: tuple[Running, Taking]) -> None:
    running, script = run
    reply = running.ask(head(f"Content-Length: {MOST + 1}"))
    assert b" 413 " in reply
    assert b"--max-upload" in reply
    assert not script.kept.data


def test_one_that_becomes_too_large_is_refused_on_its_way(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.kept.most = 5 << 20
    with running.connect() as sock:
        sender = threading.Thread(target=send_what_is_taken, args=(sock, chunked(body_of(MOST))))
        sender.start()
        assert status_of(sock) == 413
        sender.join()
    assert script.kept.abandoned.wait(20)
    assert len(script.kept.data) <= 5 << 20


def test_what_the_receiver_refuses_is_answered_while_more_comes(
    run: tuple[Running, Taking],
) -> None:
    running, script = run
    script.kept.refuses_at = 1 << 20
    with running.connect() as sock:
        sender = threading.Thread(target=send_what_is_taken, args=(sock, sized(body_of(MOST))))
        sender.start()
        assert status_of(sock) == 415
        sender.join()
    assert script.kept.abandoned.wait(20)


def test_a_fault_of_the_receiver_is_a_500_without_its_text(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.kept.refuses_at, script.kept.error = 1, ValueError("a secret")
    with running.connect() as sock:
        send_what_is_taken(sock, sized(body_of(1 << 20)))
        assert status_of(sock) == 500
    assert any("a secret" in line for line in running.log)


def test_who_leaves_half_way_leaves_nothing(run: tuple[Running, Taking]) -> None:
    running, script = run
    with running.connect() as sock:
        sock.sendall(sized(body_of(1 << 20))[: 1 << 19])
        running.wait_for(lambda: len(script.kept.data) > 1 << 18)
    assert script.kept.abandoned.wait(20)
    running.wait_for(lambda: running.server.connections == 0)
    assert running.server.budget.used == 0


def test_who_may_not_is_told_before_the_body(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.forbids = InvalidRequest("not you", status=403)
    with running.connect() as sock:
        sock.sendall(head("Content-Length: 9", more="Expect: 100-continue\r\n"))
        assert status_of(sock) == 403
    assert not script.kept.data


def test_one_that_takes_too_long_is_a_408(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.kept.seconds = 0.0
    with running.connect() as sock:
        send_what_is_taken(sock, sized(body_of(1 << 20)))
        assert status_of(sock) == 408
    assert script.kept.abandoned.wait(20)


@pytest.mark.parametrize("status", [400, 412, 413, 416, 429, 503, 507])
def test_whatever_the_status_it_is_answered(run: tuple[Running, Taking], status: int) -> None:
    running, script = run
    script.kept.refuses_at = 1
    script.kept.error = InvalidRequest("no", field="body", status=status)
    with running.connect() as sock:
        send_what_is_taken(sock, sized(body_of(1 << 20))[:100_000])
        assert status_of(sock) == status


def test_one_that_falls_silent_is_a_408(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.kept.seconds = 0.1
    with running.connect() as sock:
        sock.sendall(sized(body_of(1 << 20))[:1000])
        assert status_of(sock) == 408
    assert script.kept.abandoned.wait(20)


def test_what_nobody_has_taken_over_is_abandoned(run: tuple[Running, Taking]) -> None:
    running, script = run
    script.takes = False
    with running.connect() as sock:
        sock.sendall(sized(body_of(1 << 20)))
        assert status_of(sock) == 200
        assert script.kept.abandoned.wait(20)


def send_what_is_taken(sock: socket.socket, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(data)
