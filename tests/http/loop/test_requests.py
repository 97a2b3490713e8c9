"""What is asked of a connection and what comes back, on both event loops."""

import socket
import struct
import threading
import time

import pytest

from gpfn.http.reader import RequestReader
from tests.http.loop.running import LOOPS, read_all, reply, running

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS)


def post(target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@EVERY_LOOP
def test_one_after_the_other_on_one_connection(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        for number in range(3):
            sock.sendall(post("/a", b"body %d" % number, f"X-Request-Id: call-{number}"))
            status, headers, body = reply(sock)
            assert (status, body) == (200, b"POST /a body %d" % number)
            assert headers["x-request-id"] == f"call-{number}"
            assert "date" in headers


@EVERY_LOOP
def test_ids_that_cannot_stand_in_a_log_are_replaced(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        seen = set()
        for given in ("", "a b", "x" * 129, "\x7f"):
            line = (f"X-Request-Id: {given}",) if given else ()
            sock.sendall(post("/a", b"", *line))
            if given == "\x7f":
                assert reply(sock)[0] == 400
                continue
            seen.add(reply(sock)[1]["x-request-id"])
        assert len(seen) == 3
        assert not seen & {"a b", "x" * 129}


@EVERY_LOOP
def test_pipelined_requests_are_answered_in_order(loop: str) -> None:
    delays = ["0.05", "0", "0.02", "0.001", "0.03"]
    requests = [post(f"/later?{delay}", b"%d" % n) for n, delay in enumerate(delays * 2)]
    with running(loop) as run:
        data = run.ask(b"".join(requests))
    assert [int(part[:1]) for part in data.split(b"POST /later ")[1:]] == list(range(10))


@EVERY_LOOP
def test_many_pipelined_requests_do_not_keep_others_waiting(loop: str) -> None:
    """Thousands of requests in one read are taken in turns with those of other connections."""
    with running(loop) as run, run.connect() as greedy, run.connect() as other:
        turns: list[int] = []
        greedy.sendall(post("/a", b"") * 3000)
        other.sendall(post("/b", b"other"))
        assert reply(other)[2] == b"POST /b other"
        turns.append(run.on_loop(lambda: len(run.script.seen)))
        greedy.shutdown(socket.SHUT_WR)
        assert read_all(greedy).count(b"HTTP/1.1 200") == 3000


@EVERY_LOOP
def test_a_body_in_pieces_and_a_second_request_in_the_same_piece(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        data = post("/a", b"0123456789") + post("/b", b"next")
        for cut in range(0, len(data), 7):
            sock.sendall(data[cut : cut + 7])
        assert reply(sock)[2] == b"POST /a 0123456789"
        assert reply(sock)[2] == b"POST /b next"


@EVERY_LOOP
@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 5 << 20])
def test_a_large_body_arrives_whole_and_aligned(
    loop: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    straight: list[int] = []
    took = RequestReader.body_received

    def body_received(reader: RequestReader, count: int) -> None:
        straight.append(count)
        took(reader, count)

    monkeypatch.setattr(RequestReader, "body_received", body_received)
    with running(loop) as run, run.connect() as sock:
        sock.sendall(post("/a", body))
        assert reply(sock)[2] == b"POST /a " + body
        kept = run.script.seen[0].request.body
        if size > 1 << 18:
            assert isinstance(kept, memoryview)
            import numpy as np

            assert np.frombuffer(kept, np.uint8).ctypes.data % 64 == 0
            assert sum(straight) >= size - (256 << 10), "into its own memory, without a copy"
        sock.sendall(post("/b", b"small"))
        assert reply(sock)[2] == b"POST /b small"


@EVERY_LOOP
def test_a_large_answer_to_a_slow_reader(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(b"GET /big?20000000 HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        time.sleep(0.3)
        assert len(run.script.seen) == 1, "the second waits until the first was read"
        for _ in range(2):
            assert len(reply(sock)[2]) == 20_000_000


@EVERY_LOOP
def test_the_offer_of_another_protocol_is_ignored(loop: str) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    sized = HEAD + offer.encode() + b"Content-Length: 26\r\n\r\n"
    chunked = HEAD + offer.encode() + b"Transfer-Encoding: chunked\r\n\r\n1a\r\n"
    hidden = b"GET /hidden HTTP/1.1\r\n\r\nxy"
    with running(loop) as run:
        for head, end in ((sized, b""), (chunked, b"\r\n0\r\n\r\n")):
            for pause in (False, True):
                with run.connect() as sock:
                    sock.sendall(head)
                    if pause:
                        time.sleep(0.05)
                    sock.sendall(hidden + end + post("/b", b"next"))
                    assert reply(sock)[2] == b"POST /a " + hidden
                    assert reply(sock)[2] == b"POST /b next"
    assert [exchange.request.target for exchange in run.script.seen] == ["/a", "/b"] * 4


@EVERY_LOOP
def test_trailers_are_never_headers(loop: str) -> None:
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Type: evil\r\n\r\n"
    with running(loop) as run:
        assert b"content-type: none\r\n" in run.ask(data)
    assert "content-type" not in run.script.seen[0].fields.by_name


@EVERY_LOOP
def test_head_gets_no_body_but_its_length(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(b"HEAD /big?99 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, _ = reply(sock, head_only=True)
        assert (status, headers["content-length"]) == (200, "99")
        sock.sendall(post("/b", b"next"))
        assert reply(sock)[2] == b"POST /b next"


@EVERY_LOOP
@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_sends_none(loop: str, status: int) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(post(f"/status?{status}", b""))
        assert reply(sock, head_only=True)[0] == status
        sock.sendall(post("/b", b"next"))
        assert reply(sock)[2] == b"POST /b next"


@EVERY_LOOP
def test_a_client_that_closes_its_side_gets_its_answers(loop: str) -> None:
    with running(loop) as run:
        data = run.ask(post("/later?0.1", b"one") + post("/b", b"two"))
        assert b"POST /later one" in data
        assert data.endswith(b"POST /b two")
        cut = run.ask(post("/a", b"whole")[:-2])
        assert cut.startswith(b"HTTP/1.1 400 ")
        assert run.ask(b"") == b""


@EVERY_LOOP
def test_an_absolute_target_is_routed_by_its_path(loop: str) -> None:
    with running(loop) as run:
        data = run.ask(b"GET http://other:80/way?q HTTP/1.1\r\nHost: x\r\n\r\n")
        assert data.endswith(b"GET /way ")
        assert run.ask(b"GET http://u@h/ HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@EVERY_LOOP
def test_a_body_is_asked_for_only_when_it_will_be_read(loop: str) -> None:
    expect = b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with running(loop) as run:
        with run.connect() as sock:
            sock.sendall(HEAD + expect)
            assert sock.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"body")
            assert reply(sock)[2] == b"POST /a body"
        with run.connect() as sock:
            sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + expect)
            assert reply(sock)[0] == 404
        with run.connect() as sock:
            sock.sendall(HEAD + expect + b"body")  # it did not wait
            assert reply(sock)[2] == b"POST /a body"


@EVERY_LOOP
def test_who_is_refused_while_still_sending_reads_the_answer(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        for _ in range(50):
            sock.sendall(bytes(100_000))
        status, headers, _ = reply(sock)
        assert (status, headers["connection"]) == (413, "close")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""


@EVERY_LOOP
def test_what_follows_a_broken_request_is_never_run(loop: str) -> None:
    with running(loop) as run:
        data = run.ask(post("/a", b"one") + b"GET /x\r\nHost: y\r\n\r\n" + post("/b", b"two"))
        assert data.count(b"\r\nx-request-id: ") == 2
        assert b"HTTP/1.1 505 " in data
    assert [exchange.request.target for exchange in run.script.seen] == ["/a"]


@EVERY_LOOP
def test_the_same_head_again_is_not_parsed_again(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpfn.http import reader

    made: list[object] = []

    class Counted(reader.Head):
        __slots__ = ()

        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(reader, "Head", Counted)
    with running(loop) as run, run.connect() as sock:
        for number in range(5):
            sock.sendall(post("/a", b"%d" % number))
            assert reply(sock)[2] == b"POST /a %d" % number
        assert len(made) == 1
        sock.sendall(post("/b", b"5"))
        assert reply(sock)[2] == b"POST /b 5"
        assert len(made) == 2


@EVERY_LOOP
def test_who_leaves_is_told_and_nothing_is_kept(loop: str) -> None:
    with running(loop) as run:
        sock = run.connect()
        sock.sendall(post("/never", b"x"))
        run.wait_for(lambda: bool(run.script.seen))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()  # with a reset: an end alone may be that of one side
        run.wait_for(lambda: run.server.connections == 0)
        exchange = run.script.seen[0]
        assert exchange.gone
        run.on_loop(lambda: exchange.answer(run.script.answer(exchange)))  # harmless
        assert run.ask(post("/b", b"next")).endswith(b"POST /b next")


@EVERY_LOOP
def test_only_the_first_answer_is_sent(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(post("/later?0.01", b"1"))
        assert reply(sock)[2] == b"POST /later 1"
        run.on_loop(lambda: run.script.seen[0].answer(run.script.answer(run.script.seen[0])))
        sock.sendall(post("/b", b"2"))
        assert reply(sock)[2] == b"POST /b 2"


def test_both_loops_serve_many_at_once() -> None:
    for loop in LOOPS:
        with running(loop) as run:
            wrong: list[bytes] = []

            def visit(name: int, run: object = run, wrong: list[bytes] = wrong) -> None:
                with run.connect() as sock:  # type: ignore[attr-defined]
                    for number in range(50):
                        sock.sendall(post("/a", b"%d.%d" % (name, number)))
                        body = reply(sock)[2]
                        if body != b"POST /a %d.%d" % (name, number):
                            wrong.append(body)

            threads = [threading.Thread(target=visit, args=(name,)) for name in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []


@EVERY_LOOP
def test_a_client_of_http_1_0_is_told_that_its_connection_stays(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert reply(sock)[1]["connection"] == "keep-alive"
        sock.sendall(b"GET /a HTTP/1.0\r\n\r\n")
        assert reply(sock)[1]["connection"] == "close"
