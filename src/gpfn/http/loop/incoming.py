"""A body that is received piece by piece, because it is too large to be in memory: an upload.

The connection gives pieces here as they come, and a thread hands them to a receiver, which
writes them to a disk. When the disk is slower than the client, the client is not read from
until the disk has caught up: what waits in memory is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gpfn.deadline import NEVER
from gpfn.errors import GpfnError, InvalidRequest, TooLarge
from gpfn.http.body import Body

if TYPE_CHECKING:
    from gpfn.http.loop.connection import LoopConnection
    from gpfn.http.loop.pool import WorkPool

__all__ = ["BodyReceiver", "IncomingBody"]

_MOST_WAITING = 4 << 20
"""Bytes that wait for the thread before no more are read."""


class BodyReceiver(Protocol):
    """Takes a body, in a thread, one piece after the other.

    ``most`` is how many bytes it may have, by the setting that ``limit`` names, and ``seconds``
    how long it may take to come.
    """

    most: int
    limit: str
    seconds: float

    def feed(self, data: bytes) -> None:
        """Take the next piece; what it raises is the answer, and nothing more is read."""

    def abandon(self) -> None:
        """Remove what has come: the rest will not. May be called twice, and after an error."""


class IncomingBody(Body):
    """The way of one body to its receiver. Methods are for the loop's thread."""

    __slots__ = (
        "_complete", "_connection", "_done", "_error", "_gone", "_pool", "_running", "_until",
        "_waiting", "limit", "receiver", "waits",
    )  # fmt: skip

    def __init__(self, receiver: BodyReceiver, connection: LoopConnection, pool: WorkPool) -> None:
        super().__init__(0, receiver.most)
        self.limit = receiver.limit
        self.receiver = receiver
        self.waits = 0  # bytes that the thread has not taken yet
        self._connection = connection
        self._pool = pool
        self._waiting: deque[bytes] = deque()
        self._running = self._complete = self._gone = False
        self._error: GpfnError | None = None
        self._done: Callable[[GpfnError | None], object] | None = None
        self._until = monotonic() + receiver.seconds

    @property
    def held(self) -> int:
        """How many bytes are in memory."""
        return self.waits

    @property
    def full(self) -> bool:
        """Whether no more is to be read for now."""
        return self.waits >= _MOST_WAITING

    @property
    def late(self) -> InvalidRequest | None:
        """What is told of a body that takes too long to come; None as long as it does not."""
        if monotonic() <= self._until:
            return None
        told = f"it took over {self.receiver.seconds:g} s to come"
        return InvalidRequest(told, field="body", status=408)

    def reserve(self, size: int) -> None:
        """Expect ``size`` bytes in all; raises TooLarge when that is more than there may be."""
        if size > self.most:
            told = f"the body is {size} bytes, the limit is {self.most} ({self.limit})"
            raise TooLarge(told, field="content-length")

    def append(self, data: bytes | memoryview) -> None:
        """Take what has come. Raises what the receiver has raised, and 408 when it takes long."""
        if self._error is not None:
            raise self._error
        if self.late is not None:
            raise self.late
        self.size += len(data)
        self.waits += len(data)
        self._waiting.append(bytes(data))
        self._go_on()

    def finish(self) -> bytes:
        """Take note that all of it has come; the request's body is empty."""
        self._complete = True
        return b""

    def when_received(self, done: Callable[[GpfnError | None], object]) -> None:
        """Have ``done`` called, with an error if there was one, when the receiver has it all."""
        self._done = done
        self._go_on()

    def abandon(self) -> None:
        """Let the receiver remove what it has: the client has left, or was refused."""
        self._gone = True
        self._waiting.clear()
        self._go_on()

    def _go_on(self) -> None:
        """Have the thread take what waits; when nothing does, tell who waits for that."""
        if self._running:
            return
        if self._gone:
            self._gone, self._done = False, None
            self._pool.submit(self.receiver.abandon, NEVER, lambda *_: None)
        elif self._waiting and self._error is None:
            self._running = True
            pieces = [*self._waiting]
            self._waiting.clear()
            self._pool.submit(lambda: self._feed(pieces), NEVER, self._fed)
        elif self._done is not None and (self._complete or self._error is not None):
            done, self._done = self._done, None
            done(self._error)

    def _feed(self, pieces: list[bytes]) -> int:
        for piece in pieces:
            if self._gone:
                break
            self.receiver.feed(piece)
        return sum(map(len, pieces))

    def _fed(self, taken: int | None, error: BaseException | None) -> None:
        self._running = False
        if error is None:
            self.waits -= taken or 0
        else:
            self._error = error if isinstance(error, GpfnError) else self._internal(error)
            self._waiting.clear()
            self.waits = 0
        self._connection.received(self, self._error)
        self._go_on()

    def _internal(self, error: BaseException) -> GpfnError:
        self._connection.server.log.failure(error)
        return GpfnError("the body could not be received")
