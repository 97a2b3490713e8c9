"""uvicorn's HTTP/1.1 protocol with what it lacks: bounds on a request's head.

uvicorn's parser keeps a head of any size and waits for it for ever, and answers what is
no HTTP in plain text.
"""

import asyncio
from typing import Any, ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gpfn.errors import GpfnError, InvalidRequest, error_document
from gpfn.http.writer import response_head
from gpfn.limits import Limits
from gpfn.media import PROBLEM

__all__ = ["BoundedProtocol"]


_LINGER_SECONDS = 2.0


class _HeadTooLarge(Exception):
    """The head is over a limit."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large or too slow, with an error document."""

    limits: ClassVar[Limits] = Limits()
    """``header_bytes`` and ``headers`` are used."""
    head_seconds: ClassVar[float] = 10.0
    """Seconds for the head of a request, counted from connecting or from its first byte."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head = True
        self._fed = 0  # bytes that the parser was given while the head was not complete
        self._size = 0  # bytes of the head's parts that the parser has given back
        self._lines = 0
        self._refusal: GpfnError | None = None
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse a head that goes on after more bytes than it may have."""
        if self._refused or self.transport.is_closing():
            return
        self._fed += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._fed > self.limits.header_bytes:
            self._refuse(self._too_large("bytes", "header_bytes"))

    def on_message_begin(self) -> None:
        """Count a new head from zero."""
        super().on_message_begin()
        self._in_head = True
        self._size = self._lines = 0
        if self._timer is None:
            self._start_clock()

    def on_url(self, url: bytes) -> None:
        """Count the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a line: its two parts, the colon, the space and the line's end."""
        self._lines += 1
        if self._lines > self.limits.headers:
            self._refusal = self._too_large("lines", "headers")
            raise _HeadTooLarge
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: stop counting, and stop the clock."""
        self._in_head = False
        self._fed = 0
        self._stop_clock()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is no HTTP, or that a count here has stopped."""
        self._refuse(self._refusal or InvalidRequest(msg))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self.limits.header_bytes:
            self._refusal = self._too_large("bytes", "header_bytes")
            raise _HeadTooLarge

    def _too_large(self, noun: str, limit: str) -> GpfnError:
        bound = getattr(self.limits, limit)
        detail = f"more than {bound} {noun}; GPFN_MAX_{limit.upper()} sets this"
        return InvalidRequest(detail, field="headers", status=431)

    def _start_clock(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if not self._fed:  # connected and said nothing: nothing to answer
            self.transport.close()
            return
        detail = f"the head did not arrive within {self.head_seconds:g} s"
        self._refuse(InvalidRequest(detail, field="headers", status=408))

    def _refuse(self, error: GpfnError) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_clock()
        if not self._may_answer():
            return
        body = orjson.dumps(error_document(error))
        head = response_head(error.status, [("content-type", PROBLEM)], len(body), close=True)
        self.transport.write(head + body)
        # Closing while the client still sends would reset the connection and lose our reply:
        # end our side only, drop what comes, close when the client does or after a while.
        self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _may_answer(self) -> bool:
        """Say whether a refusal can be written now; if not, let the connection end."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        if not cycle.more_body:  # an earlier request is being answered: that comes first
            cycle.keep_alive = False
            return False
        cycle.disconnected = True  # this request's body is broken: nothing more will come of it
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.close()
        return not cycle.response_started
