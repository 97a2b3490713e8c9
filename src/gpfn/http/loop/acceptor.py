"""Accepting connections: in equal shares, and none in vain.

Of several processes each takes one connection a turn, and who has more than others only
after a moment. A process that has no descriptor left would find the same connection waiting
at once, again and again: it turns the client away with a descriptor that it has kept for
that.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Acceptor"]

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Hands each connection of a listening socket to ``admit``, as a socket that does not block."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        admit: Callable[[socket.socket], None],
        complain: Callable[[str], None],
        has_most: Callable[[], bool],
        *,
        alone: bool,
    ) -> None:
        """``complain`` is told when there are no descriptors left.

        ``has_most`` says whether another process may take the next connection, ``alone`` that
        there is no other: then many are accepted in a turn, so that nobody waits for that.
        """
        self._loop = loop
        self._listening = listening
        self._admit = admit
        self._complain = complain
        self._has_most = has_most
        self._at_once = _MANY if alone else 1
        self._spare: int | None = None
        listening.setblocking(False)
        self._begin()

    def close(self) -> None:
        """Accept those that have connected already, and close the listening socket."""
        self._loop.remove_reader(self._listening)
        while self._accept():
            continue
        self._listening.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _begin(self) -> None:
        """Accept, once there is a spare descriptor; until then look every second."""
        if self._listening.fileno() < 0:
            return
        with suppress(OSError):  # none is left
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if self._spare is None:
            self._loop.call_later(1.0, self._begin)
        else:
            self._loop.add_reader(self._listening, self._offer)

    def _offer(self) -> None:
        """Accept the next connection, or let another process have it if it is quick."""
        if self._has_most():
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_OFFER_SECONDS, self._go_on)
            return
        for _ in range(self._at_once):
            if not self._accept():
                return

    def _go_on(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._offer)
            self._accept()

    def _accept(self) -> bool:
        """Accept one connection; returns whether there may be more."""
        try:
            sock, _ = self._listening.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._turn_away(error)
                return False
            return True  # the client has left before it was accepted
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._admit(sock)
        return True

    def _turn_away(self, error: OSError) -> None:
        self._complain(f"cannot accept: {error.strerror}; raise the limit of open files")
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with suppress(OSError):  # another thread has taken the descriptor, or the client has left
            self._listening.accept()[0].close()
        self._loop.remove_reader(self._listening)
        self._loop.call_later(_REST_SECONDS, self._begin)


_MANY = 64
_OFFER_SECONDS = 0.002
_REST_SECONDS = 0.05
"""Until the next try, so that a house full of descriptors does not keep the loop busy."""
