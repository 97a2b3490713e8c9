"""Requests to one server and their responses, over connections that are kept open.

A request is sent once: a server that took it and ends may have computed it. A second connection
is only made for one of which nothing was sent, because the first was refused or found closed.
"""

import time
from collections.abc import Sequence
from functools import partial
from math import floor
from typing import TYPE_CHECKING

from gpfn.deadline import Deadline
from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, TooLarge
from gpfn.http.address import Address, request_head
from gpfn.http.connection import Connection, connect
from gpfn.http.pending import Pending
from gpfn.http.response import Closed, HttpResponse, read_response
from gpfn.scope import SCOPE, CallScope
from gpfn.traceparent import parent_line

if TYPE_CHECKING:
    import ssl

__all__ = ["HttpClient"]

_FAILURES = (BackendError, TooLarge, Closed, OSError)
_MOST_KEPT = 16
_KEPT_SECONDS = 4.0
"""How long a connection is kept: less than any usual server waits for another request."""
_SMALL = 16 << 10
"""Bytes that a connection takes at once when nothing else is being sent over it."""
_SHORTEST_TIME, _LONGEST_TIME = 0.001, 86400.0
"""Seconds that a server is told of: less is no time, and nobody waits longer for an answer."""
_PAUSE = 0.1
"""Seconds between two attempts to connect: a server may be about to listen."""
_BROKEN = frozenset((500, 502, 504))
"""After these a connection is not kept: a server that failed may close it unannounced."""


