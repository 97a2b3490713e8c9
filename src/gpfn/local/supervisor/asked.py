"""A connection to a function's process: one request at a time, and whoever waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gpfn.errors import BrokenReply, GpfnError
from gpfn.local.calling import ProcessAnswer
from gpfn.local.supervisor.answer import AnswerReader, UsualHead

__all__ = ["Asked", "AskedConnection"]

_BUFFER = 1 << 16
_MOST_USUAL = 1 << 11  # bytes of a head that is remembered

Asked = Callable[["ProcessAnswer | GpfnError | TimeoutError"], object]
"""Told of an answer, or why there is none: BrokenReply, TooLarge, TimeoutError."""


class AskedConnection(asyncio.BufferedProtocol):
    """A connection to a function's process, which carries one request at a time.

    It is read into a buffer of its own: asyncio would take memory anew for each piece, which
    costs as much as all the rest of a small answer. For the same reason the head of the last
    answer is remembered: one that comes whole with the same head is not read again. A time limit
    is one timer for many calls, which looks how late it is when its time has come.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._then: Asked | None = None
        self._limit = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = bytearray(_BUFFER)
        self._buffer = memoryview(self._bytes)
        self._usual: UsualHead | None = None
        self.used_at = 0.0
        self.lost = False  # whether it was closed

    def ask(self, request: bytes, limit: int, seconds: float) -> asyncio.Future[ProcessAnswer]:
        """Send a request, whose answer has ``seconds`` to come and at most ``limit`` bytes.

        The future raises BrokenReply or TooLarge for what is no answer, and TimeoutError.
        """
        answer: asyncio.Future[ProcessAnswer] = asyncio.get_running_loop().create_future()

        def then(result: ProcessAnswer | GpfnError | TimeoutError) -> None:
            if answer.done():
                return
            if isinstance(result, ProcessAnswer):
                answer.set_result(result)
            else:
                answer.set_exception(result)

        self.send(request, limit, seconds, then)
        return answer

    def send(self, request: bytes, limit: int, seconds: float, then: Asked) -> None:
        """Do as `ask`, and have ``then`` called with what came of it."""
        assert self._transport is not None, "connected before it is used"  # noqa: S101
        self._then, self._limit = then, limit
        loop = asyncio.get_running_loop()
        self._due = loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._due:
            self._cancel()
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._look)
        self._transport.write(request)

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._then is None:
            return  # the next request sets it again
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._look)
        else:
            self._end(TimeoutError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _size: int) -> memoryview:
        """Return where to put what comes."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Some of an answer came; or something for which nobody asked."""
        if self._then is None:
            self.abort()
            return
        reader, usual = self._reader, self._usual
        if reader is None and usual is not None and self._is(usual, count):
            body = bytes(self._buffer[len(usual.head) : count])
            then, self._then = self._then, None
            then(ProcessAnswer(usual.status, usual.headers, body))
            return
        if reader is None:
            reader = self._reader = AnswerReader(self._limit)
        try:
            answer = reader.feed(bytes(self._buffer[:count]))
        except GpfnError as error:
            self._end(error)
        else:
            if answer is not None:
                self._end(answer)

    def _is(self, usual: UsualHead, count: int) -> bool:
        """Say whether what came is a whole answer with the head of the last one."""
        body = count - len(usual.head)
        return count == usual.size and body <= self._limit and self._bytes.startswith(usual.head)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is closed, whoever did that."""
        self.lost = True
        if self._then is None:
            return
        try:
            self._end((self._reader or AnswerReader(self._limit)).ended())
        except GpfnError as broken:
            self._end(broken)

    def _end(self, result: ProcessAnswer | GpfnError | TimeoutError) -> None:
        """Let it carry the next request, or close it, and tell who has asked."""
        reader, self._reader = self._reader, None
        then, self._then = self._then, None
        if reader is None or not reader.keeps:
            self.abort()
        elif reader.usual is not None and len(reader.usual.head) <= _MOST_USUAL:
            self._usual = reader.usual
        if then is not None:
            then(result)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, detail: str) -> None:
        """Give up waiting for an answer that cannot come."""
        if self._then is not None:
            self.lost = True
            self._end(BrokenReply(detail))
            self.abort()

    @property
    def open(self) -> bool:
        """Whether it can carry another request."""
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close it at once; who waits for an answer is not told."""
        self._cancel()
        self._reader = self._then = None
        if self._transport is not None:
            self._transport.abort()
