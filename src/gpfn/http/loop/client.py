"""Requests to one server from an event loop, many at a time, over connections that are kept.

The sibling of :mod:`gpfn.http.client` for who must not wait in a thread. It tells a callback
what came, because a task for each request would cost as much as the request. Responses are
read by the same reader: what has come is read again from its beginning when it was not all of
it, which small responses never are, and large ones are not read before their length is there.
A request is sent once: a server that took it and ends may have computed it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.errors import BackendError, BrokenReply, CannotConnect, TooLarge
from gpfn.http.address import Address
from gpfn.http.loop.client_connection import Done, KeptConnection, PendingRequest, reason

if TYPE_CHECKING:
    import ssl

__all__ = ["LoopClient"]

_KEPT_SECONDS = 4.0
"""How long a connection is kept: less than any usual server waits for another request."""
_LOOK_SECONDS = 0.05
"""How often it is looked for requests whose time is up."""


class LoopClient:
    """A client of one server; everything of it is for the loop's thread.

    Args:
        address: The server.
        connections: Most connections at a time; more requests than that wait for one.
        limit: Most bytes of a response's body.
        connect_seconds: How long connecting may take, TLS included.
        context: For https; the system's certificates when there is none.
    """

    def __init__(
        self,
        address: Address,
        *,
        connections: int = 64,
        limit: int,
        connect_seconds: float = 5.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.limit = limit
        self._most = connections
        self._connect_seconds = connect_seconds
        self._context = context
        self._idle: list[KeptConnection] = []
        self._open: set[KeptConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[PendingRequest] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._closed = False

    def send(self, head: bytes, body: bytes | memoryview, seconds: float, done: Done) -> None:
        """Send a request; ``done`` is called once, with its response or with what went wrong.

        ``head`` has neither Content-Length nor its end. ``done`` gets a BackendError that names
        the server: CannotConnect when nothing was sent, BackendTimeout after ``seconds``,
        BrokenReply when what came is not HTTP or not all of it came, TooLarge over the limit.
        """
        request = PendingRequest(head, body, seconds, done)
        connection = self._reuse()
        if connection is not None:
            connection.begin(request)
        else:
            self._waiting.append(request)
            self._connect()
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_round)

    def close(self) -> None:
        """Close every connection; requests under way are told that they broke."""
        self._closed = True
        for task in self._connecting:
            task.cancel()
        for connection in [*self._open]:
            connection.abort()
        self._refuse(CannotConnect("the client was closed"))

    def _reuse(self) -> KeptConnection | None:
        oldest = monotonic() - _KEPT_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest and not connection.is_closing():
                return connection
            connection.abort()
        return None

    def _connect(self) -> None:
        """Open a connection more, unless enough are being opened for those who wait."""
        under_way = len(self._connecting)
        if len(self._open) + under_way < self._most and under_way < len(self._waiting):
            task = asyncio.get_running_loop().create_task(self._connected())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connected(self) -> None:
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await self._make()
        except TimeoutError:
            self._refuse(CannotConnect(f"no connection within {self._connect_seconds:g} s"))
        except OSError as error:
            self._refuse(CannotConnect(reason(error)))
        else:
            self.free(connection)

    async def _make(self) -> KeptConnection:
        address, context = self.address, self._context
        if address.scheme == "https" and context is None:
            import ssl

            context = self._context = ssl.create_default_context()
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: KeptConnection(self),
            address.host,
            address.port,
            ssl=context if address.scheme == "https" else None,
        )
        return protocol

    def _refuse(self, error: BackendError) -> None:
        """Tell those who wait for a connection that there is none."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.done(self.told(error))

    def free(self, connection: KeptConnection) -> None:
        """Give a connection that can carry a request to who waits for one, or keep it."""
        if self._waiting and not self._closed:
            connection.begin(self._waiting.popleft())
        elif self._closed:
            connection.abort()
        else:
            connection.idle_since = monotonic()
            self._idle.append(connection)

    def opened(self, connection: KeptConnection) -> None:
        """Count a connection."""
        self._open.add(connection)

    def gone(self, connection: KeptConnection) -> None:
        """Forget a connection, and open another one for who waits."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and not self._closed:
            self._connect()

    def told(self, error: Exception) -> BackendError | TooLarge:
        """Return a failure as an error that names the server."""
        kind = type(error) if isinstance(error, BackendError | TooLarge) else BrokenReply
        return kind(f"{self.address.shown}: {error}")

    def _look_round(self) -> None:
        """End what takes too long; one look at all is cheaper than a timer for each."""
        now = monotonic()
        for connection in [*self._open]:
            connection.look(now)
        late = [request for request in self._waiting if request.late_at <= now]
        for request in late:
            self._waiting.remove(request)
            request.done(self.told(CannotConnect("no connection became free in time")))
        busy = self._waiting or len(self._idle) < len(self._open)
        self._look = None
        if busy and not self._closed:
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_round)