class HttpClient:
    """A client of one server, and its idle connections; threads may share it.

    Args:
        address: The server; a request goes to its target unless another one is named.
        proxy: Through which it is reached, if through one.
        headers: More header lines for every request, checked by the caller.
        connect_timeout: Seconds for connecting, names and TLS included.
        limit: Most bytes of a response's body.
        context: For https; the system's certificates when there is none.
    """

    def __init__(
        self,
        address: Address,
        *,
        proxy: Address | None = None,
        headers: Sequence[tuple[str, str]] = (),
        connect_timeout: float,
        limit: int,
        context: "ssl.SSLContext | None" = None,
    ) -> None:
        self._kept: list[tuple[Connection, float]] = []  # append and pop are atomic
        self._address = address
        self._proxy = proxy
        self._connect_timeout = connect_timeout
        self._limit = limit
        self._context = context
        self._headers = tuple(headers)
        self._head = self.head("POST", address.target)

    def head(self, method: str, target: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """Return the head of requests for another target of the server, for :meth:`send`.

        ``target`` and ``headers``, which come behind those of every request, are checked by
        the caller.
        """
        address = self._address._replace(target=target)
        return request_head(method, address, self._proxy, (*self._headers, *headers))

    def post(self, buffers: Sequence[bytes | memoryview], deadline: Deadline) -> HttpResponse:
        """Send a body to the client's target; see :meth:`send`."""
        return self.send(self._head, buffers, deadline)

    def send(
        self, head: bytes, buffers: Sequence[bytes | memoryview], deadline: Deadline
    ) -> HttpResponse:
        """Send a request and return the response to it, whatever its status.

        Args:
            head: What :meth:`head` returns, perhaps with more lines behind it, each with a
                line end before it.
            buffers: The body in pieces; they are sent from where they lie, not copied. A
                request without a body has none.
            deadline: For connecting, sending and receiving together.

        Raises:
            CannotConnect: Nothing listens there, or a proxy or TLS failed.
            BackendTimeout: The deadline passed.
            BrokenReply: What came is not HTTP, or not all of it came.

        Each message names the server.
        """
        begun = time.monotonic()
        try:
            return self._send(self._message(head, buffers, deadline), deadline)
        except _FAILURES as error:
            raise self._told(error, begun) from _cause(error)

    def begin(
        self, buffers: Sequence[bytes | memoryview], deadline: Deadline
    ) -> Pending[HttpResponse] | None:
        """Send a small body to the client's target; None, and nothing is sent, for another.

        Raises as :meth:`send` does when it cannot connect.
        """
        encrypted = self._address.scheme == "https"
        if sum(map(len, buffers)) > _SMALL or encrypted or deadline.expired():
            return None
        begun, connection = time.monotonic(), self._reuse()
        try:
            connection = connection or self._connect(deadline, attempts=2)
        except _FAILURES as error:
            raise self._told(error, begun) from _cause(error)
        connection.deadline = deadline
        if not _sent(connection, self._message(self._head, buffers, deadline)):
            connection.close()
            return None
        scope = SCOPE.get()
        if scope is not None:
            scope.watch(connection.abort)
        finish = partial(self._finish, connection, scope, begun)
        return Pending(connection, finish)

    def _finish(
        self, connection: Connection, scope: CallScope | None, begun: float
    ) -> HttpResponse:
        """Return the response to a request that was begun; raises as :meth:`send` does."""
        try:
            if scope is not None:
                scope.forget(connection.abort)
            return self._receive(connection, scope)
        except _FAILURES as error:
            raise self._told(error, begun) from _cause(error)

    def _told(self, error: Exception, begun: float) -> BackendError:
        """Return a failure as an error that names the server."""
        shown = self._address.shown
        if isinstance(error, TimeoutError):
            return BackendTimeout(f"{shown}: no answer within {time.monotonic() - begun:.3g} s")
        if isinstance(error, BackendError):
            return type(error)(f"{shown}: {error.detail}")
        if isinstance(error, TooLarge):
            return BrokenReply(f"{shown}: {error.detail}")
        if isinstance(error, Closed):
            return BrokenReply(f"{shown}: it closed the connection without a reply")
        detail = getattr(error, "strerror", None) or type(error).__name__
        return BrokenReply(f"{shown}: the connection broke: {detail}")

    def _message(
        self, head: bytes, buffers: Sequence[bytes | memoryview], deadline: Deadline
    ) -> list[bytes | memoryview]:
        length = b"\r\nContent-Length: %d" % sum(map(len, buffers)) if buffers else b""
        scope = SCOPE.get()
        more = parent_line() + _time_line(deadline)
        if scope is not None:
            more += scope.lines
        return [head + length + more + b"\r\n\r\n", *buffers]

    def _send(self, message: Sequence[bytes | memoryview], deadline: Deadline) -> HttpResponse:
        scope = SCOPE.get()
        if scope is not None:
            scope.check()
        connection = self._reuse()
        if connection is not None:
            connection.deadline = deadline
            if _sent(connection, message):
                return self._receive(connection, scope)
            connection.close()
            if sum(map(len, message)) > _SMALL:  # some of it may have come, and be computed
                raise Closed("the kept connection was closed")
        connection = self._connect(deadline, attempts=1 if connection else 2)
        connection.deadline = deadline
        return self._receive(connection, scope, sent=_sent(connection, message))

    def _receive(
        self, connection: Connection, scope: CallScope | None, *, sent: bool = True
    ) -> HttpResponse:
        """Return the response; the request is never sent again: it may be computed already."""
        try:
            if scope is not None:
                scope.watch(connection.abort)
            reply = read_response(connection, self._limit)
        except BaseException:
            connection.reset()
            raise
        finally:
            if scope is not None:
                scope.forget(connection.abort)
        if scope is not None and scope.timings is not None:
            scope.note_told(reply.headers.get("server-timing", ""))
        kept = sent and reply.reusable and reply.status not in _BROKEN
        if kept and len(self._kept) < _MOST_KEPT:
            self._kept.append((connection, time.monotonic()))
        else:
            connection.close()
        return reply

    def _reuse(self) -> Connection | None:
        """Return a connection that was kept not long ago and is still open."""
        while (kept := self._pop()) is not None:
            connection, since = kept
            if time.monotonic() - since < _KEPT_SECONDS and connection.usable():
                return connection
            connection.close()
        return None

    def _connect(self, deadline: Deadline, attempts: int) -> Connection:
        begun = time.monotonic()
        until = deadline.earlier(Deadline.after(self._connect_timeout))
        try:
            while True:
                attempts -= 1
                try:
                    return connect(self._address, self._proxy, self._context, until)
                except ConnectionRefusedError as error:
                    if not attempts or until.remaining() < 2 * _PAUSE:
                        raise CannotConnect(self._refusal()) from error
                    time.sleep(_PAUSE)
        except TimeoutError:
            seconds = time.monotonic() - begun
            raise BackendTimeout(f"no connection within {seconds:.3g} s") from None

    def _refusal(self) -> str:
        if self._proxy is None:
            return "connection refused: nothing listens there"
        return f"connection refused by the proxy {self._proxy.shown}"

    def close(self) -> None:
        """Close the idle connections; the next request opens a new one."""
        while (kept := self._pop()) is not None:
            kept[0].close()

    def __del__(self) -> None:
        self.close()

    def _pop(self) -> tuple[Connection, float] | None:
        try:
            return self._kept.pop()
        except IndexError:
            return None


def _cause(error: BaseException) -> BaseException | None:
    """Return what a told failure is raised from: time is up for no reason that has a trace."""
    if isinstance(error, TimeoutError):
        return None
    return error.__cause__ if isinstance(error, BackendError | TooLarge) else error


def _time_line(deadline: Deadline) -> bytes:
    """Return the line that tells how long somebody waits for the answer.

    It is rounded down to three digits, so that most requests of a client have the same head:
    a server reads one that it knows in no time.
    """
    left = deadline.at - time.monotonic()
    if left >= _LONGEST_TIME:
        return b""
    left = max(left, _SHORTEST_TIME)
    digits = 3 if left < 1 else 2 if left < 10 else 1 if left < 100 else 0
    return b"\r\nX-Timeout: %.*f" % (digits, floor(left * 10**digits) / 10**digits)


def _sent(connection: Connection, message: Sequence[bytes | memoryview]) -> bool:
    """Send all of it, or as much as the server takes: it may have answered and closed."""
    try:
        connection.send(message)
    except ConnectionError:
        return False
    return True
