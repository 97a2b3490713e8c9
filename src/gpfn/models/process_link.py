"""What a process and its child that computes tell each other: frames of named arrays.

A frame is two lengths, a JSON header, and the bytes of its arrays. Large arrays do not go through
the socket, which would copy them in small pieces, but lie in memory that both ends share. One end
speaks at a time, so that memory has one user at a time as well: who receives copies out of it, or
borrows it and gives it back before the answer. Nothing that comes in is executed or unpickled, and
every size is checked before it is used.
"""

from __future__ import annotations

import gc
import math
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from gpfn.errors import InvalidTensor
from gpfn.models.process_arrays import Incoming, bytes_of, offsets_of
from gpfn.models.process_memory import BrokenFrame, SharedMemory
from gpfn.models.signature import Array

__all__ = ["Link"]

_PREFIX = struct.Struct(
    "<IIQ"
)  # bytes of the header, 1 when the body is in the memory, of the body
_SCRATCH = 64 << 10
"""A frame of that size comes with one call of the system; a larger body lies in the memory."""
_MOST_HEADER = 16 << 20
_MOST_SHARED = 64 << 20
"""Bytes that are kept shared for one child; what is larger still goes through the socket."""
_REST_SECONDS = 10.0
_MOST_PIECES = 512  # the system takes 1024 at once
_UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(struct.error, ArithmeticError, MemoryError),
)

_Pieces = Sequence[memoryview | bytes]


