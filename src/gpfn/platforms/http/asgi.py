"""A request's body read from ASGI, within bounds of bytes and time; a reply sent by ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from gpfn.call.contract import Reply
from gpfn.call.encode import error_message, status_of
from gpfn.deadline import Deadline
from gpfn.errors import GpfnError, InvalidRequest, TooLarge
from gpfn.http.writer import check_header
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

__all__ = ["ClientGone", "Receive", "RequestBody", "Send", "failed", "send_reply"]


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_DRAIN_SECONDS = 5.0


class ClientGone(Exception):
    """The connection ended before the body did."""


class RequestBody:
    """The body of one request; ``complete`` once all of it has been received."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self._receive = receive
        self._length = _length(headers)
        self.size = 0  # bytes received until now
        self.complete = self._length == 0

    async def body(self, limits: Limits, deadline: Deadline) -> bytes:
        """Return the whole body.

        Raises TooLarge as soon as it is known to be over the limit, InvalidRequest (408)
        when it has not arrived before the deadline, ClientGone.
        """
        if self._length is not None and self._length > limits.body_bytes:
            raise _too_large(limits)
        left = deadline.remaining()
        try:
            async with asyncio.timeout(None if left == float("inf") else left):
                return await self._read(limits)
        except TimeoutError:
            detail = "the body did not arrive in time; GPFN_REQUEST_TIMEOUT sets this"
            raise InvalidRequest(detail, field="body", status=408) from None

    async def drain(self) -> None:
        """Receive what is left and drop it: closing with unread bytes would lose our reply."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.complete:
                    await self._next()
        except (TimeoutError, ClientGone):
            self.complete = True

    async def _read(self, limits: Limits) -> bytes:
        pieces: list[bytes] = []
        while not self.complete:
            piece = await self._next()
            if self.size > limits.body_bytes:
                pieces.clear()  # the error keeps this frame while the rest is drained
                raise _too_large(limits)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        return piece


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        f"more than {limits.body_bytes} bytes; GPFN_MAX_BODY_BYTES sets this", field="body"
    )


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the stated length of the body, None when it is not stated."""
    if b"transfer-encoding" in headers:
        return None
    stated = headers.get(b"content-length", b"0")
    return int(stated) if stated.isdigit() else None


Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OURS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers that say how a reply is framed. The server writes them, whatever a function sets."""


def failed(error: BaseException, *headers: tuple[str, str]) -> Reply:
    """Return the reply with the error document of ``error`` and these headers besides."""
    message = error_message(error)
    return Reply(
        message._replace(headers=(*message.headers, *headers)), status_of(error), error=error
    )


async def send_reply(send: Send, reply: Reply, *, close: bool = False, last: bool = True) -> Reply:
    """Send a reply; returns what was sent: another one if a header of it is not valid.

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
    """Say whether a reply has neither data nor attributes of an event; it is sent as 204."""
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
