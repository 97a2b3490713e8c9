"""From a request to the bytes of its reply, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpfn.errors import DeadlineExceeded, GpfnError, InvalidRequest
from gpfn.function.call import Reply
from gpfn.http1 import Request, response_head
from gpfn.platforms.fn.incoming import Headers, Incoming, read_call
from gpfn.platforms.fn.log import CallLog, say
from gpfn.platforms.fn.outgoing import reply_headers, socket_status

__all__ = ["Answer", "Buffers", "Exchange", "error_reply", "too_late"]

Answer = Callable[[Incoming], Reply]
"""What answers a call: a Function's adapter or a handler of the FDK's kind."""

Buffers = list[bytes | memoryview]

_SMALL = 1 << 13


class Exchange:
    """Answers requests with what ``answers`` is set to, and logs what went out.

    Until then nothing is loaded, and no answer can be given in time.
    """

    __slots__ = ("_began", "_log", "_out", "answers")

    def __init__(self, log: CallLog) -> None:
        self.answers: Answer = lambda _: too_late()
        self._log = log
        self._began = 0.0
        self._out: tuple[str, Reply, int] | None = None

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

    def sent(self) -> None:
        """Log what was answered last, now that nobody waits for it."""
        if self._out is not None:
            self._log.call(*self._out, time.perf_counter() - self._began)
            self._out[1].release()
            self._out = None

    def lost(self, error: OSError) -> None:
        """Log that the agent went away before it had its answer."""
        call_id = "-"
        if self._out is not None:
            call_id, reply, _ = self._out
            reply.release()
            self._out = None
        say(f"call {call_id}: the agent went away: {error}")

    def _bytes(self, incoming: Incoming, reply: Reply, *, close: bool) -> Buffers:
        try:
            buffers = _reply_bytes(reply, by_trigger=incoming.by_trigger, close=close)
        except ValueError as error:  # a header that would break out of its line
            reply = error_reply(GpfnError(f"the reply cannot be sent: {error}"))
            buffers = _reply_bytes(reply, by_trigger=incoming.by_trigger, close=close)
        self._out = (incoming.call.id, reply, len(incoming.message.body))
        return buffers


def error_reply(error: BaseException) -> Reply:
    """Return the reply that tells of ``error``."""
    from gpfn.function.reply import error_message  # good calls do without, for a while

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