class Link:
    """One end of a connection: sends frames and receives them, each until a point in time."""

    def __init__(
        self, sock: socket.socket, memory: SharedMemory | None, *, borrows: bool = False
    ) -> None:
        """``borrows`` has large arrays received lie in the memory, until `give_back`."""
        self._sock = sock
        self._memory = memory
        self._shares = memory is not None
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._start = self._end = 0
        self._borrows = borrows
        self._lent: Array | None = None  # all that is borrowed; arrays in it refer to it
        self._users = 0
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(sock, select.POLLIN)
        self._writable.register(sock, select.POLLOUT)

    def close(self) -> None:
        """Close both of what it was made of."""
        self._sock.close()
        if self._memory is not None:
            self._memory.close()

    def send(
        self,
        header: dict[str, Any],
        arrays: Mapping[str, Array] | None = None,
        until: float = math.inf,
    ) -> None:
        """Send a frame; the arrays are such as `portable` returns, by name.

        Raises TimeoutError when the other end does not read, OSError when there is none,
        InvalidTensor when a name is no text.
        """
        pieces: list[memoryview | bytes] = []
        if arrays:
            listed = []
            for name, array in arrays.items():
                kind, piece = bytes_of(array)
                listed.append((name, kind, array.shape, len(piece)))
                pieces.append(piece)
            header["arrays"] = listed
        size = sum(map(len, pieces))
        shared = size > _SCRATCH and self._share(pieces)
        try:
            told = orjson.dumps(header)
        except TypeError:
            raise InvalidTensor("a tensor's name is not Unicode text") from None
        prefix = _PREFIX.pack(len(told), shared, size)
        if shared or size <= _SCRATCH:
            pieces = [b"".join((prefix, told, *([] if shared else pieces)))]
        else:
            pieces[:0] = [prefix, told]
        self._send(pieces, until)

    def receive(self, until: float = math.inf) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the header of the next frame, and its arrays in memory of their own.

        ``until`` is when it begins to come at the latest; the rest comes at once.
        Raises TimeoutError when it does not come, EOFError when the other end is gone,
        BrokenFrame for what is no frame.
        """
        length, shared, size = _PREFIX.unpack(self._take(_PREFIX.size, until))
        if length > _MOST_HEADER or shared > 1:
            raise BrokenFrame(f"a header of {length} bytes")
        if until < math.inf:
            until = time.monotonic() + _REST_SECONDS
        told = self._take(length, until)
        try:
            header = orjson.loads(told)
            parts = [Incoming(*each) for each in header.pop("arrays", ())]
            if sum([part.size for part in parts]) != size:
                raise ValueError("a body of another size than its arrays")
            if shared:
                self._copy(parts)
            else:
                for part in parts:
                    self._fill(part.memory(), until)
            return header, {part.name: part.array() for part in parts}
        except _UNREADABLE as error:
            raise BrokenFrame(f"a frame that cannot be read: {error}") from error

    def wait(self, until: float = math.inf) -> bool:
        """Say whether something came, or the other end went, before ``until``."""
        return self._start < self._end or _wait(self._readable, until)

    def own(self, array: Array) -> Array:
        """Return an array that lies nowhere in what is borrowed: the same or a copy."""
        is_lent = self._lent is not None and np.may_share_memory(array, self._lent)
        return array.copy() if is_lent else array

    def give_back(self) -> bool:
        """Return the memory that was borrowed; False when somebody keeps an array in it.

        That one has the memory for himself then, and both ends have to `forgo` it.
        """
        for _ in range(2):
            if self._lent is None or sys.getrefcount(self._lent) == self._users:
                self._lent = None
                return True
            gc.collect()  # an exception's trace may hold it
        return False

    def forgo(self) -> None:
        """Use no shared memory any more."""
        self._shares, self._lent = False, None

    def _share(self, pieces: _Pieces) -> bool:
        """Put the pieces into the memory; False when they have to go another way."""
        offsets, end = offsets_of(map(len, pieces))
        if self._memory is None or not self._shares or end > _MOST_SHARED:
            return False
        room = self._memory.room(end)
        if room is None:
            return False
        with room:
            for at, piece in zip(offsets, pieces, strict=True):
                room[at : at + len(piece)] = piece
        return True

    def _copy(self, parts: Sequence[Incoming]) -> None:
        """Take the parts out of the memory, or borrow them."""
        if self._memory is None or not self._shares:
            raise ValueError("there is no shared memory")
        offsets, end = offsets_of(part.size for part in parts)
        self._lent = np.frombuffer(self._memory.view(end), np.uint8)
        self._users = sys.getrefcount(self._lent)
        for at, part in zip(offsets, parts, strict=True):
            part.take(self._lent[at : at + part.size], lent=self._borrows)
        if not self._borrows:
            self._lent = None

    def _send(self, pieces: list[memoryview | bytes], until: float) -> None:
        while pieces:
            try:
                sent = self._sock.sendmsg(pieces[:_MOST_PIECES], (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not _wait(self._writable, until):
                    raise TimeoutError("the other end does not read") from None
                continue
            gone = 0
            while gone < len(pieces) and sent >= len(pieces[gone]):
                sent -= len(pieces[gone])
                gone += 1
            pieces = pieces[gone:]
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]

    def _take(self, size: int, until: float) -> memoryview:
        """Return what comes next; it may be overwritten by what comes after that."""
        if self._start == self._end:
            self._start, self._end = 0, self._receive(self._scratch, until)
        start, stop = self._start, self._start + size
        if stop > self._end:
            target = memoryview(bytearray(size))
            self._fill(target, until)
            return target
        self._start = stop
        return self._scratch[start:stop]

    def _fill(self, target: memoryview, until: float) -> None:
        """Fill the target with what comes next."""
        size, done = len(target), 0
        while done < size:
            start, stop = self._start, min(self._end, self._start + size - done)
            if start < stop:
                target[done : done + stop - start] = self._scratch[start:stop]
                self._start, done = stop, done + stop - start
            elif size - done >= _SCRATCH:
                done += self._receive(target[done:], until)
            else:
                self._start, self._end = 0, self._receive(self._scratch, until)

    def _receive(self, target: memoryview, until: float) -> int:
        if until < math.inf and not _wait(self._readable, until):
            raise TimeoutError("nothing came")
        received = self._sock.recv_into(target)
        if not received:
            raise EOFError("the other end is gone")
        return received


def _wait(poll: select.poll, until: float) -> bool:
    if until == math.inf:
        return bool(poll.poll())
    while (left := until - time.monotonic()) > 0:
        if poll.poll(min(1 << 30, math.ceil(left * 1000))):
            return True
    return bool(poll.poll(0))
