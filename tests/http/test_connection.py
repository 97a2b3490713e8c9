"""A connection's waits all end at its deadline."""

import socket
import threading
import time

import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.http.connection import Connection


def test_each_wait_is_for_what_is_left() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, Deadline.after(0.3))
        begun = time.monotonic()
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(0.05):
                theirs.send(b"x")

        thread = threading.Thread(target=dribble)
        thread.start()
        with pytest.raises(TimeoutError):
            _ = [connection.receive() for _ in range(1000)]
        assert 0.25 < time.monotonic() - begun < 1
        stop.set()
        thread.join()
        for wait in (
            connection.receive,
            lambda: connection.receive_into(memoryview(bytearray(1))),
            lambda: connection.send([b"x"]),
        ):
            with pytest.raises(TimeoutError):  # at once, though there is something to receive
                wait()


def test_sending_ends_at_the_deadline_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, Deadline.after(0.2))
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.send([bytes(1000), bytes(50_000_000)])
        assert time.monotonic() - begun < 1


def test_without_a_deadline_it_waits_as_long_as_it_takes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, NEVER)
        threading.Timer(0.05, theirs.sendall, [b"late"]).start()
        assert connection.receive() == b"late"


def test_all_buffers_arrive_in_order_however_slowly() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
        parts = [bytes([i % 256]) * (i * 37 % 4000) for i in range(2000)]
        received = bytearray()

        def receive() -> None:
            while data := theirs.recv(3001):
                received.extend(data)

        thread = threading.Thread(target=receive)
        thread.start()
        Connection(ours, Deadline.after(20)).send([*map(memoryview, parts), b"", b"end"])
        ours.shutdown(socket.SHUT_WR)
        thread.join()
        assert received == b"".join(parts) + b"end"


def test_a_connection_that_has_something_to_say_is_not_used_again() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        connection = Connection(ours, NEVER)
        assert connection.usable()
        theirs.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert not connection.usable()
        connection.receive()
        assert connection.usable()
        theirs.close()
        assert not connection.usable()
