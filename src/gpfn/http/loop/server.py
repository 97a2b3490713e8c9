"""The loop server: one event loop, thousands of connections, and bounds on all of them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import GpfnError, Overloaded
from gpfn.http.body import Budget
from gpfn.http.loop.acceptor import Acceptor
from gpfn.http.loop.connection import LoopConnection
from gpfn.http.loop.exchange import Exchange, Handler, Headers, Response
from gpfn.http.loop.incoming import IncomingBody
from gpfn.http.loop.pool import WorkPool
from gpfn.http.loop.responses import ResponseWriter
from gpfn.http.loop.timing import check, has_unread
from gpfn.http.writer import REASONS
from gpfn.limits import Limits

if TYPE_CHECKING:
    import ssl

    from gpfn.http.head import Head
    from gpfn.http.loop.streaming import Streamed
    from gpfn.log import Log
    from gpfn.metrics import Metrics

__all__ = ["DRAIN_SECONDS", "LoopServer", "LoopSettings"]

_SCRATCH = 64 << 10
_RECEIVING_THREADS = 4
_RESERVE = 16
_HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 2.0
_COMPLAINT_SECONDS = 60.0
_DRAIN_LOOK_SECONDS = 0.02
_LAST_CALL_SECONDS = 0.25
_RECENT_SECONDS = 3.0
DRAIN_SECONDS = 30.0


class LoopSettings(NamedTuple):
    """The bounds of a loop server; times are in seconds.

    ``head_seconds`` from a request's first byte to the end of its head, ``body_seconds``
    from there to the end of its body, ``idle_seconds`` between requests, ``write_seconds``
    without a byte of an answer being read, ``drain_seconds`` for what has arrived before
    SIGTERM. ``body_bytes`` bounds all bodies in flight together.
    """

    connections: int = 4096
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    drain_seconds: float = DRAIN_SECONDS
    body_bytes: int = 256 << 20


class LoopServer:
    """Accepts the connections of a listening socket and hands their requests to a handler."""

    def __init__(
        self,
        listening: socket.socket,
        handler: Handler,
        log: Log,
        *,
        limits: Limits,
        settings: LoopSettings,
        budget: Budget,
        metrics: Metrics,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """``tls`` returns the context for each new connection, so that it can be exchanged."""
        self.limits = limits
        self.settings = settings
        self.budget = budget
        self._open = metrics.gauge("gpfn_connections", "Open connections.")
        self._bodies = metrics.gauge("gpfn_bodies_bytes", "Request bodies in flight.")
        self._alone = len(metrics.rows) == 1
        self._open.set(0)  # not what a process before had in this place
        self._refused = metrics.counters(
            "gpfn_refused_requests_total",
            "Requests that were broken, by the status of the answer.",
            "code",
            [status for status in REASONS if status >= 400],
        )
        self._receiving = WorkPool(_RECEIVING_THREADS, 1 << 20, patient=False)
        self.responses = ResponseWriter()
        self.scratch = memoryview(bytearray(_SCRATCH))
        self.stopping = False
        self.clock = time.monotonic()
        self._listening = listening
        self._handler = handler
        self.log = log
        self._tls = tls
        self._connections: dict[LoopConnection, bool] = {}  # False: taken in a full house
        self._making: dict[LoopConnection, asyncio.Task[None]] = {}  # in the order they began
        self._yielding: deque[tuple[LoopConnection, float]] = deque()
        self.streams: set[Streamed] = set()
        self._ids = (os.urandom(6).hex(), count(1))
        self._complained = -_COMPLAINT_SECONDS
        self.stopped = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def serve(self, on_listening: Callable[[], object] = lambda: None) -> None:
        """Serve until :meth:`stop`, then answer what has arrived, and close."""
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self._log_failure)
        self._listening.listen(socket.SOMAXCONN)
        acceptor = Acceptor(
            self.loop,
            self._listening,
            self._admit,
            self._complain,
            self._has_most,
            alone=self._alone,
        )
        self._tick()
        on_listening()
        await self.stopped.wait()
        await self._drain(acceptor)

    def stop(self) -> None:
        """Begin to end; on the loop's thread, also from its signal handlers."""
        self.stopping = True
        self.stopped.set()

    # connections

    def _has_most(self) -> bool:
        """Say whether another process has fewer connections: it may take the next one."""
        return len(self._connections) > min(self._open.elsewhere(), default=float("inf"))

    def _admit(self, sock: socket.socket) -> None:
        """Take a new connection; another one may have to give way."""
        most = self.settings.connections
        if len(self._connections) + len(self._making) >= most and not self.stopping:
            self._make_room()
        if len(self._connections) >= most + _RESERVE and not self.stopping:
            sock.close()
            return
        if self._tls is not None and len(self._making) >= most:
            self._making.pop(next(iter(self._making))).cancel()  # TLS begun, not gone on with
        connection = LoopConnection(self)
        self._making[connection] = self.loop.create_task(self._connect(connection, sock))

    async def _connect(self, connection: LoopConnection, sock: socket.socket) -> None:
        context = None if self._tls is None else self._tls()
        with suppress(OSError):  # it has left, or speaks no TLS
            await self.loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS if context else None,
            )
        self._making.pop(connection, None)

    def _complain(self, text: str) -> None:
        """Log a warning, but not the same thing again and again."""
        now = time.monotonic()
        if now - self._complained >= _COMPLAINT_SECONDS:
            self._complained = now
            self.log.warning(text)

    def _make_room(self) -> None:
        """End the connection that has been idle for longest, else one that is slow to ask."""
        if not self._yielding:
            waiting = [one for one in self._connections if not one.answering]
            waiting.sort(key=lambda one: (not one.idle, one.since))
            self._yielding.extend((one, one.since) for one in waiting[:_RESERVE])
        while self._yielding:
            connection, since = self._yielding.popleft()
            unchanged = connection.since == since and not connection.answering
            if has_unread(connection):  # it has asked already
                continue
            if unchanged and self._connections.pop(connection, None) is not None:
                connection.transport.abort()
                return

    def joined(self, connection: LoopConnection) -> None:
        """Count a connection."""
        if self._making.pop(connection, None) is None:
            connection.transport.abort()  # it has given way meanwhile
        room = len(self._connections) < self.settings.connections
        self._connections[connection] = room or self.stopping
        self._open.set(len(self._connections))

    def left(self, connection: LoopConnection) -> None:
        """Count it no more."""
        self._connections.pop(connection, None)
        self._open.set(len(self._connections))

    # requests

    def handle(self, exchange: Exchange) -> None:
        """Have a request answered; in a full house only what is vital."""
        try:
            if len(self._connections) > self.settings.connections:
                self._handle_in_full_house(exchange)
            else:
                self._handler.handle(exchange)
        except Exception as error:  # noqa: BLE001 - a handler does not raise; a bug of ours would
            self.log.failure(error, call=exchange.id)
            exchange.connection.transport.abort()

    def _handle_in_full_house(self, exchange: Exchange) -> None:
        if self._connections.get(exchange.connection, True):  # it was there before
            self._handler.handle(exchange)
            return
        vital = self._handler.vital(exchange)
        if vital is None:
            request, error = exchange.request, Overloaded("too many connections")
            vital = self.refuse(error, request.headers, request.target)
        exchange.answer(vital)

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        """Return the answer to a request whose body need not be waited for, or None."""
        return self._handler.early(method, target, headers)

    def stream(self, connection: LoopConnection, head: Head) -> IncomingBody | None:
        """Let a body go to its receiver, if it has one."""
        receiver = self._handler.receiver(head.method, head.target, head.headers)
        if receiver is not None:
            connection.incoming = IncomingBody(receiver, connection, self._receiving)
        return connection.incoming

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:
        """Return the answer to a request that is broken, as far as it has come."""
        response = self._handler.refuse(error, headers, target)
        self._refused[response.status].add()
        return response

    def next_id(self) -> str:
        """Return an id for a request whose caller gave none."""
        return f"{self._ids[0]}-{next(self._ids[1])}"

    # time

    def _tick(self) -> None:
        """Look after all connections; one clock for all is cheaper than a timer for each."""
        now = self.clock = time.monotonic()
        self.responses.tick()
        self._bodies.set(self.budget.used)
        settings = self.settings
        shortest = min(settings.head_seconds, settings.body_seconds, settings.idle_seconds)
        self.loop.call_later(min(1.0, max(0.01, shortest / 4)), self._tick)
        for connection in list(self._connections):
            check(connection, now, settings)

    async def _drain(self, acceptor: Acceptor) -> None:
        """Accept who has connected, answer what was sent until now, then close."""
        acceptor.close()
        if self._making:
            await asyncio.wait(list(self._making.values()), timeout=1.0)
        for streamed in [one for one in self.streams if one.endless]:
            streamed.stop()
        began = time.monotonic()
        while self._connections and time.monotonic() < began + self.settings.drain_seconds:
            self._close_idle(everyone=time.monotonic() > began + _LAST_CALL_SECONDS)
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)
        if left := sum(one.answering for one in self._connections):
            self.log.warning(f"{left} requests were still running after the drain time")
        for connection in list(self._connections):
            connection.transport.abort()

    def _close_idle(self, *, everyone: bool) -> None:
        """Close connections on which nothing is asked, also not in what lies in the socket.

        Who has just been answered may ask again at once, and does not know yet that there
        is an end; so not ``everyone`` at first.
        """
        for connection in list(self._connections):
            recent = self.clock - connection.since < _RECENT_SECONDS and not everyone
            silent = connection.idle and not connection.closing and not has_unread(connection)
            if silent and not recent:
                connection.close(unread=False)

    def _log_failure(self, _: object, context: dict[str, object]) -> None:
        """Log what asyncio could not tell anybody; asyncio's own logger has another form."""
        error = context.get("exception")
        if isinstance(error, OSError):
            self._complain(f"{context.get('message')}: {error}")
        elif isinstance(error, BaseException):
            self.log.failure(error)
        else:
            self.log.warning(str(context.get("message")))
