"""A server of one thread that answers one request at a time, in the order they came.

A platform that sends a process one request at a time may still open several connections,
and a client may keep one open without sending anything. So a connection is read when it
has something to read, a request is answered when it is complete, and no connection waits
for another to close. There are no time-outs: the platform decides when to give up. Where
connections are too many, or files too few for another, the one that was idle for longest
gives way; with nothing to give, none is accepted for a moment.
"""

from __future__ import annotations

import os
from _socket import SHUT_WR, SOCK_STREAM, socket  # the socket module costs 3 ms of a cold start
from collections import deque
from errno import EAGAIN, ECONNABORTED, EINTR
from select import POLLIN, poll
from time import monotonic

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.head import Request
from gpfn.http.reader import RequestReader
from gpfn.http.writer import send
from gpfn.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    Buffers = Sequence[bytes | memoryview]

    class Responder(Protocol):
        """What answers: from a request to the bytes of its response."""

        def answer(self, request: Request) -> Buffers:
            """Answer a request; never raises."""

        def refuse(self, error: GpfnError) -> Buffers:
            """Answer a request that is not complete; the connection ends with it."""

        def warn(self, trouble: str) -> None:
            """Log what keeps the server from accepting connections."""


__all__ = ["SerialServer"]

_PIECE = 1 << 16
_CONNECTIONS = 64  # of the 350 files that Fn lets a container have open
_LAST_TURNS = 64
_LEFT = (EAGAIN, ECONNABORTED, EINTR)  # the client went away before it was accepted
_PAUSE_MILLISECONDS = 100  # without accepting, when nothing can give way
_QUIET_SECONDS = 60.0  # between two warnings
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class SerialServer:
    """Reads connections and answers their requests until :meth:`stop`.

    ``listening`` may also be given later, to :meth:`listen`. ``responder`` makes the answers;
    ``_sent`` and ``_lost`` are for subclasses to override.
    """

    def __init__(self, listening: socket | None, responder: Responder, limits: Limits) -> None:
        self._listening: socket | None = None
        self._responder = responder
        self._limits = limits
        self._connections: dict[int, _OpenSocket] = {}
        self._complete: deque[tuple[_OpenSocket, Request]] = deque()
        self.serving = False
        self.stopping = False
        self._paused = False
        self._warn_after = 0.0
        self._woken, self.wakeup_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = poll()
        self._poll.register(self._woken, POLLIN)
        if listening is not None:
            self.listen(listening)

    def listen(self, listening: socket) -> None:
        """Accept the connections of this socket from now on."""
        listening.setblocking(False)
        self._listening = listening
        self._poll.register(listening, POLLIN)

    def stop(self) -> None:
        """End :meth:`serve` once the running request is answered; for signal handlers.

        With ``signal.set_wakeup_fd(server.wakeup_fd)`` a signal that comes just before the
        poll ends it at once.
        """
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        """End the poll of the thread that serves, from any thread."""
        os.write(self.wakeup_fd, b"\0")

    def serve(self) -> None:
        """Answer requests until :meth:`stop`, then those that have come until then."""
        self.serving = True
        while not self.stopping:
            self._turn(None)
        for _ in range(_LAST_TURNS):
            if not self._turn(0):
                break
        for connection in list(self._connections.values()):
            self._drop(connection)
        if self._listening is not None:
            self._listening.close()

    def _turn(self, milliseconds: int | None) -> bool:
        """Answer what is complete, wait until something comes, take it and answer that."""
        ready = self._take(milliseconds) if not self._complete else True
        while self._complete:
            self._answer(*self._complete.popleft())
        return ready

    def _take(self, milliseconds: int | None) -> bool:
        """Wait until something comes, and take it; returns whether anything came."""
        if self._paused and milliseconds is None:
            milliseconds = _PAUSE_MILLISECONDS
        ready = self._poll.poll(milliseconds)
        if self._paused and self._listening is not None:
            self._poll.register(self._listening, POLLIN)
            self._paused = False
        accepting = False
        for descriptor, _ in ready:
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._read(connection)
            elif descriptor == self._woken:
                os.read(self._woken, 64)
            else:
                accepting = True
        if accepting:  # last: it may close a connection and give its number to another
            self._accept()
        return bool(ready)

    def _accept(self) -> None:
        listening = self._listening
        assert listening is not None, "it was registered"  # noqa: S101
        try:
            descriptor, _ = listening._accept()  # type: ignore[attr-defined] # no stub has it
        except OSError as error:
            if error.errno not in _LEFT:
                self._starve(listening, error)
            return
        if len(self._connections) >= _CONNECTIONS:
            self._make_room()
        accepted = socket(listening.family, SOCK_STREAM, 0, descriptor)  # which blocks, on Linux
        self._connections[descriptor] = _OpenSocket(accepted, self._limits)
        self._poll.register(descriptor, POLLIN)

    def _starve(self, listening: socket, error: OSError) -> None:
        """Make room where no file is left for a connection; without any, ask again later."""
        if monotonic() >= self._warn_after:
            self._warn_after = monotonic() + _QUIET_SECONDS
            self._responder.warn(f"cannot accept a connection: {error.strerror}")
        if not self._make_room():
            self._poll.unregister(listening)
            self._paused = True

    def _make_room(self) -> bool:
        """Close the connection that is idle for longest, else the slowest; say whether one was."""
        others = [found for found in self._connections.values() if not found.waiting]
        if others:
            self._drop(next((found for found in others if found.idle), others[0]))
        return bool(others)

    def _read(self, connection: _OpenSocket) -> None:
        try:
            open_still = connection.receive()
            request = connection.next_request()
        except GpfnError as error:
            self._refuse(connection, error)
        except OSError as error:
            self._lose(connection, error)
        else:
            if request is not None:
                self._enqueue(connection, request)
            elif not open_still:
                self._drop(connection)

    def _enqueue(self, connection: _OpenSocket, request: Request) -> None:
        """Let a request be answered, and its connection be the last to give way."""
        connection.waiting = True
        if self._connections.get(connection.descriptor) is connection:
            del self._connections[connection.descriptor]
            self._connections[connection.descriptor] = connection
        self._complete.append((connection, request))

    def _answer(self, connection: _OpenSocket, request: Request) -> None:
        connection.waiting = False
        buffers = self._responder.answer(request)
        if request.method == "HEAD":  # what follows would be read as the next answer
            buffers = [bytes(buffers[0]).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"]
        try:
            send(connection.socket, buffers)
            self._sent()
            if not request.keep_alive:
                connection.end()
            following = connection.next_request()  # none after the end
        except GpfnError as error:
            self._refuse(connection, error)
            return
        except OSError as error:
            self._lose(connection, error)
            return
        if following is not None:
            self._enqueue(connection, following)

    def _refuse(self, connection: _OpenSocket, error: GpfnError) -> None:
        try:
            send(connection.socket, self._refusal(connection.reader.headers, error))
            connection.end()
            self._sent()
        except OSError as lost:
            self._lose(connection, lost)

    def _refusal(self, headers: tuple[tuple[str, str], ...], error: GpfnError) -> Buffers:  # noqa: ARG002
        """Return the answer to a request that was refused after its ``headers``."""
        return self._responder.refuse(error)

    def _sent(self) -> None:
        """Called after an answer was sent."""

    def _lost(self, error: OSError) -> None:
        """Called with the error of a connection that broke."""

    def _lose(self, connection: _OpenSocket, error: OSError) -> None:
        if not connection.ended:  # one that has ended has had its answers
            self._lost(error)
        self._drop(connection)

    def _drop(self, connection: _OpenSocket) -> None:
        # one that was dropped before may have left its descriptor's number to another
        if self._connections.get(connection.descriptor) is connection:
            del self._connections[connection.descriptor]
            self._poll.unregister(connection.descriptor)
            connection.socket.close()


class _OpenSocket:
    """A socket and what was read from it so far; no method waits.

    After its last answer, what still comes is read and thrown away until the other side
    closes: closing at once would reset the connection, and the answer could be lost
    (RFC 9112, 9.6).
    """

    __slots__ = ("_continued", "descriptor", "ended", "reader", "socket", "waiting")

    def __init__(self, connected: socket, limits: Limits) -> None:
        self.socket = connected
        self.descriptor = connected.fileno()
        self.reader = RequestReader(limits)
        self.waiting = False
        """Whether a request of it waits for its turn."""
        self.ended = False
        self._continued = False

    @property
    def idle(self) -> bool:
        """Whether no request is being read on it."""
        return self.ended or not self.reader.in_request

    def receive(self) -> bool:
        """Take what has come; returns False when the other side has closed."""
        if self.ended:
            return bool(self.socket.recv(_PIECE))
        space = self.reader.body_space()
        if space is not None:
            count = self.socket.recv_into(space)
            self.reader.body_received(count)
        else:
            data = self.socket.recv(_PIECE)
            count = len(data)
            self.reader.feed(data)
        if not count and self.reader.in_request:
            raise InvalidRequest("the connection ended inside a request")
        if self.reader.expects_continue and not self._continued:
            self._continued = True
            self.socket.sendall(_CONTINUE)
        return count > 0

    def next_request(self) -> Request | None:
        """Return the next complete request, or None."""
        if self.ended:
            return None
        request = self.reader.next_request()
        if request is not None:
            self._continued = False
        return request

    def end(self) -> None:
        """Let the other side see the end; what it sends now is thrown away."""
        self.ended = True
        self.socket.shutdown(SHUT_WR)
