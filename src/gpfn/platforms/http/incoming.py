"""A request's body as ASGI delivers it: bounded in bytes and in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from gpfn.deadline import Deadline
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.limits import Limits

__all__ = ["ClientGone", "Incoming", "Receive"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_DRAIN_SECONDS = 5.0


class ClientGone(Exception):
    """The connection ended before the body did."""


class Incoming:
    """The body of one request; ``complete`` once all of it has been received."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self._receive = receive
        self._length = _length(headers)
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
        """Receive what is left and forget it, so that our answer is not lost in a reset."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.complete:
                    await self._next()
        except (TimeoutError, ClientGone):
            self.complete = True

    async def _read(self, limits: Limits) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while not self.complete:
            piece = await self._next()
            size += len(piece)
            if size > limits.body_bytes:
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
