"""One request to the loop server, and the one answer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gpfn.http.head import Request
from gpfn.log import trace_id
from gpfn.traceparent import traceparent

if TYPE_CHECKING:
    from gpfn.errors import GpfnError
    from gpfn.http.loop.connection import LoopConnection
    from gpfn.http.loop.incoming import BodyReceiver, IncomingBody
    from gpfn.http.loop.streaming import Streamed, StreamSource
    from gpfn.scope import Took

__all__ = [
    "Exchange",
    "Fields",
    "Handler",
    "Headers",
    "RequestSpan",
    "Response",
    "is_request_id",
]

Headers = tuple[tuple[str, str], ...]

_OF_THE_BODY = ("content-encoding", "content-length", "content-type")
_LONGEST_ID = 128


class Response(NamedTuple):
    """An answer: its body in pieces, its headers without those that frame it.

    ``own`` are headers that no other answer has so, such as an id: they stand behind the others,
    which are written faster when they have been written before.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    buffers: Sequence[bytes | memoryview]
    own: tuple[tuple[str, str], ...] = ()


class Fields(NamedTuple):
    """What a request's headers say, looked up once for all requests with the same head.

    ``by_name`` has the first of those that are repeated; ``others`` are all that do not say
    how the body is to be read; ``id`` is the caller's X-Request-Id if it can stand in a log,
    ``trace`` the W3C trace id if there is a valid one, otherwise "". ``connection`` is
    "keep-alive" when the client asks for that, which one of HTTP/1.0 wants to be told.
    """

    by_name: Mapping[str, str] = {}
    others: tuple[tuple[str, str], ...] = ()
    id: str = ""
    trace: str = ""
    connection: str = ""

    @classmethod
    def of(cls, headers: tuple[tuple[str, str], ...]) -> Fields:
        """Return the fields of header lines."""
        by_name = dict(reversed(headers))
        given = by_name.get("x-request-id", "")
        others = tuple(pair for pair in headers if pair[0] not in _OF_THE_BODY)
        call_id = given if is_request_id(given) else ""
        kept = "keep-alive" if "keep-alive" in by_name.get("connection", "").lower() else ""
        return cls(by_name, others, call_id, trace_id(headers), kept)


class RequestSpan(Protocol):
    """The span of a request that is traced."""

    @property
    def traceparent(self) -> str:
        """What names it as the parent of other spans."""


class Exchange:
    """One request and the one answer to it.

    ``id`` is the caller's or one of ours, and goes back with the answer. ``began`` is when
    the request was complete, by time.monotonic(). ``gone`` says that the client has left:
    nobody will read the answer. ``held`` are the bytes that its body has of the budget, as
    long as anybody works on it. ``incoming`` is its body when that went to a receiver, until
    somebody has taken over what the receiver has. ``span`` is that of a request that is traced,
    ``timings`` are the times of one whose caller wants to know them, ``hops`` how many servers
    have sent it on.
    """

    __slots__ = (
        "began", "connection", "fields", "gone", "held", "hops", "id", "incoming", "request",
        "span", "timings",
    )  # fmt: skip

    def __init__(
        self, connection: LoopConnection, request: Request, fields: Fields, call_id: str
    ) -> None:
        self.connection = connection
        self.request = request
        self.fields = fields
        self.id = call_id
        self.began = monotonic()
        self.gone = False
        self.held = 0
        self.incoming: IncomingBody | None = None
        self.span: RequestSpan | None = None
        self.timings: list[Took] | None = None
        self.hops = 0

    @property
    def traceparent(self) -> str:
        """What requests to other servers are to name as their parent; nothing without a trace."""
        if self.span is not None:
            return self.span.traceparent
        return traceparent(self.request.headers) if self.fields.trace else ""

    def __del__(self) -> None:
        if self.held:
            self.connection.server.budget.free(self.held)

    def answer(self, response: Response) -> None:
        """Send the answer; on the loop's thread. Only the first one is sent.

        What has come of a body that nobody has taken over is removed. Raises ValueError, and
        sends nothing, for a header that may not be one.
        """
        if self.incoming is not None:
            self.incoming.abandon()
            self.incoming = None
        self.connection.send(self, response)

    def stream(
        self, status: int, headers: Headers, source: StreamSource, *, endless: bool = False
    ) -> Streamed:
        """Answer with a body that comes in pieces; on the loop's thread, in place of `answer`.

        Returns what they are written to; ``source`` is told when the client has read, and when
        it has left. Raises ValueError, and sends nothing, for a header that may not be one.
        """
        from gpfn.http.loop.streaming import open_stream

        if self.incoming is not None:
            self.incoming.abandon()
            self.incoming = None
        return open_stream(self, status, headers, source, endless=endless)


class Handler(Protocol):
    """What answers the requests of a loop server; all methods are called on its thread."""

    def handle(self, exchange: Exchange) -> None:
        """Answer a request now or later with ``exchange.answer``; never raises."""

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        """Return the answer to a request whose body need not be waited for, or None."""

    def receiver(self, method: str, target: str, headers: Headers) -> BodyReceiver | None:
        """Return what takes a request's body piece by piece, None when it is to be in memory.

        Raises what is wrong with the request, which is refused then.
        """

    def vital(self, exchange: Exchange) -> Response | None:
        """Return the answer to a request that is answered even in a full house: health."""

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:
        """Return the answer to a request that is broken, as far as it has come."""


def is_request_id(text: str) -> bool:
    """Say whether a caller's X-Request-Id can stand in a log: visible ASCII, not too long."""
    return (
        0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() and " " not in text
    )
