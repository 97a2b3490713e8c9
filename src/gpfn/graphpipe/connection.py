"""A connection to a model server on which every wait ends at the deadline.

A socket's own time-out is for one wait; a server that sends a byte now and then could
draw a call out for ever. So before each wait the time that is left is set.
"""

import os
import select
import socket
import time
from collections.abc import Sequence

from gpfn.deadline import Deadline
from gpfn.http1 import send

__all__ = ["Connection"]

_PIECE = 1 << 16
_LONGEST = 24 * 3600.0
"""Seconds in one wait: a deadline may be infinite, a socket's time-out may not."""


class Connection:
    """A connected socket, plain or encrypted, and the deadline of what it is used for."""

    __slots__ = ("_process", "_socket", "_tls", "deadline")

    def __init__(self, sock: socket.socket, deadline: Deadline, *, tls: bool = False) -> None:
        self._socket = sock
        self._tls = tls
        self._process = os.getpid()
        self.deadline = deadline

    def send(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Send all buffers from where they are.

        Raises TimeoutError at the deadline, or another OSError.
        """
        if self._tls and sum(map(len, buffers)) < _PIECE:
            buffers = [b"".join(buffers)]  # one record instead of several
        send(self, buffers)

    def sendall(self, data: bytes | memoryview, /) -> None:
        """Send one buffer; a socket's time-out is for all of it."""
        self._arm()
        self._socket.sendall(data)

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send some of the buffers and return how many bytes, as a socket does."""
        self._arm()
        if self._tls:
            return self._socket.send(buffers[0])
        return self._socket.sendmsg(buffers)

    def receive(self) -> bytes:
        """Return what has come; nothing when the other side has closed.

        Raises TimeoutError at the deadline, or another OSError.
        """
        self._arm()
        return self._socket.recv(_PIECE)

    def receive_into(self, space: memoryview) -> int:
        """Receive into ``space`` and return how many bytes; 0 when the other side has closed.

        Raises TimeoutError at the deadline, or another OSError.
        """
        self._arm()
        return self._socket.recv_into(space)

    def _arm(self) -> None:
        seconds = self.deadline.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(min(seconds, _LONGEST))

    def usable(self) -> bool:
        """Say whether a kept connection may be used again.

        It may not when the other side has closed it or has said something unasked, or
        when this process was forked from the one that made it. What an encrypted one
        has to say cannot be told from outside.
        """
        if self._process != os.getpid():
            return False
        if self._tls:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it; calling it twice is harmless."""
        self._socket.close()
