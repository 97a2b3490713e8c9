"""Answers whose bodies come in pieces: framing, clients that are slow or leave, and the end."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from gpfn.http.loop import Exchange
from gpfn.http.loop.streaming import MOST_UNSENT, Streamed
from tests.http.loop.running import LOOPS, Running, Script, read_all, reply, running
from tests.http.loop.test_requests import post

EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS)


class Source:
    """Keeps what it is told."""

    def __init__(self, pieces: int = 0) -> None:
        self.streamed: Streamed | None = None
        self.left = pieces
        self.told: list[str] = []

    def more(self) -> None:
        self.told.append("more")
        self.go_on()

    def ended(self) -> None:
        self.told.append("ended")

    def go_on(self) -> None:
        """Write as the client reads: what is to come of ``left`` pieces of 10 kB."""
        assert self.streamed
        while self.left and not self.streamed.full:
            self.left -= 1
            self.streamed.write(b"y" * 10_000)
        if not self.left:
            self.streamed.end()


class Streams(Script):
    """``/stream`` and ``/endless`` are answered with streams, ``/pieces?N`` with that many."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[Source] = []

    def handle(self, exchange: Exchange) -> None:
        path, _, query = exchange.request.target.partition("?")
        if path not in ("/stream", "/endless", "/pieces"):
            super().handle(exchange)
            return
        self.seen.append(exchange)
        source = Source(int(query or 0))
        self.sources.append(source)
        headers = (("content-type", "text/event-stream"),)
        endless = path == "/endless"
        source.streamed = exchange.stream(200, headers, source, endless=endless)
        if path == "/pieces":
            source.go_on()


