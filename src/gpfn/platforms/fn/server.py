"""The server behind the socket: one thread, one call at a time, as Fn sends them.

The agent keeps one connection and sends one request at a time, but others may connect
all the same; :mod:`gpfn.http1.serial` tells how none of them starves.
"""

from __future__ import annotations

from _thread import LockType

from gpfn.errors import GpfnError
from gpfn.http1.serial import SerialServer
from gpfn.limits import Limits
from gpfn.platforms.fn.exchange import Buffers, Exchange
from gpfn.platforms.fn.incoming import Headers, read_call

__all__ = ["Server"]

_MARGIN_SECONDS = 0.1
"""Between our time-out and the deadline, for the answer has to reach the agent before it.

Beside a thread that computes, each wait for the interpreter's lock takes 5 ms or more, and
there are several on an answer's way. The agent cuts the fraction of a second off when it
writes the deadline, so it mostly waits a little longer than that says, but it need not.
"""


class Server(SerialServer):
    """Serves an exchange, and keeps its calls waiting while it has no answers yet."""

    def __init__(self, exchange: Exchange, limits: Limits) -> None:
        super().__init__(None, exchange, limits)
        self._fn = exchange

    def hold(self, ready: LockType) -> None:
        """Keep calls waiting until ``ready`` can be acquired, each up to its deadline.

        A call whose deadline passes is answered (with a time-out, since nothing is loaded)
        before the agent loses its patience and kills the container that is still loading.
        """
        while not ready.acquire(blocking=False):
            if not self._complete:
                self._take(None)
                continue
            connection, request = self._complete[0]
            left = read_call(request.headers, b"").call.deadline.remaining()
            left = max(0.0, left - _MARGIN_SECONDS)
            if ready.acquire(timeout=-1 if left == float("inf") else left):
                return
            self._complete.popleft()
            self._answer(connection, request)

    def _refusal(self, headers: Headers, error: GpfnError) -> Buffers:
        return self._fn.refuse(error, headers)

    def _sent(self) -> None:
        self._fn.sent()

    def _lost(self, error: OSError) -> None:
        self._fn.lost(error)
