"""A function as a handler of the stock FDK: ``handler = f.fn``, then ``fdk func.py handler``.

The replies are those of our own runner, as far as the FDK lets them through: it loses all
but the last of repeated request headers before anyone sees them.
"""

from __future__ import annotations

from gpfn.call.contract import Reply
from gpfn.log import Log, trace_id
from gpfn.platforms.fn.server import error_reply
from gpfn.platforms.fn.wire import FnCall, read_call, socket_status, stated_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Protocol

    from fdk.response import Response

    from gpfn.call.contract import Answering

    class InvokeContext(Protocol):
        """What is used of the FDK's context."""

        def Headers(self) -> dict[str, str | list[str]]:  # noqa: N802
            """Return the headers, a trigger's unwrapped and mixed with the agent's."""

        def HTTPHeaders(self) -> dict[str, str | list[str]]:  # noqa: N802
            """Return the headers that the trigger wrapped."""

        def GetResponseHeaders(self) -> dict[str, str]:  # noqa: N802
            """Return the headers of the reply."""

    class Stream(Protocol):
        """What is used of BytesIO."""

        def read(self) -> bytes:
            """Return all of it."""


__all__ = ["FnHandler"]


class FnHandler:
    """What the FDK calls with its context and the body as a stream."""

    def __init__(self, function: Answering) -> None:
        self.function = function

    def __call__(
        self, ctx: InvokeContext, data: Stream | None = None
    ) -> Response | Coroutine[object, object, Response]:
        """Answer one call; never raises. An async function gives a coroutine."""
        incoming = _incoming(ctx, b"" if data is None else data.read())
        if self.function.is_async:
            return self._answer_async(ctx, incoming)
        try:
            reply = self.function.answer(incoming.message, incoming.call)
        except BaseException as error:  # noqa: BLE001 - the FDK would end the process
            reply = error_reply(error)
        return _response(ctx, incoming, reply, self.function.name)

    async def _answer_async(self, ctx: InvokeContext, incoming: FnCall) -> Response:
        try:
            reply = await self.function.answer_async(incoming.message, incoming.call)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - as above
            reply = error_reply(error)
        return _response(ctx, incoming, reply, self.function.name)


def _incoming(ctx: InvokeContext, body: bytes) -> FnCall:
    """Return the call; of names that the FDK has mixed, the caller's header counts."""
    lines: list[tuple[str, str]] = []
    for name, value in {**ctx.Headers(), **ctx.HTTPHeaders()}.items():
        values = value if isinstance(value, list) else [value]
        lines.extend((name, item) for item in values)
    return read_call(tuple(lines), body)


def _response(ctx: InvokeContext, incoming: FnCall, reply: Reply, function: str) -> Response:
    from fdk.response import Response

    trace = trace_id(incoming.message.headers)
    Log("fn", function).failures(reply, call=incoming.call.id, trace=trace)
    reply.release()
    status = socket_status(reply, by_trigger=incoming.by_trigger)
    message = reply.message
    content_type = message.content_type or stated_type(message.headers)
    headers = {"Content-Type": content_type} if content_type else {}
    for name, value in message.headers:  # the FDK can send a name once only
        if name.lower() in ("content-type", "fn-fdk-version"):
            continue
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    response = Response(ctx, response_data=bytes(message.body), headers=headers, status_code=status)
    if incoming.by_trigger:
        # said by status_code, 502 and 504 would go out on the socket and lose the document
        ctx.GetResponseHeaders()["fn-http-status"] = str(reply.status)
    return response
