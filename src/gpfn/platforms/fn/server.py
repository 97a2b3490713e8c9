"""The server behind the socket: one thread, one call at a time, as Fn sends them.

The agent keeps one connection and sends one request at a time. Others may connect all
the same (an agent that dials anew, a test, a curious person): every connection is read
when there is something to read, and requests are answered in the order in which they
were complete, so that none waits for another to go away. There are no time-outs, as the
contract asks: an idle connection is the agent's to close.
"""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_STREAM, socket
from _thread import LockType
from collections import deque
from select import POLLIN, poll

from gpfn.errors import DeadlineExceeded, GpfnError
from gpfn.function.call import Reply
from gpfn.http1 import Request, send
from gpfn.limits import Limits
from gpfn.platforms.fn.connection import Connection
from gpfn.platforms.fn.exchange import Answer, error_reply, exchange, refusal
from gpfn.platforms.fn.incoming import Incoming, read_call
from gpfn.platforms.fn.log import CallLog, log_failure

__all__ = ["Server"]

_CONNECTIONS = 64  # of 350 files that a container may have open


class Server:
    """Reads connections and answers their requests until :meth:`stop`."""

    def __init__(self, limits: Limits, log: CallLog) -> None:
        self._limits = limits
        self._log = log
        self._poll = poll()
        self._listening: socket | None = None
        self._connections: dict[int, Connection] = {}
        self._complete: deque[tuple[Connection, Request]] = deque()
        self._stopping = False
        self._woken, self.wakeup_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._woken, POLLIN)

    def listen(self, listening: socket) -> None:
        """Accept the connections of this socket from now on."""
        self._listening = listening
        self._poll.register(listening, POLLIN)

    def stop(self) -> None:
        """End :meth:`serve` once the running call is answered; for signal handlers."""
        self._stopping = True

    def wake(self) -> None:
        """Make the thread that waits look around."""
        os.write(self.wakeup_fd, b"\0")

    def serve(self, answer: Answer) -> None:
        """Answer requests until told to stop; those that are complete then are answered."""
        while True:
            while self._complete:
                connection, request = self._complete.popleft()
                self._answer(connection, request, answer)
            if self._stopping:
                return
            self._turn()

    def hold(self, ready: LockType) -> None:
        """Keep requests waiting until ``ready`` can be acquired, each up to its deadline.

        A request whose deadline passes is answered with a time-out, before the agent
        loses its patience and kills the container that is still loading.
        """
        while not ready.acquire(blocking=False):
            if not self._complete:
                self._turn()
                continue
            connection, request = self._complete[0]
            left = read_call(request.headers, b"").call.deadline.remaining()
            if ready.acquire(timeout=-1 if left == float("inf") else left):
                return
            self._complete.popleft()
            self._answer(connection, request, _too_late)

    def _turn(self) -> None:
        """Wait until something has come, and take it."""
        for descriptor, _ in self._poll.poll():
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._read(connection)
            elif descriptor == self._woken:
                os.read(self._woken, 64)
            else:
                self._accept()

    def _accept(self) -> None:
        assert self._listening is not None, "it was registered"  # noqa: S101
        try:
            descriptor, _ = self._listening._accept()  # type: ignore[attr-defined] # no stub has it
        except OSError:  # whoever knocked has gone again
            return
        if len(self._connections) >= _CONNECTIONS:
            self._make_room()
        connected = socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
        self._connections[descriptor] = Connection(connected, self._limits)
        self._poll.register(descriptor, POLLIN)

    def _make_room(self) -> None:
        idle = [connection for connection in self._connections.values() if connection.idle]
        self._drop((idle or list(self._connections.values()))[0])

    def _read(self, connection: Connection) -> None:
        try:
            open_still = connection.receive()
            request = connection.next_request()
        except GpfnError as error:
            self._refuse(connection, error)
            return
        except OSError as error:
            self._lose(connection, error)
            return
        if request is not None:
            self._complete.append((connection, request))
        elif not open_still:
            self._lose(connection, connection.broken())

    def _answer(self, connection: Connection, request: Request, answer: Answer) -> None:
        began = time.perf_counter()
        incoming, reply, buffers = exchange(request, answer)
        try:
            send(connection.socket, buffers)
        except OSError as error:
            self._lose(connection, error, incoming)
            return
        self._log.call(incoming.call.id, reply, len(request.body), time.perf_counter() - began)
        if not request.keep_alive:
            self._drop(connection)
            return
        try:
            pipelined = connection.next_request()
        except GpfnError as error:
            self._refuse(connection, error)
            return
        if pipelined is not None:
            self._complete.append((connection, pipelined))

    def _refuse(self, connection: Connection, error: GpfnError) -> None:
        incoming, reply, buffers = refusal(connection.reader.headers, error)
        try:
            connection.refuse(buffers)
        except OSError as lost:
            self._lose(connection, lost, incoming)
            return
        self._log.call(incoming.call.id, reply, 0, 0.0)

    def _lose(
        self,
        connection: Connection,
        error: BaseException | None,
        incoming: Incoming | None = None,
    ) -> None:
        if error is not None:
            log_failure("" if incoming is None else incoming.call.id, error)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        descriptor = connection.socket.fileno()
        if self._connections.pop(descriptor, None) is None:
            return  # dropped before, to make room
        self._poll.unregister(descriptor)
        connection.socket.close()


def _too_late(_: Incoming) -> Reply:
    return error_reply(DeadlineExceeded("the deadline passed while the model was loading"))
