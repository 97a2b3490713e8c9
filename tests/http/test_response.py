"""Replies off a socket: framing, limits, and nothing but BrokenReply for what is broken."""

import random
import socket
import time

import pytest

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply, TooLarge
from gpfn.http.connection import Connection
from gpfn.http.response import Closed, HttpResponse, read_response

LIMIT = 100_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, limit: int = LIMIT) -> HttpResponse:
    """Return the reply that a server's bytes are, when it closes after them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return read_response(Connection(ours, Deadline.after(10)), limit)


def test_a_reply_is_taken_apart() -> None:
    reply = read(b"HTTP/1.1 404 Not  Found\r\nA: 1\r\na:  2\t\r\nContent-Length: 2\r\n\r\nab")
    assert reply == HttpResponse(
        404, "Not  Found", {"a": "1, 2", "content-length": "2"}, b"ab", True
    )


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive, Close", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive", True),
        (b"HTTP/1.1 200 OK", False),
        (b"HTTP/1.1 204 No", True),
        (b"HTTP/1.1 304 No\r\nContent-Length: 5", True),
    ],
)
def test_whether_the_connection_can_be_used_again(head: bytes, reusable: bool) -> None:
    assert read(head + b"\r\n\r\n").reusable is reusable


def test_a_length_beside_chunks_is_not_believed_and_the_connection_neither() -> None:
    reply = read(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\n\r\n"
    )
    assert reply.body == b"ab"
    assert not reply.reusable


def test_the_limit_is_exact() -> None:
    for frame in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\n\r\n0123456789",
        CHUNKED + b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
    ):
        assert bytes(read(frame, 10).body) == b"0123456789"
        with pytest.raises(TooLarge, match=r"limit|more than 9 bytes"):
            read(frame, 9)


def test_many_tiny_chunks_take_time_in_proportion() -> None:
    chunks = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    begun = time.process_time()
    reply = read(CHUNKED + chunks)
    assert reply.body == b"x" * 100_000
    assert time.process_time() - begun < 2


def test_nothing_but_a_closed_connection_is_closed() -> None:
    with pytest.raises(Closed):
        read(b"")
    for data in (b"H", b"HTTP/1.1 100 Continue\r\n\r\n"):
        with pytest.raises(BrokenReply, match="closed in the middle"):
            read(data)


def test_mutated_replies_are_a_reply_or_broken() -> None:
    chance = random.Random(11)
    whole = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        CHUNKED + b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.0 400 Bad\r\nServer: y\r\n\r\nhello",
    ]
    outcomes = {"reply": 0, "broken": 0}
    for data in whole * 700:
        changed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(changed))
            match chance.randrange(3):
                case 0:
                    changed[place] = chance.randrange(256)
                case 1:
                    del changed[place : place + chance.randint(1, 9)]
                case 2:
                    changed[place:place] = changed[chance.randrange(len(changed)) :][:9]
            changed = changed or bytearray(b"H")
        try:
            reply = read(bytes(changed))
        except (BrokenReply, Closed):
            outcomes["broken"] += 1
        else:
            outcomes["reply"] += 1
            assert 100 < reply.status < 1000
            assert len(reply.body) <= len(changed)
    assert min(outcomes.values()) > 100