def get(path: str, *more: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = (f"{method} {path} HTTP/{version}", "Host: x", *more, "", "")
    return "\r\n".join(lines).encode()


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Iterator[Running]:
    often = {"head_seconds": 0.4, "write_seconds": 0.6}  # a look every tenth of a second
    with running(request.param, Streams(), drain_seconds=0.6, **often) as run:
        yield run


def streams(run: Running) -> Streams:
    assert isinstance(run.script, Streams)
    return run.script


def source_of(run: Running, number: int = 0) -> Source:
    run.wait_for(lambda: len(streams(run).sources) > number)
    return streams(run).sources[number]


def do(run: Running, what: str, *given: object) -> object:
    streamed = source_of(run, len(streams(run).sources) - 1).streamed
    return run.on_loop(lambda: getattr(streamed, what)(*given))


def head(sock: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += sock.recv(1) or pytest.fail(f"ended within {data!r}")
    return data


def test_pieces_are_chunks_and_the_next_request_is_answered_behind_them(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/stream"))
        begin = head(sock)
        assert begin.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in begin
        assert b"content-length" not in begin
        assert b"x-request-id: " in begin
        source_of(run)
        assert do(run, "write", b"one") is True
        assert sock.recv(99) == b"3\r\none\r\n"
        do(run, "write", b"")  # which would be the end
        sock.sendall(post("/a", b"next"))
        time.sleep(0.05)
        do(run, "write", b"x" * 100_000)
        do(run, "end")
        framed, body = b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n", b""
        while len(body) < len(framed):
            body += sock.recv(len(framed) - len(body))
        assert body == framed
        assert reply(sock)[2] == b"POST /a next"
        assert do(run, "write", b"late") is False
        do(run, "end")
        sock.sendall(post("/a", b"last"))
        assert reply(sock)[2] == b"POST /a last"
    assert source_of(run).told == []
    assert run.on_loop(lambda: len(run.server.streams)) == 0


@pytest.mark.parametrize("more", ["", "Connection: keep-alive"])
def test_for_http_1_0_the_end_of_the_connection_is_the_end(run: Running, more: str) -> None:
    with run.connect() as sock:
        sock.sendall(get("/stream", *filter(None, [more]), version="1.0"))
        begin = head(sock)
        assert b"transfer-encoding" not in begin
        assert b"\r\nconnection: close\r\n" in begin
        source_of(run)
        do(run, "write", b"one")
        do(run, "write", b"two")
        do(run, "end")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"onetwo"


def test_who_wants_the_connection_closed_has_it_closed(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/pieces?2", "Connection: close"))
        begin = head(sock)
        assert b"transfer-encoding: chunked" in begin
        assert b"connection: close" in begin
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b"\r\n0\r\n\r\n")


def test_a_head_alone_has_no_body(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/endless", method="HEAD") + post("/a", b"next"))
        assert b"transfer-encoding: chunked" in head(sock)
        assert reply(sock)[2] == b"POST /a next"
    assert source_of(run).told == ["ended"]


def test_a_slow_client_is_waited_for_by_who_writes(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/pieces?2000"))
        source = source_of(run)
        run.wait_for(lambda: source.streamed is not None and source.streamed.full)
        assert source.left > 1000
        held = run.on_loop(streams(run).seen[0].connection.transport.get_write_buffer_size)
        assert held < 200_000
        sock.sendall(get("/stream", "Connection: close"))
        _data, size = head(sock), 0
        while size < 2000 * (10_000 + 8):
            size += len(sock.recv(1 << 16)) or pytest.fail(f"ended after {size} bytes")
        assert "more" in source.told
        assert "ended" not in source.told


def test_who_writes_without_waiting_loses_a_client_that_does_not_read(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/stream"))
        source = source_of(run)
        most = MOST_UNSENT // 10_000 + 1000

        def flood() -> int:
            assert source.streamed
            for number in range(most):
                if not source.streamed.write(b"x" * 10_000):
                    return number
            return most

        assert run.on_loop(flood) < most
        assert source.told == ["ended"]
        run.wait_for(lambda: run.server.connections == 0)


def test_a_client_that_reads_nothing_is_given_up(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/pieces?3000"))
        source = source_of(run)
        run.wait_for(lambda: run.server.connections == 0)
        assert source.told[-1] == "ended"
        assert source.left


def test_a_silent_stream_is_not_given_up_and_what_comes_after_has_its_time(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/endless"))
        head(sock)
        for number in range(4):
            time.sleep(0.4)  # longer, together, than the time for an answer that is not read
            do(run, "write", b"%d" % number)
            assert sock.recv(99) == b"1\r\n%d\r\n" % number
        assert source_of(run).told == []


@pytest.mark.parametrize("how", ["closes", "resets", "ends its side"])
def test_a_client_that_leaves_ends_it(run: Running, how: str) -> None:
    sock = run.connect()
    sock.sendall(get("/endless"))
    head(sock)
    source = source_of(run)
    if how == "resets":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "ends its side":
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"0\r\n\r\n"
    sock.close()
    run.wait_for(lambda: source.told == ["ended"])
    run.wait_for(lambda: run.server.connections == 0)
    assert run.on_loop(lambda: len(run.server.streams)) == 0
    assert do(run, "write", b"x") is False


def test_who_ends_its_side_still_has_all_of_what_ends_itself(run: Running) -> None:
    data = run.ask(get("/pieces?50"))
    assert data.partition(b"\r\n\r\n")[2].count(b"y") == 500_000
    assert data.endswith(b"\r\n0\r\n\r\n")


def test_the_end_of_the_server_ends_what_has_no_end(run: Running) -> None:
    with run.connect() as sock, run.connect() as other:
        sock.sendall(get("/endless"))
        head(sock)
        other.sendall(get("/stream"))
        head(other)
        endless, finite = source_of(run, 0), source_of(run, 1)
        began = time.monotonic()
        run.server.loop.call_soon_threadsafe(run.server.stop)
        assert read_all(sock) == b"0\r\n\r\n"
        assert time.monotonic() - began < 0.5
        assert endless.told == ["ended"]
        run.on_loop(lambda: finite.streamed and finite.streamed.write(b"z"))
        run.on_loop(lambda: finite.streamed and finite.streamed.end())
        assert read_all(other) == b"1\r\nz\r\n0\r\n\r\n"
        assert finite.told == []


def test_a_stream_that_never_ends_does_not_hold_up_the_end(run: Running) -> None:
    with run.connect() as sock:
        sock.sendall(get("/stream"))
        head(sock)
        source = source_of(run)
        began = time.monotonic()
        run.stop()
        assert time.monotonic() - began < 4
        assert source.told == ["ended"]


def test_only_the_first_answer_is_sent(run: Running) -> None:
    class Twice(Streams):
        def handle(self, exchange: Exchange) -> None:
            exchange.answer(self.answer(exchange))
            source = Source()
            self.sources.append(source)
            source.streamed = exchange.stream(200, (), source)

    with running("asyncio", Twice()) as twice, twice.connect() as sock:
        sock.sendall(get("/a"))
        assert reply(sock)[2] == b"GET /a "
        source = source_of(twice)
        twice.wait_for(lambda: source.told == ["ended"])
        sock.sendall(get("/a"))
        assert reply(sock)[2] == b"GET /a "


@pytest.mark.parametrize("header", [("a\r\nb", "x"), ("x", "a\nb"), ("transfer-encoding", "gzip")])
def test_a_header_that_may_not_be_one_is_refused_before_anything_is_sent(
    run: Running, header: tuple[str, str]
) -> None:
    refused: list[str] = []

    class Wrong(Streams):
        def handle(self, exchange: Exchange) -> None:
            try:
                exchange.stream(200, (header,), Source())
            except ValueError as error:
                refused.append(str(error))
                exchange.answer(self.answer(exchange))

    with running("asyncio", Wrong()) as wrong:
        assert wrong.ask(get("/a")).startswith(b"HTTP/1.1 200 ")
    assert len(refused) == 1


def test_many_streams_at_once_each_have_theirs(run: Running) -> None:
    socks = [run.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(get("/endless"))
    for sock in socks:
        head(sock)
    run.wait_for(lambda: len(run.server.streams) == 100)
    run.on_loop(
        lambda: [
            source.streamed.write(b"%03d" % number)
            for number, source in enumerate(streams(run).sources)
            if source.streamed
        ]
    )
    seen = {sock.recv(99) for sock in socks}
    assert seen == {b"3\r\n%03d\r\n" % number for number in range(100)}
    for sock in socks:
        sock.close()
    run.wait_for(lambda: run.server.connections == 0)
