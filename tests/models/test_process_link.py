"""Frames between a process and its child: what is sent arrives, and what is none is refused."""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.models.process_arrays import portable
from gpfn.models.process_link import Link
from gpfn.models.process_memory import BrokenFrame, SharedMemory

ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "t": portable(np.array([["a", ""], ["b\0", "cc"]]), "t"),
    "large": np.arange(10_000),
    "none": np.empty((0, 5), np.int8),
}


@contextmanager
def pair(
    *, shared: bool = True, borrows: bool = False
) -> Iterator[tuple[Link, Link, socket.socket]]:
    """Two ends, and the socket of the first; each has a mapping of the memory of its own."""
    ours, theirs = socket.socketpair()
    memory = SharedMemory.make() if shared else None
    other = SharedMemory(os.dup(memory.descriptor)) if memory else None
    one, two = Link(ours, memory), Link(theirs, other, borrows=borrows)
    try:
        yield one, two, ours
    finally:
        one.close()
        two.close()


def frame(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of a frame that goes through the socket."""
    with pair(shared=False) as (one, two, _):
        one.send({"a": 1}, arrays)
        return two._sock.recv(1 << 20)


SMALL = frame({name: ARRAYS[name] for name in ("x", "t", "none")})


@pytest.mark.parametrize("shared", [True, False])
def test_frames_arrive(shared: bool) -> None:
    with pair(shared=shared) as (one, two, _):
        for sender, receiver in ((one, two), (two, one), (one, two)):
            sender.send({"a": [1]}, ARRAYS)
            sender.send({"b": 2})
            header, arrays = receiver.receive(time.monotonic() + 5)
            assert header == {"a": [1]}
            assert list(arrays) == list(ARRAYS)
            for name, expected in ARRAYS.items():
                assert arrays[name].dtype == expected.dtype
                assert arrays[name].shape == expected.shape
                assert arrays[name].tolist() == expected.tolist()
            assert receiver.receive() == ({"b": 2}, {})


def test_what_is_borrowed_is_given_back() -> None:
    with pair(borrows=True) as (one, two, _):
        for size in (20_000, 30_000, 2_000_000, 20_000):
            one.send({}, {"x": np.arange(size), "y": np.ones(3, np.int8)})
            _, taken = two.receive()
            assert taken["x"].ctypes.data % 64 == 0
            given = {"first": taken["x"][::-1], "x": taken["x"], "y": taken["y"], "z": np.ones(9)}
            given = {name: two.own(np.require(array, None, "C")) for name, array in given.items()}
            del taken
            assert two.give_back()
            two.send({}, given)
            _, back = one.receive()
            assert np.array_equal(back["x"], np.arange(size))
            assert np.array_equal(back["first"], np.arange(size)[::-1])
            assert back["y"].tolist() == [1, 1, 1]
            assert back["z"].tolist() == [1] * 9


@pytest.mark.parametrize(
    "keep",
    [
        lambda array: array,
        lambda array: array[5:9].reshape(2, 2),
        lambda array: memoryview(array)[3:5],
        lambda array: {"deep": [array.T]},
    ],
)
def test_what_somebody_keeps_is_noticed(keep: Callable[[np.ndarray], object]) -> None:
    with pair(borrows=True) as (one, two, _):
        one.send({}, {"x": np.arange(20_000)})
        _, taken = two.receive()
        kept = keep(taken["x"])
        del taken
        assert not two.give_back()
        one.forgo()
        two.forgo()
        for sender, receiver in ((two, one), (one, two)):
            sender.send({}, {"x": np.zeros(20_000)})
            assert not receiver.receive()[1]["x"].any()
        first = kept["deep"][0] if isinstance(kept, dict) else kept
        assert np.asarray(first).any()


def test_a_cycle_does_not_keep_anything() -> None:
    with pair(borrows=True) as (one, two, _):
        one.send({}, {"x": np.arange(20_000)})
        _, taken = two.receive()
        cycle: list[object] = [taken.pop("x")]
        cycle.append(cycle)
        del cycle
        assert two.give_back()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_frame_is_a_broken_one_or_another(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SMALL) - 1))
    cut = data.draw(st.sampled_from([len(SMALL), at, at + 1]))
    byte = data.draw(st.integers(0, 255))
    with pair() as (one, two, sock):
        sock.sendall((SMALL[:at] + bytes([byte]) + SMALL[at + 1 :])[:cut])
        one.close()
        try:
            _, arrays = two.receive(time.monotonic() + 5)
        except (BrokenFrame, EOFError):
            return
        assert sum(array.size for array in arrays.values()) <= len(SMALL)


@pytest.mark.parametrize(
    "told",
    [
        b'{"arrays":[["x","float32",[3],8]]}',
        b'{"arrays":[["x","float32",[-2],8]]}',
        b'{"arrays":[["x","float32",[2.0],8]]}',
        b'{"arrays":[["x","float32",[[2]],8]]}',
        b'{"arrays":[["x","float32",2,8]]}',
        b'{"arrays":[["x","complex64",[1],8]]}',
        b'{"arrays":[["x","string",[9],8]]}',
        b'{"arrays":[["x","string",[1],8]]}',
        b'{"arrays":[["x","string",[4294967296,4294967296],8]]}',
        b'{"arrays":[["x","float32",[0,9223372036854775808],0],["y","float32",[2],8]]}',
        b'{"arrays":[["x","float32",[0,9223372036854775807],0],["y","float32",[2],8]]}',
        b'{"arrays":[["x","float32",[2]]]}',
        b'{"arrays":[7]}',
        b'{"arrays":7}',
        b"[]",
        b"7",
        b"{",
        b"",
    ],
)
def test_a_header_that_does_not_fit_is_refused(told: bytes) -> None:
    with pair() as (_, two, sock):
        sock.sendall(struct.pack("<IIQ", len(told), 0, 8) + told + b"\xff" * 8)
        with pytest.raises(BrokenFrame):
            two.receive(time.monotonic() + 5)


@pytest.mark.parametrize("place", [1, 2, (1 << 32) - 1])
def test_a_body_outside_of_the_memory_is_refused(place: int) -> None:
    told = b'{"arrays":[["x","float32",[2],8]]}'
    for shared in (True, False):
        with pair(shared=shared) as (_, two, sock):
            sock.sendall(struct.pack("<IIQ", len(told), place, 8) + told)
            with pytest.raises(BrokenFrame):
                two.receive(time.monotonic() + 5)


def test_a_header_without_end_is_refused() -> None:
    with pair() as (_, two, sock):
        sock.sendall(struct.pack("<IIQ", (1 << 32) - 1, 0, 0))
        with pytest.raises(BrokenFrame):
            two.receive(time.monotonic() + 5)


def test_waiting_ends() -> None:
    with pair() as (one, two, _):
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            two.receive(time.monotonic() + 0.1)
        assert not two.wait(time.monotonic() + 0.1)
        with pytest.raises(TimeoutError):  # nobody reads
            one.send({"a": "b" * 10_000_000}, {}, time.monotonic() + 0.1)
        assert time.monotonic() - begin < 3


def test_shared_memory_cannot_be_made_smaller() -> None:
    memory = SharedMemory.make()
    assert memory is not None
    assert memory.room(100_000) is not None
    with pytest.raises(PermissionError):
        os.truncate(memory.descriptor, 10)
    memory.close()
    memory.close()
