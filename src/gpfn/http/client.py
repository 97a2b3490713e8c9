"""Requests to one server and their responses, over connections that are kept open.

A request is sent a second time only when the first cannot have been computed: the
connection was refused, or a kept connection was found closed before a byte of the response.
"""

import time
from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING

from gpfn.deadline import Deadline
from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, TooLarge
from gpfn.http.address import Address, request_head
from gpfn.http.connection import Connection, connect
from gpfn.http.response import Closed, HttpResponse, read_response
from gpfn.scope import SCOPE, TIMINGS_LINE, CallScope
from gpfn.traceparent import parent_line

if TYPE_CHECKING:
    import ssl

__all__ = ["HttpClient"]

_MOST_KEPT = 16
_SHORTEST_TIME, _LONGEST_TIME = 0.001, 86400.0
"""Seconds that a server is told of: less is no time, and nobody waits longer for an answer."""
_PAUSE = 0.1
"""Seconds between two attempts to connect: a server may be about to listen."""


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
        self._kept: list[Connection] = []  # append and pop are atomic
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
        shown = self._address.shown
        try:
            return self._send(head, buffers, deadline)
        except TimeoutError:
            seconds = time.monotonic() - begun
            raise BackendTimeout(f"{shown}: no answer within {seconds:.3g} s") from None
        except BackendError as error:
            raise type(error)(f"{shown}: {error.detail}") from error.__cause__
        except TooLarge as error:
            raise BrokenReply(f"{shown}: {error.detail}") from error.__cause__
        except Closed as error:
            raise BrokenReply(f"{shown}: it closed the connection without a reply") from error
        except OSError as error:
            detail = error.strerror or type(error).__name__
            raise BrokenReply(f"{shown}: the connection broke: {detail}") from error

    def _send(
        self, head: bytes, buffers: Sequence[bytes | memoryview], deadline: Deadline
    ) -> HttpResponse:
        length = b"\r\nContent-Length: %d" % sum(map(len, buffers)) if buffers else b""
        scope = SCOPE.get()
        more = parent_line() + _time_line(deadline)
        if scope is not None and scope.timings is not None:
            more += TIMINGS_LINE
        message = [head + length + more + b"\r\n\r\n", *buffers]
        connection = self._reuse()
        if connection is None:
            return self._talk(self._connect(deadline, attempts=2), message, deadline)
        try:
            return self._talk(connection, message, deadline)
        except Closed:
            if scope is not None and scope.cancelled:  # it was closed by us
                raise
            return self._talk(self._connect(deadline, attempts=1), message, deadline)

    def _talk(
        self, connection: Connection, message: Sequence[bytes | memoryview], deadline: Deadline
    ) -> HttpResponse:
        connection.deadline = deadline
        scope = SCOPE.get()
        if scope is not None:
            scope.watch(connection.abort)
        try:
            sent = _sent(connection, message)
            reply = read_response(connection, self._limit)
        except BaseException:
            connection.reset()
            raise
        finally:
            if scope is not None:
                scope.forget(connection.abort)
        if scope is not None:
            _note(scope, reply)
        if sent and reply.reusable and len(self._kept) < _MOST_KEPT:
            self._kept.append(connection)
        else:
            connection.close()
        return reply

    def _reuse(self) -> Connection | None:
        """Return a connection that was kept and is still open."""
        while (connection := self._pop()) is not None:
            if connection.usable():
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
        while (connection := self._pop()) is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _pop(self) -> Connection | None:
        try:
            return self._kept.pop()
        except IndexError:
            return None


def _time_line(deadline: Deadline) -> bytes:
    """Return the line that tells how long somebody waits for the answer.

    It is rounded down to three digits, so that most requests of a client have the same head:
    a server reads one that it knows in no time.
    """
    left = deadline.at - time.monotonic()
    if not _SHORTEST_TIME <= left < _LONGEST_TIME:
        return b""
    digits = 3 if left < 1 else 2 if left < 10 else 1 if left < 100 else 0
    return b"\r\nX-Timeout: %.*f" % (digits, floor(left * 10**digits) / 10**digits)


def _note(scope: CallScope, reply: HttpResponse) -> None:
    told = reply.headers.get("server-timing")
    if told:
        scope.note_told(told)


def _sent(connection: Connection, message: Sequence[bytes | memoryview]) -> bool:
    """Send all of it, or as much as the server takes: it may have answered and closed."""
    try:
        connection.send(message)
    except ConnectionError:
        return False
    return True
