"""One connection of the loop server: requests in, answers out, in the order they came.

A connection reads one request at a time. While it is answered nothing more is parsed, and
a client that sends on, or does not read its answers, is not read from either: what a
connection can hold is one request, one answer and one read.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.head import Request
from gpfn.http.loop.exchange import Exchange, Fields, Response
from gpfn.http.loop.incoming import IncomingBody
from gpfn.http.loop.large_body import LargeBody, change_protocol
from gpfn.http.loop.timing import BODY, HEAD, IDLE
from gpfn.http.reader import RequestReader

if TYPE_CHECKING:
    from gpfn.http.loop.server import LoopServer

__all__ = ["LoopConnection"]

_SMALL_BODY = 4096  # which is not counted among those in flight
_LARGE_BODY = 256 << 10  # bytes from which on a body is received into memory of its own
_INLINE = 64
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class LoopConnection(asyncio.Protocol):
    """A client's connection; the loop calls its methods.

    What :mod:`gpfn.http.loop.timing` looks at: ``phase`` is what is being read and ``since``
    when that began, by the server's clock, which ticks seldom; ``blocked`` says that the
    client does not read its answers, ``unsent`` how many bytes the last look found so.
    ``incoming`` is the body that is being read when it goes to a receiver, ``exchange`` what is
    being answered. ``closing`` says that its last answer was sent.
    """

    __slots__ = (
        "_continued", "_ended", "_fields", "_headers", "_held", "_paused", "_reader", "_running",
        "_straight", "blocked", "closing", "exchange", "incoming", "phase", "server", "since",
        "transport", "unsent",
    )  # fmt: skip

    def __init__(self, server: LoopServer) -> None:
        self.server = server
        self._reader = RequestReader(
            server.limits, large_body=_LARGE_BODY, stream=partial(server.stream, self)
        )
        self.incoming: IncomingBody | None = None
        self.exchange: Exchange | None = None
        self._headers: tuple[tuple[str, str], ...] | None = None
        self._fields = Fields()
        self._held = 0  # bytes of the budget for bodies
        self.unsent = 0
        self._straight = self._running = False  # a large body into its memory; requests taken
        self.blocked = self._paused = self._continued = False
        self.phase = IDLE
        self._ended = False  # whether the client has sent its last byte
        self.closing = False  # whether what comes is thrown away
        self.since = server.clock
        self.transport = cast("asyncio.Transport", None)

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered: it may be closed."""
        return not self.answering and not self._reader.in_request

    @property
    def answering(self) -> bool:
        """Whether a request is being answered, or its answer being sent."""
        return self.exchange is not None or self.transport.get_write_buffer_size() > 0

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Let go of everything; who still works on the answer is told by ``gone``."""
        if self.exchange is not None:
            self.exchange.gone = True
            self.exchange = None
        self.closing = True
        self._release()
        self._reader = RequestReader(self.server.limits)  # the old one may have half a body
        self.server.left(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.closing:
            return
        try:
            self._reader.feed(data)
        except GpfnError as error:
            self.refuse(error)
            return
        if self.exchange is None and not self.blocked:
            self._take_requests()
        else:
            self._pause()

    def body_received(self, *, complete: bool) -> None:
        """Hear from LargeBody that more of a body has come."""
        if complete:
            self._straight = False
            change_protocol(self.transport, self)
        try:
            self._hold(self._reader.held or self._held)
        except GpfnError as error:
            self.refuse(error)
            return
        self._take_requests()

    def eof_received(self) -> bool:
        """Answer what has come; a client may end its side before it reads the answer."""
        self._ended = True
        if self.closing:
            return False
        if self.exchange is None and not self.blocked:
            self._take_requests()
        return self.transport.get_extra_info("sslcontext") is None  # TLS knows no half

    def pause_writing(self) -> None:
        """Stop: the client does not read."""
        self.blocked = True
        self.unsent = 0
        self.since = self.server.clock

    def resume_writing(self) -> None:
        """Go on with what has come meanwhile."""
        self.blocked, self.since = False, self.server.clock
        if self.exchange is None and not self.closing:
            self.server.loop.call_soon(self._take_requests)  # closing in here confuses asyncio

    # requests

    def _take_requests(self) -> None:
        """Hand complete requests over, one after the other, as long as they are answered."""
        if self._running or self.closing:  # a handler that answers at once is called from here
            return
        self._running = True
        server, reader = self.server, self._reader
        taken = 0
        try:
            while self.exchange is None and not self.blocked and not self.closing:
                if taken == _INLINE:  # the others have waited long enough
                    server.loop.call_soon(self._take_requests)
                    self._pause()
                    return
                request = reader.next_request()
                if request is None:
                    self._wait_for_more()
                    return
                taken += 1
                self._begin(request)
                if not (reader.has_more or self.exchange or self._paused or self._ended):
                    return  # as nearly always: that was all, and it is answered
        except GpfnError as error:
            self.refuse(error)
        finally:
            self._running = False

    def _begin(self, request: Request) -> None:
        self._continued = False
        size = len(request.body)
        if size > _SMALL_BODY or self._held:
            self._hold(size)
        if request.headers is not self._headers:
            self._headers = request.headers
            self._fields = Fields.of(request.headers)
        fields = self._fields
        exchange = Exchange(self, request, fields, fields.id or self.server.next_id())
        self.exchange = exchange
        exchange.incoming, self.incoming = self.incoming, None
        if self._held:  # from here on as long as anybody has the exchange, and with it the body
            exchange.held, self._held = self._held, 0
        self.server.handle(exchange)

    def _wait_for_more(self) -> None:
        reader = self._reader
        if self._ended and not reader.in_request:
            self.close()
            return
        if self._ended:
            self.refuse(InvalidRequest("the connection ended inside a request"))
            return
        if self.incoming and self.incoming.full:
            self._pause()
        else:
            self._resume()
        phase = IDLE if not reader.in_request else BODY if reader.reading_body else HEAD
        if phase != self.phase or self.incoming:  # which has a limit of its own
            self.phase, self.since = phase, self.server.clock
        if phase == BODY:
            self._hold(reader.held)
            self._expect_body()
            if not self._straight and not self.closing and reader.body_space() is not None:
                self._straight = True
                change_protocol(self.transport, LargeBody(self, reader))

    def _expect_body(self) -> None:
        """Refuse a request that needs no body to be refused; let the client send it else."""
        reader = self._reader
        if (early := self.server.early(*reader.asked, reader.headers)) is not None:
            self._finish_with(early)
        elif reader.expects_continue and not self._continued:
            self._continued = True
            self.transport.write(_CONTINUE)

    def _hold(self, size: int) -> None:  # raises Overloaded when all bodies are too many
        self.server.budget.change(size - self._held)
        self._held = size

    def received(self, incoming: IncomingBody, error: GpfnError | None) -> None:
        """Hear that a body's receiver has taken what waited, or what it says against that."""
        if incoming is not self.incoming:
            return
        if error is not None:
            self.refuse(error)
        elif not incoming.full:
            self._resume()

    def _release(self) -> None:
        if self.incoming is not None:
            self.incoming.abandon()
            self.incoming = None
        if self._held:
            self.server.budget.free(self._held)
            self._held = 0

    # answers

    def send(self, exchange: Exchange, response: Response) -> None:
        """Send the answer to ``exchange``, then take the next request."""
        if exchange is not self.exchange:
            return  # the client has left, or it was answered
        last, body = self.ends_with(exchange), exchange.request.method != "HEAD"
        option = "close" if last else exchange.fields.connection
        self.server.responses.write(self.transport, response, exchange.id, option, body=body)
        self.sent(last=last)

    def ends_with(self, exchange: Exchange) -> bool:
        """Say whether the connection ends with the answer to a request."""
        more = self._reader.has_more or not self.server.stopping
        return not (more and exchange.request.keep_alive)

    def sent(self, *, last: bool) -> None:
        """Go on when an answer was written: take the next request, or close."""
        self.exchange = None
        self.phase, self.since = IDLE, self.server.clock
        if last:
            self.close()
        elif not self._running and (self._reader.has_more or self._paused or self._ended):
            self._take_requests()

    def refuse(self, error: GpfnError) -> None:
        """Answer a request that will not be complete; the connection ends with that."""
        if self.exchange is None and not (self.closing or self.transport.is_closing()):
            asked = self._reader.asked[1]  # else what was asked before is answered first
            self._finish_with(self.server.refuse(error, self._reader.headers, asked))

    def _finish_with(self, response: Response) -> None:
        body = not self._reader.reading_body or self._reader.asked[0] != "HEAD"
        self._release()
        self._reader = RequestReader(self.server.limits)  # and with the old one a body's memory
        responses, call_id = self.server.responses, self.server.next_id()
        responses.write(self.transport, response, call_id, "close", body=body)
        self.close()

    def close(self, *, unread: bool = True) -> None:
        """Close after what was written.

        Closing with unread bytes would reset the connection, and the answer be lost. So
        where some may come, only our side ends, and they are thrown away for a while.
        """
        self.closing = True
        self.since = self.server.clock
        if self._ended or not unread or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._resume()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
