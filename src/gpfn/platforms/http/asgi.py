"""A function as an ASGI application: bodies bounded in bytes and time, replies by ASGI.

What ``gpfn run http`` promises of connections, heads and memory is then the server's part.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import monotonic
from typing import Any

from gpfn.call.contract import Call, Reply
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.http.inflate import inflate, is_identity
from gpfn.http.loop.exchange import is_request_id
from gpfn.limits import Limits
from gpfn.log import trace_id
from gpfn.message import Message
from gpfn.platforms.http.service import (
    HttpService,
    bad_reply,
    failed,
    is_empty,
    response_headers,
)

__all__ = ["AsgiService", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OWN_HEADERS = ("content-encoding", "content-length", "content-type")
_DRAIN_SECONDS = 5.0


class AsgiService:
    """The ASGI side of a function; :class:`gpfn.platforms.http.adapter.AsgiApp` calls it."""

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self._most = service.settings.most_threads + service.settings.queue
        self._async_calls = 0

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope, as the ASGI specification 3.0 has it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003, "reason": "not a WebSocket"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.startup":
            continue
        window = self._service.settings.start_window
        if not await self._service.readiness.wait(window):
            self._service.log.warning(f"still opening the model after {window:g} s")
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            continue
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, service = monotonic(), self._service
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        )
        fields = dict(reversed(headers))
        given = fields.get("x-request-id", "")
        call_id = given if is_request_id(given) else uuid.uuid4().hex
        incoming = _RequestBody(receive, fields)
        try:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            reply = service.route(scope["method"], path)
            if reply is None:
                reply = await self._call(headers, fields, incoming, call_id)
        except _ClientGone:
            service.log.info("the client went away", call=call_id)
            return
        except Exception as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        reply = await self._send(send, incoming, reply, call_id)
        if reply.error is not None or scope["method"] == "POST":
            seconds, sent = monotonic() - began, memoryview(reply.message.body).nbytes
            service.count(reply, seconds)
            trace = trace_id(headers)
            service.log.call(call_id, reply, seconds, incoming.size, sent, trace=trace)
        reply.release()

    async def _call(
        self,
        headers: tuple[tuple[str, str], ...],
        fields: Mapping[str, str],
        incoming: _RequestBody,
        call_id: str,
    ) -> Reply:
        service, function = self._service, self._service.function
        seconds = service.settings.request_timeout
        deadline = Deadline.after(seconds) if seconds else NEVER
        others = tuple(pair for pair in headers if pair[0] not in _OWN_HEADERS)
        body = await incoming.body(function.limits, deadline)
        message = Message(body, fields.get("content-type", ""), others)
        if not await service.readiness.wait(deadline.remaining() if seconds else None):
            service.readiness.check()
        call = Call(call_id, deadline, "http")
        coding = fields.get("content-encoding", "")
        if function.is_async and function.is_open and is_identity(coding):
            return await self._await(message, call)

        def work() -> Reply:
            if is_identity(coding):
                return function.answer(message, call)
            whole = inflate(body, coding, function.limits.body_bytes, deadline=deadline)
            return function.answer(message._replace(body=whole), call)

        reply: Reply = await service.pool.run(work, deadline)
        return reply

    async def _await(self, message: Message, call: Call) -> Reply:
        if self._async_calls >= self._most:
            self._service.pool.refuse(self._async_calls)
        self._async_calls += 1
        try:
            return await self._service.function.answer_async(message, call)
        finally:
            self._async_calls -= 1

    async def _send(self, send: Send, incoming: _RequestBody, reply: Reply, call_id: str) -> Reply:
        """Send a reply; returns what was sent: another one if a header of it is not valid."""
        try:
            headers, body = response_headers(reply), bytes(memoryview(reply.message.body))
        except (ValueError, TypeError) as error:
            reply = bad_reply(error)
            headers, body = response_headers(reply), bytes(reply.message.body)
        head = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        head.append((b"x-request-id", call_id.encode("ascii")))
        if not is_empty(reply):
            head.append((b"content-length", b"%d" % len(body)))
        if not incoming.complete:
            head.append((b"connection", b"close"))
        status = 204 if is_empty(reply) else reply.status
        await send({"type": "http.response.start", "status": status, "headers": head})
        more = not incoming.complete
        await send({"type": "http.response.body", "body": body, "more_body": more})
        if more:
            # The reply goes out before all of the body has come. Keep receiving for a while: a
            # client that is cut off while it still writes would never see the reply.
            await incoming.drain()
            await send({"type": "http.response.body", "body": b""})
        return reply


class _ClientGone(Exception):
    """The connection ended before the body did."""


class _RequestBody:
    """The body of one request; ``complete`` once all of it has been received."""

    def __init__(self, receive: Receive, fields: Mapping[str, str]) -> None:
        self._receive = receive
        self._length = _length(fields)
        self.size = 0  # bytes received until now
        self.complete = self._length == 0

    async def body(self, limits: Limits, deadline: Deadline) -> bytes:
        """Return the whole body.

        Raises TooLarge as soon as it is known to be over the limit, InvalidRequest (408)
        when it has not arrived before the deadline, _ClientGone.
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
        except (TimeoutError, _ClientGone):
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
            raise _ClientGone
        self.complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        return piece


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        f"more than {limits.body_bytes} bytes; GPFN_MAX_BODY_BYTES sets this", field="body"
    )


def _length(fields: Mapping[str, str]) -> int | None:
    """Return the stated length of the body, None when it is not stated."""
    if "transfer-encoding" in fields:
        return None
    stated = fields.get("content-length", "0")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 19 else None
