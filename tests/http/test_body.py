"""Large bodies: aligned, received in place, and paid for as they come."""

import socket

import numpy as np
import pytest

from gpfn.http import RequestReader
from gpfn.http.body import Body
from gpfn.limits import Limits
from tests.alone import alone, resident
from tests.http.feeding import head

LARGE = Limits(body_bytes=1 << 40)


def address(view: memoryview) -> int:
    """Return where a view's memory begins."""
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_a_large_body_is_received_in_place_and_aligned() -> None:
    data = np.random.default_rng(1).bytes(3 << 20)
    ours, theirs = socket.socketpair()
    reader = RequestReader(Limits(), large_body=1 << 16)
    reader.feed(head(f"Content-Length: {len(data)}") + data[:100])
    sent, copies = 100, 0
    while (space := reader.body_space()) is not None:
        assert len(space) == len(data) - sent
        copies += 1
        theirs.send(data[sent : sent + 100_000])
        count = ours.recv_into(space)
        reader.body_received(count)
        sent += count
    request = reader.next_request()
    assert request is not None
    assert isinstance(request.body, memoryview)
    assert request.body.readonly
    assert request.body == data
    assert address(request.body) % 64 == 0
    assert copies > 10
    ours.close()
    theirs.close()


def test_a_large_body_may_be_fed_as_well() -> None:
    data = np.random.default_rng(2).bytes(300_000)
    reader = RequestReader(Limits(), large_body=1000)
    reader.feed(head(f"Content-Length: {len(data)}"))
    for start in range(0, len(data), 70_000):
        reader.feed(memoryview(data)[start : start + 70_000])
    reader.feed(head("Content-Length: 1") + b"x")
    bodies = [reader.next_request(), reader.next_request()]
    assert [bytes(request.body) for request in bodies if request] == [data, b"x"]


def test_a_large_chunked_body_is_aligned_too() -> None:
    data = np.random.default_rng(3).bytes(2_000_000)
    reader = RequestReader(Limits(), large_body=1 << 16)
    reader.feed(head("Transfer-Encoding: chunked"))
    for start in range(0, len(data), 32768):
        part = data[start : start + 32768]
        assert reader.body_space() is None
        reader.feed(b"%x\r\n%s\r\n" % (len(part), part))
    reader.feed(b"0\r\n\r\n")
    request = reader.next_request()
    assert request is not None
    assert isinstance(request.body, memoryview)
    assert request.body == data
    assert address(request.body) % 64 == 0


def test_a_small_body_has_no_space_of_its_own() -> None:
    reader = RequestReader(Limits(), large_body=1000)
    assert reader.body_space() is None
    reader.feed(head("Content-Length: 1000"))
    assert reader.body_space() is None
    reader.feed(b"x" * 1000)
    request = reader.next_request()
    assert request is not None
    assert isinstance(request.body, bytes)


def taken_for_what_came() -> int:
    before = resident()
    reader = RequestReader(LARGE)
    reader.feed(head(f"Content-Length: {1 << 30}"))
    reader.feed(b"x" * 100_000)
    return resident() - before


def test_memory_is_taken_for_what_came_not_for_what_was_said() -> None:
    assert alone(taken_for_what_came) < 8 << 20


def kept_of_five_bodies() -> int:
    reader = RequestReader(LARGE)
    data = b"x" * (32 << 20)
    before = resident()
    for _ in range(5):
        reader.feed(head(f"Content-Length: {len(data)}") + data)
        assert reader.next_request() is not None
    return resident() - before


def test_a_body_dies_with_its_request() -> None:
    assert alone(kept_of_five_bodies) < 80 << 20


def test_a_body_in_one_piece_is_not_copied() -> None:
    body, data = Body(100), b"x" * 50
    body.append(data)
    assert body.finish() is data


@pytest.mark.parametrize("size", [1, 7, 100])
def test_growing_by_pieces_of_any_size(size: int) -> None:
    data = bytes(range(256)) * 4
    body = Body(100)
    for start in range(0, len(data), size):
        body.append(data[start : start + size])
    assert body.finish() == data
    assert body.size == len(data)
