"""One connection of the agent's: its socket and what was read from it so far."""

from __future__ import annotations

from _socket import socket

from gpfn.errors import GpfnError
from gpfn.http1 import Request, RequestReader, send
from gpfn.limits import Limits

__all__ = ["Connection"]

_PIECE = 1 << 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """Reads requests when there is something to read; nothing here waits.

    After a request that was refused half-way the rest is read and thrown away until the
    other side closes: closing at once would make its writing fail, and the agent kills
    the container over that.
    """

    __slots__ = ("_refused", "reader", "socket")

    def __init__(self, connected: socket, limits: Limits) -> None:
        self.socket = connected
        self.reader = RequestReader(limits)
        self._refused = False

    @property
    def idle(self) -> bool:
        """Whether closing it now would interrupt nobody."""
        return self._refused or not self.reader.in_request

    def receive(self) -> bool:
        """Take what has come; returns False when the other side has closed.

        Raises GpfnError for what is no request, OSError as the socket does.
        """
        space = None if self._refused else self.reader.body_space()
        if space is not None:
            count = self.socket.recv_into(space)
            self.reader.body_received(count)
            return count > 0
        data = self.socket.recv(_PIECE)
        if data and not self._refused:
            self.reader.feed(data)
            if self.reader.expects_continue:
                self.socket.sendall(_CONTINUE)
        return bool(data)

    def next_request(self) -> Request | None:
        """Return the next complete request, or None; raises GpfnError like receive()."""
        return None if self._refused else self.reader.next_request()

    def refuse(self, buffers: list[bytes | memoryview]) -> None:
        """Answer a request that will never be complete, with the last reply there is."""
        self._refused = True
        send(self.socket, buffers)
        self.socket.shutdown(1)  # SHUT_WR: there is no more to come from here

    def broken(self) -> GpfnError | None:
        """Return what to say when the other side closed within a request."""
        if self.idle:
            return None
        return GpfnError("the agent closed the connection within a request")
