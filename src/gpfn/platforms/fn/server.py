"""From a request to the bytes of its reply, whatever happens in between.

The server behind the socket: one thread, one call at a time, as Fn sends them.

The agent keeps one connection and sends one request at a time, but others may connect
all the same; :mod:`gpfn.http.serial` tells how none of them starves.
"""

from __future__ import annotations

import time
from _thread import LockType
from collections.abc import Callable

from gpfn.call.contract import Answering, Reply
from gpfn.errors import DeadlineExceeded, GpfnError, InvalidRequest
from gpfn.http.head import Request
from gpfn.http.serial import SerialServer
from gpfn.http.writer import response_head
from gpfn.limits import Limits
from gpfn.log import Log, trace_id
from gpfn.platforms.fn.wire import FnCall, Headers, read_call, reply_headers, socket_status

__all__ = ["Answer", "Buffers", "FnExchange", "FnServer", "answers_of", "error_reply", "too_late"]

Answer = Callable[[FnCall], Reply]
"""What answers a call: a Function's adapter or a handler of the FDK's kind."""

Buffers = list[bytes | memoryview]

_SMALL = 1 << 13


class FnExchange:
    """Answers requests with what ``answers`` is set to, and logs what went out.

    Until then nothing is loaded, and no answer can be given in time.
    """

    __slots__ = ("_began", "_log", "_out", "answers")

    def __init__(self, log: Log) -> None:
        self.answers: Answer = lambda _: too_late()
        self._log = log
        self._began = 0.0
        self._out: tuple[str, Headers, Reply, int] | None = None

    def answer(self, request: Request) -> Buffers:
        """Answer one request; never raises."""
        self._began = time.perf_counter()
        incoming = read_call(request.headers, request.body)
        try:
            _check_target(request)
            reply = self.answers(incoming)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process outlives it
            reply = error_reply(error)
        return self._bytes(incoming, reply, close=not request.keep_alive)

    def refuse(self, error: GpfnError, headers: Headers = ()) -> Buffers:
        """Answer a request of which no more than ``headers`` will come."""
        self._began = time.perf_counter()
        return self._bytes(read_call(headers, b""), error_reply(error), close=True)

    def warn(self, trouble: str) -> None:
        """Log what keeps the server from accepting connections."""
        self._log.warning(trouble)

    def sent(self) -> None:
        """Log what was answered last, now that nobody waits for it."""
        if self._out is not None:
            call_id, headers, reply, received = self._out
            seconds, sent = time.perf_counter() - self._began, len(reply.message.body)
            self._log.call(call_id, reply, seconds, received, sent, trace=trace_id(headers))
            if reply.error is not None or reply.failures:
                reply.release()
            self._out = None

    def lost(self, error: OSError) -> None:
        """Log that the agent went away before it had its answer."""
        call_id = ""
        if self._out is not None:
            call_id, _, reply, _ = self._out
            reply.release()
            self._out = None
        self._log.error(f"the agent went away: {error}", call=call_id)

    def _bytes(self, incoming: FnCall, reply: Reply, *, close: bool) -> Buffers:
        try:
            buffers = _reply_bytes(reply, by_trigger=incoming.by_trigger, close=close)
        except ValueError as error:  # a header that would break out of its line
            reply = error_reply(GpfnError(f"the reply cannot be sent: {error}"))
            buffers = _reply_bytes(reply, by_trigger=incoming.by_trigger, close=close)
        message = incoming.message
        self._out = (incoming.call.id, message.headers, reply, len(message.body))
        return buffers


def answers_of(function: Answering) -> Answer:
    """Return what answers calls with ``function``."""

    def answer(incoming: FnCall) -> Reply:
        return function.answer(incoming.message, incoming.call)

    return answer


def error_reply(error: BaseException) -> Reply:
    """Return the reply that tells of ``error``."""
    from gpfn.call.encode import error_message  # good calls do without, for a while

    status = error.status if isinstance(error, GpfnError) else 500
    return Reply(error_message(error), status, (), error)


def _reply_bytes(reply: Reply, *, by_trigger: bool, close: bool) -> Buffers:
    """Return a reply as it goes down the socket; raises ValueError for a bad header."""
    body = reply.message.body
    size = body.nbytes if isinstance(body, memoryview) else len(body)
    status = socket_status(reply, by_trigger=by_trigger)
    head = response_head(status, reply_headers(reply, by_trigger=by_trigger), size, close=close)
    if size <= _SMALL:  # one buffer is sent faster than two
        return [head + body]
    return [head, body]


def _check_target(request: Request) -> None:
    if request.target != "/call":
        raise InvalidRequest("only /call is served", field="target", status=404)
    if request.method != "POST":
        raise InvalidRequest("only POST is served", field="method", status=405)


def too_late() -> Reply:
    """Return the reply to a call whose deadline passes while the function is loading."""
    return error_reply(DeadlineExceeded("the deadline passed while the function was loading"))


_MARGIN_SECONDS = 0.1
"""Between our time-out and the deadline, for the answer has to reach the agent before it.

Beside a thread that computes, each wait for the interpreter's lock takes 5 ms or more, and
there are several on an answer's way. The agent cuts the fraction of a second off when it
writes the deadline, so it mostly waits a little longer than that says, but it need not.
"""


class FnServer(SerialServer):
    """Serves an exchange, and keeps its calls waiting while it has no answers yet."""

    def __init__(self, exchange: FnExchange, limits: Limits) -> None:
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
