"""A reply as ASGI takes it."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gpfn.errors import GpfnError
from gpfn.events.message import Message
from gpfn.function.call import Reply
from gpfn.function.reply import error_message, status_of
from gpfn.http1.reply import check_header

__all__ = ["Send", "failed", "send_reply"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OURS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers that say how a reply is framed: the server's to write, not a function's."""


def failed(error: BaseException, *headers: tuple[str, str]) -> Reply:
    """Return the reply that tells ``error`` as a document."""
    message = error_message(error)
    return Reply(
        message._replace(headers=(*message.headers, *headers)), status_of(error), error=error
    )


async def send_reply(send: Send, reply: Reply, *, close: bool = False, last: bool = True) -> Reply:
    """Send a reply; returns it, or what was sent instead of one that cannot be.

    ``last=False`` leaves the response open after its last byte, so that the caller can
    still receive; :func:`finish` ends it.
    """
    try:
        head = list(_head(reply))
    except ValueError as error:
        reply = failed(GpfnError(f"the function's reply has a bad header: {error}"))
        head = list(_head(reply))
    if close:
        head.append((b"connection", b"close"))
    status = 204 if _is_empty(reply) else reply.status
    await send({"type": "http.response.start", "status": status, "headers": head})
    body = reply.message.body
    data = body if isinstance(body, bytes) else bytes(body)
    await send({"type": "http.response.body", "body": data, "more_body": not last})
    return reply


def _is_empty(reply: Reply) -> bool:
    """Say whether there is nothing to tell: neither data nor an event's attributes."""
    message = reply.message
    return reply.status == 200 and not (message.body or message.content_type or message.headers)


def _head(reply: Reply) -> Iterable[tuple[bytes, bytes]]:
    for name, value in _headers(reply.message):
        check_header(name, value)
        yield name.encode("ascii"), value.encode("latin-1")
    if not _is_empty(reply):
        yield b"content-length", b"%d" % memoryview(reply.message.body).nbytes


def _headers(message: Message) -> Iterable[tuple[str, str]]:
    if message.content_type:
        yield "content-type", message.content_type
    for name, value in message.headers:
        if name.lower() not in _OURS:
            yield name.lower(), value
