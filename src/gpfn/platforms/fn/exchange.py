"""From a request to the bytes of its reply, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.function.call import Reply
from gpfn.http1 import Request, response_head
from gpfn.platforms.fn.incoming import Incoming, read_call
from gpfn.platforms.fn.outgoing import reply_headers, socket_status

__all__ = ["Answer", "error_reply", "exchange", "refusal", "reply_bytes"]

Answer = Callable[[Incoming], Reply]
"""What answers a call: a Function's adapter or a handler of the FDK's kind."""

_SMALL = 1 << 13

Buffers = list[bytes | memoryview]


def exchange(request: Request, answer: Answer) -> tuple[Incoming, Reply, Buffers]:
    """Answer one request; returns the call it was, its reply and that reply's bytes."""
    incoming = read_call(request.headers, request.body)
    try:
        _check_target(request)
        reply = answer(incoming)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the process outlives it
        reply = error_reply(error)
    try:
        buffers = reply_bytes(reply, by_trigger=incoming.by_trigger, close=not request.keep_alive)
    except ValueError as error:  # a header that would break out of its line
        reply = error_reply(GpfnError(f"the reply cannot be sent: {error}"))
        buffers = reply_bytes(reply, by_trigger=incoming.by_trigger, close=not request.keep_alive)
    return incoming, reply, buffers


def refusal(
    headers: tuple[tuple[str, str], ...], error: GpfnError
) -> tuple[Incoming, Reply, Buffers]:
    """Answer what is no complete request, as far as its ``headers`` are known."""
    incoming = read_call(headers, b"")
    reply = error_reply(error)
    return incoming, reply, reply_bytes(reply, by_trigger=incoming.by_trigger, close=True)


def error_reply(error: BaseException) -> Reply:
    """Return the reply that tells of ``error``."""
    from gpfn.function.reply import error_message  # good calls do without, for a while

    status = error.status if isinstance(error, GpfnError) else 500
    return Reply(error_message(error), status, (), error)


def reply_bytes(reply: Reply, *, by_trigger: bool, close: bool) -> Buffers:
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
