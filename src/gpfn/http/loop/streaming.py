"""An answer whose body comes in pieces: its head at once, the rest as it happens.

While it is sent, it has the connection's place at the transport, as `LargeBody` has for a body
that comes: an ordinary answer pays nothing for that. Its pieces are chunks (RFC 9112, 7.1); for
a client of HTTP/1.0 they are sent as they are, and the end of the connection is theirs.

It is the caller who waits for a client that reads slowly: what is written is either sent, or in
a buffer with a bound, and who writes beyond that loses the connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpfn.http.loop.connection import LoopConnection
    from gpfn.http.loop.exchange import Exchange, Headers

__all__ = ["MOST_UNSENT", "StreamSource", "Streamed", "open_stream"]

MOST_UNSENT = 1 << 20
"""Bytes of a stream that wait to be sent; who has so many and writes on is behind for good."""

_JOINED = 64 << 10


class StreamSource(Protocol):
    """What writes a stream; told of it on the loop's thread."""

    def more(self) -> None:
        """Hear that the client has read: it may be written again after it was `Streamed.full`."""

    def ended(self) -> None:
        """Hear, once, that nothing more can be written; not after `Streamed.end`."""


class Streamed(asyncio.Protocol):
    """A stream to one client, made by `Exchange.stream`; all on the loop's thread."""

    def __init__(
        self,
        connection: LoopConnection,
        source: StreamSource,
        *,
        chunked: bool,
        last: bool,
        endless: bool,
    ) -> None:
        """``last`` says that the connection ends with it, ``endless`` that it does not end itself.

        An endless one is ended when the server is to stop, and when the client has ended its side.
        """
        self._connection = connection
        self._source = source
        self._chunked = chunked
        self._last = last
        self.endless = endless
        self.over = False

    @property
    def full(self) -> bool:
        """Whether the client is behind; it is to be waited for with `StreamSource.more`."""
        return self._connection.blocked

    def begin(self) -> None:
        """Take the connection's place."""
        self._connection.transport.set_protocol(self)
        self._connection.server.streams.add(self)

    def write(self, piece: bytes) -> bool:
        """Send a piece; returns whether the stream goes on. One of no bytes is no piece."""
        transport = self._connection.transport
        if self.over or not piece:
            return not self.over
        waiting = transport.get_write_buffer_size()
        if waiting > MOST_UNSENT:
            transport.abort()
            self._finish(told=True)
            return False
        if not waiting:  # what comes now has all the time that an answer has
            self._connection.unsent = 0
            self._connection.since = self._connection.server.clock
        for part in self._framed(piece):
            transport.write(part)
        return True

    def end(self) -> None:
        """Send what ends the body; the next request is taken then."""
        if not self.over:
            self._finish(told=False)
            if self._chunked:
                self._connection.transport.write(b"0\r\n\r\n")
            self._connection.transport.set_protocol(self._connection)
            self._connection.sent(last=self._last)

    def stop(self) -> None:
        """End it, and tell the source: nobody waits for the rest, or the server stops."""
        if not self.over:
            self.end()
            self._source.ended()

    def _framed(self, piece: bytes) -> tuple[bytes, ...]:
        if not self._chunked:
            return (piece,)
        size = b"%x\r\n" % len(piece)
        if len(piece) <= _JOINED:
            return (b"%b%b\r\n" % (size, piece),)
        return size, piece, b"\r\n"

    def _finish(self, *, told: bool) -> None:
        if not self.over:
            self.over = True
            self._connection.server.streams.discard(self)
            if told:
                self._source.ended()

    # what asyncio calls

    def data_received(self, data: bytes) -> None:
        """Keep what is asked next for later."""
        self._connection.data_received(data)

    def eof_received(self) -> bool:
        """End what has no end; who asked for anything else may still read it."""
        keep = self._connection.eof_received()
        if self.endless:
            self._connection.server.loop.call_soon(self.stop)
        return keep

    def pause_writing(self) -> None:
        """Tell the connection, whose time-out it is."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Tell the connection and, not in here, the source."""
        self._connection.resume_writing()
        self._connection.server.loop.call_soon(self._more)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell both."""
        self._finish(told=True)
        self._connection.connection_lost(exc)

    def _more(self) -> None:
        if not (self.over or self.full):
            self._source.more()


def open_stream(
    exchange: Exchange, status: int, headers: Headers, source: StreamSource, *, endless: bool
) -> Streamed:
    """Send the head of an answer and return what its body is written to; see `Exchange.stream`."""
    connection, request = exchange.connection, exchange.request
    chunked, last = request.modern, connection.ends_with(exchange) or not request.modern
    streamed = Streamed(connection, source, chunked=chunked, last=last, endless=endless)
    server = connection.server
    if exchange is not connection.exchange:
        streamed.over = True
        server.loop.call_soon(source.ended)
        return streamed
    option = "close" if last else exchange.fields.connection
    server.responses.begin(
        connection.transport, status, headers, exchange.id, option, chunked=chunked
    )
    streamed.begin()
    if request.method == "HEAD":  # which has no body, not even the end of one
        streamed._chunked = False
        server.loop.call_soon(streamed.stop)
    elif endless and server.stopping:
        server.loop.call_soon(streamed.stop)
    return streamed
