"""The end in order: what has arrived is answered, what is idle is closed."""

import socket
import struct
import time

import pytest

from tests.http.loop.running import LOOPS, read_all, reply, running
from tests.http.loop.test_requests import post

EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS)


@EVERY_LOOP
def test_what_runs_is_answered_and_the_connection_closed(loop: str) -> None:
    with running(loop) as run, run.connect() as busy, run.connect() as idle:
        busy.sendall(post("/later?0.3", b"runs"))
        run.wait_for(lambda: bool(run.script.seen))
        run.server.loop.call_soon_threadsafe(run.server.stop)
        assert read_all(idle) == b""
        status, headers, body = reply(busy)
        assert (status, headers["connection"], body) == (200, "close", b"POST /later runs")
        busy.shutdown(socket.SHUT_WR)
        assert read_all(busy) == b""


@EVERY_LOOP
def test_what_lies_in_sockets_is_answered(loop: str) -> None:
    """The loop is held up, so that all of it arrives before the signal is looked at."""
    with running(loop) as run:
        known = [run.connect() for _ in range(20)]
        for sock in known:
            sock.sendall(post("/a", b"first"))
            reply(sock)
        run.server.loop.call_soon_threadsafe(time.sleep, 0.5)
        time.sleep(0.1)
        new = [run.connect() for _ in range(20)]
        for number, sock in enumerate((*known, *new)):
            sock.sendall(post("/a", b"%d" % number))
        run.server.loop.call_soon_threadsafe(run.server.stop)
        for number, sock in enumerate((*known, *new)):
            assert reply(sock)[2] == b"POST /a %d" % number
            sock.close()


@EVERY_LOOP
def test_a_half_sent_request_may_still_arrive(loop: str) -> None:
    data = post("/a", b"whole")
    with running(loop) as run, run.connect() as sock:
        sock.sendall(data[:-2])
        run.wait_for(lambda: run.server.connections == 1)
        time.sleep(0.05)
        run.server.loop.call_soon_threadsafe(run.server.stop)
        time.sleep(0.2)
        sock.sendall(data[-2:])
        assert reply(sock)[2] == b"POST /a whole"


@EVERY_LOOP
def test_nobody_holds_up_the_end_for_longer_than_the_drain_time(loop: str) -> None:
    with running(loop, drain_seconds=0.3) as run, run.connect() as sock:
        sock.sendall(post("/never", b""))
        run.wait_for(lambda: bool(run.script.seen))
        began = time.monotonic()
        run.stop()
        assert time.monotonic() - began < 3
        assert "1 requests were still running after the drain time" in "".join(run.log)


@EVERY_LOOP
def test_steady_callers_lose_nothing(loop: str) -> None:
    """Who has just been answered and asks again has an answer, and is told that it is the last."""
    import threading

    lost: list[str] = []
    answered: list[int] = []

    def call(run: object) -> None:
        with run.connect() as sock:  # type: ignore[attr-defined]
            while True:
                try:
                    sock.sendall(post("/later?0.002", b"x"))
                    _, headers, _ = reply(sock)
                except (OSError, AssertionError) as error:
                    lost.append(repr(error))
                    return
                answered.append(1)
                if headers.get("connection") == "close":
                    return

    with running(loop) as run:
        threads = [threading.Thread(target=call, args=(run,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        run.wait_for(lambda: len(answered) > 200)
        run.stop()
        for thread in threads:
            thread.join(10)
    assert lost == []


@EVERY_LOOP
def test_resets_leave_nothing(loop: str) -> None:
    with running(loop) as run:
        for number in range(200):
            sock = run.connect()
            sock.sendall(
                (b"GET /big?3000000 HTTP/1.1\r\nHost: x\r\n\r\n", post("/a", b"x")[:-1])[number % 2]
            )
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        run.wait_for(lambda: run.server.connections == 0)
        assert run.server.budget.used == 0


def test_a_request_at_the_end_of_the_idle_time_is_not_reset() -> None:
    """Requests that come around the moment of closing are answered, or find it closed before."""
    with running("uvloop", idle_seconds=0.04) as run:
        lost = []
        for number in range(60):
            with run.connect() as sock:
                sock.sendall(post("/a", b"first"))
                reply(sock)
                time.sleep(0.03 + number % 30 / 1000)
                if _has_ended(sock):
                    continue
                try:
                    sock.sendall(post("/a", b"second"))
                    assert reply(sock)[2] == b"POST /a second"
                except (OSError, AssertionError) as error:
                    lost.append(error)
        assert len(lost) <= 3, lost  # those in flight while it was closed; nobody can tell them


def _has_ended(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(20)


@EVERY_LOOP
def test_what_was_pipelined_before_the_end_is_answered_too(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(
            post("/later?0.2", b"0") + b"".join(post("/a", b"%d" % n) for n in range(1, 5))
        )
        run.wait_for(lambda: bool(run.script.seen))
        run.server.loop.call_soon_threadsafe(run.server.stop)
        answers = [reply(sock) for _ in range(5)]
        assert [body[-1:] for _, _, body in answers] == [b"0", b"1", b"2", b"3", b"4"]
        closing = [headers.get("connection") for _, headers, _ in answers]
        assert closing == [None, None, None, None, "close"]


@EVERY_LOOP
def test_whoever_waits_to_be_accepted_at_the_end_is_answered(loop: str) -> None:
    with running(loop, connections=5) as run:
        run.server.loop.call_soon_threadsafe(time.sleep, 0.6)
        time.sleep(0.1)
        waiting = [run.connect() for _ in range(60)]
        for number, sock in enumerate(waiting):
            sock.sendall(post("/a", b"%d" % number))
        run.server.loop.call_soon_threadsafe(run.server.stop)
        for number, sock in enumerate(waiting):
            assert reply(sock)[2] == b"POST /a %d" % number
            sock.close()
    assert "handler is closed" not in "".join(run.log)
