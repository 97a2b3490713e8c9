"""One connection of the loop's client, which carries one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from gpfn.errors import BackendError, BackendTimeout, BrokenReply, TooLarge
from gpfn.http.pending import told_size
from gpfn.http.response import Closed, HttpResponse, read_response

if TYPE_CHECKING:
    from gpfn.http.connection import Connection

__all__ = ["Done", "KeptConnection", "PendingRequest", "reason"]

Done: TypeAlias = Callable[[HttpResponse | BackendError | TooLarge], None]

_BROKEN = frozenset((500, 502, 504))
"""After these a connection is not kept: a server that failed may close it unannounced."""
_MOST_HEAD = 1 << 17
"""Bytes beside the body that may come before they have to be a head."""


class _Client(Protocol):
    """Who has the connections of a server."""

    limit: int
    """Most bytes of a response's body."""

    def opened(self, connection: KeptConnection) -> None:
        """Count a connection."""

    def gone(self, connection: KeptConnection) -> None:
        """Forget a connection."""

    def free(self, connection: KeptConnection) -> None:
        """Take a connection back that can carry another request."""

    def told(self, error: Exception) -> BackendError | TooLarge:
        """Return a failure as an error that names the server."""


class PendingRequest:
    """A request under way: what is sent, until when, and whom to tell."""

    __slots__ = ("begun", "body", "done", "head", "late_at")

    def __init__(self, head: bytes, body: bytes | memoryview, seconds: float, done: Done) -> None:
        self.head = head
        self.body = body
        self.begun = monotonic()
        self.late_at = self.begun + seconds
        self.done = done


class KeptConnection(asyncio.Protocol):
    """The connection as the loop sees it."""

    __slots__ = ("_client", "_data", "_needed", "_request", "_transport", "idle_since")

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._data = b""
        self._needed = 0
        self._request: PendingRequest | None = None
        self._transport: asyncio.Transport | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._client.opened(self)

    def begin(self, request: PendingRequest) -> None:
        """Send a request, whose response comes next."""
        assert self._transport is not None, "connected before it is used"  # noqa: S101
        self._request, self._data, self._needed = request, b"", 0
        body = request.body
        head = b"%b\r\nContent-Length: %d\r\n\r\n" % (request.head, len(body))
        if len(body) < _MOST_HEAD:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def data_received(self, data: bytes) -> None:
        """Some of a response came."""
        if self._request is None:  # nothing was asked
            self.abort()
            return
        self._data = self._data + data if self._data else data
        if len(self._data) > self._client.limit + _MOST_HEAD:
            self._fail(TooLarge(f"a body of more than {self._client.limit} bytes"))
        elif len(self._data) >= self._needed:
            self._read(ended=False)

    def eof_received(self) -> None:
        """Nothing more will come."""
        if self._request is not None:
            self._read(ended=True)

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed, whoever did that."""
        self._client.gone(self)
        if self._request is not None:
            text = reason(error) if isinstance(error, OSError) else "closed without a reply"
            self._fail(BrokenReply(f"the connection broke: {text}"))

    def _read(self, *, ended: bool) -> None:
        """Read the response, if all of it is there; ``ended``: nothing more will come."""
        try:
            response = read_response(
                cast("Connection", _Came(self._data, ended)), self._client.limit
            )
        except _NotAll:
            self._needed = told_size(self._data, self._client.limit + _MOST_HEAD)
        except Closed:
            self._fail(BrokenReply("it closed the connection without a reply"))
        except (BackendError, TooLarge) as error:
            self._fail(error)
        else:
            self._finish(response)

    def _finish(self, response: HttpResponse) -> None:
        request, self._request, self._data = self._request, None, b""
        assert request is not None, "a response is read for a request"  # noqa: S101
        if response.reusable and response.status not in _BROKEN and not self.is_closing():
            self._client.free(self)
        else:
            self.abort()
        request.done(response)

    def _fail(self, error: Exception) -> None:
        request, self._request, self._data = self._request, None, b""
        self.abort()
        if request is not None:
            request.done(self._client.told(error))

    def look(self, now: float) -> None:
        """End the request when its time is up."""
        request = self._request
        if request is not None and request.late_at <= now:
            self._fail(BackendTimeout(f"no answer within {now - request.begun:.3g} s"))

    def is_closing(self) -> bool:
        """Say whether it can carry nothing more."""
        return self._transport is None or self._transport.is_closing()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()


class _NotAll(Exception):
    """More of the response has to come."""


class _Came:
    """What has come, in the place of a connection that the reader waits on."""

    __slots__ = ("_data", "_ended")

    def __init__(self, data: bytes, ended: bool) -> None:
        self._data = data
        self._ended = ended

    def receive(self) -> bytes:
        """Return what has come, and then that there is no more or not yet."""
        data, self._data = self._data, b""
        if not data and not self._ended:
            raise _NotAll
        return data

    def receive_into(self, _space: memoryview) -> int:
        """Receive nothing: all that has come was returned before."""
        if not self._ended:
            raise _NotAll
        return 0


def reason(error: OSError) -> str:
    """Say why a connection failed."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if hasattr(error, "reason"):  # an ssl.SSLError
        from gpfn.http.connection import tls_reason

        return f"TLS: {tls_reason(error)}"
    return error.strerror or str(error) or type(error).__name__
