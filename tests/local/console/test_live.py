"""Server-sent events: what is told, what was missed, and pages that come, read slowly and go."""

import functools
import socket
import time

from gpfn.local.call_record import RunningCall
from gpfn.local.console.live import HEARTBEAT_SECONDS

from .standing import Standing, call, standing


def follow(run: Standing, query: str = "", *headers: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", run.port), timeout=10)
    lines = (f"GET /ui/events{query} HTTP/1.1", f"Host: 127.0.0.1:{run.port}", *headers, "", "")
    sock.sendall("\r\n".join(lines).encode())
    return sock


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        piece = sock.recv(1 << 16)
        assert piece, data
        data += piece
    return data


def numbers(data: bytes) -> list[int]:
    return [int(part.split(b"\n")[0]) for part in data.split(b"\nid: ")[1:]]


def test_calls_are_told_as_they_end_with_their_numbers() -> None:
    with standing([call(1), call(1)]) as run, follow(run) as sock:
        begin = read_until(sock, b"event: beat")
        assert b"content-type: text/event-stream" in begin
        assert b"cache-control: no-store" in begin
        assert numbers(begin) == []
        run.add(call(0), call(0, status=502))
        data = read_until(sock, b"\nid: 4\n")
        data += read_until(sock, b"\n\n") if not data.endswith(b"\n\n\r\n") else b""
        assert numbers(data) == [3, 4]
        assert b'"status":502' in data


def test_who_comes_again_is_told_what_was_missed_once() -> None:
    with standing([call(1) for _ in range(9)]) as run:
        for newest, query, headers in ((9, "", ("Last-Event-ID: 6",)), (10, "?after=6", ())):
            with follow(run, query, *headers) as sock:
                data = read_until(sock, b"event: beat")
                assert numbers(data) == [*range(7, newest + 1)]
                run.add(call(0))
                assert numbers(read_until(sock, b"event: call")) == [newest + 1]
        with follow(run, "?after=1", "Last-Event-ID: 9") as sock:
            assert numbers(read_until(sock, b"event: beat")) == [10, 11]


def test_nonsense_ids_are_as_if_there_were_none() -> None:
    with standing([call(1)]) as run:
        for query in ("?after=x", "?after=-5", "?after=" + "9" * 99, "?after=%00"):
            with follow(run, query) as sock:
                assert numbers(read_until(sock, b"event: beat")) == []


def test_who_was_away_for_very_long_is_told_the_last_ones() -> None:
    with standing([call(1) for _ in range(1500)]) as run, follow(run, "?after=0") as sock:
        assert numbers(read_until(sock, b"event: beat")) == list(range(501, 1501))


def test_a_heartbeat_is_told_again_and_again() -> None:
    assert HEARTBEAT_SECONDS == 15.0
    with standing(heartbeat=0.05) as run, follow(run) as sock:
        began = time.monotonic()
        data = b""
        while data.count(b"event: beat") < 5:
            data += sock.recv(4096)
        assert time.monotonic() - began < 5


def test_a_page_that_leaves_is_forgotten() -> None:
    with standing(heartbeat=0.05) as run:
        socks = [follow(run) for _ in range(20)]
        for sock in socks:
            read_until(sock, b"event: beat")
        assert run.on_loop(lambda: len(run.pages.live.pages)) == 20
        for sock in socks:
            sock.close()
        _wait(run, 0)
        run.add(call(0))


def _wait(run: Standing, count: int) -> None:
    end = time.monotonic() + 10
    while run.on_loop(lambda: len(run.pages.live.pages)) != count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_too_many_pages_are_refused_and_the_others_stay() -> None:
    with standing() as run:
        socks = [follow(run) for _ in range(64)]
        for sock in socks:
            read_until(sock, b"event: beat")
        with follow(run) as one_more:
            assert b"HTTP/1.1 503 " in read_until(one_more, b"\r\n\r\n")
        run.add(call(0))
        for sock in socks:
            assert numbers(read_until(sock, b"event: call")) == [1]
            sock.close()


def test_a_page_that_reads_slowly_misses_nothing_and_holds_nothing() -> None:
    with standing() as run, follow(run) as sock:
        read_until(sock, b"event: beat")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        (connection,) = run.on_loop(lambda: [one._connection for one in run.server.streams])
        sent = 0
        while not run.on_loop(lambda: connection.blocked):
            run.add(*[call(0, key="k" * 200, log=(), request=call(0).request._replace(data=b""))
                      for _ in range(500)])  # fmt: skip
            sent += 500
            assert sent < 40_000
        run.add(*[call(0, log=()) for _ in range(500)])
        held = run.on_loop(connection.transport.get_write_buffer_size)
        assert held < 200_000
        sent += 500
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        data = b""
        while b"id: %d\n" % sent not in data:
            data += sock.recv(1 << 16)
        assert numbers(data) == list(range(1, sent + 1))


def test_the_end_of_the_server_ends_the_streams_at_once() -> None:
    with standing() as run, follow(run) as sock:
        read_until(sock, b"event: beat")
        began = time.monotonic()
        run.loop.call_soon_threadsafe(run.server.stop)
        assert sock.recv(99) == b"0\r\n\r\n"
        run.stop()
        assert time.monotonic() - began < 2


def test_a_call_that_takes_long_is_told_while_it_runs() -> None:
    with standing() as run, follow(run) as sock:
        read_until(sock, b"event: beat")
        for name in ("c1", "c2"):
            call_of = RunningCall(name, "fn", "f1", "forecast", "curl", "invoke", time.time())
            run.on_loop(functools.partial(run.calls.begin, call_of))
        began = time.monotonic()
        assert b"data: 2\n\n" in read_until(sock, b"event: running\ndata: 2\n\n")
        assert time.monotonic() - began < 5
        run.add(call(0, id="c1"), call(0, id="c2"))
        data = read_until(sock, b"id: 2\n")
        assert b"running" not in data
