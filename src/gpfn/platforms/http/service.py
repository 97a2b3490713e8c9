"""What an ASGI application does for a function: routes, admission, one call, its log line.

:class:`Readiness` waits for the function's model to be open without holding the loop up.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from gpfn.call.contract import Answering, Call, Reply
from gpfn.call.opening import Opening
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidRequest, Overloaded, UnsupportedMedia
from gpfn.log import Log, trace_id
from gpfn.message import Message
from gpfn.platforms.http.asgi import ClientGone, Receive, RequestBody, Send, failed, send_reply
from gpfn.platforms.http.workers import HttpSettings, Workers

__all__ = ["HttpService", "Readiness", "Scope"]

Scope = MutableMapping[str, Any]

_ID = re.compile(r"[\x21-\x7e]{1,128}")
_OWN_HEADERS = frozenset({b"content-type", b"content-length"})


class HttpService:
    """One function over HTTP; :class:`gpfn.platforms.http.adapter.AsgiApp` calls it."""

    def __init__(
        self,
        function: Answering,
        settings: HttpSettings,
        log: Log | None = None,
        start: Mapping[str, float] | None = None,
    ) -> None:
        """``start`` are named seconds that were spent before, such as the import's."""
        self.function = function
        self.settings = settings
        self._log = log or Log("http", function.name)
        self._readiness = Readiness(function, self._log, start)
        self._workers = Workers(settings.threads)
        self._most = settings.threads + settings.queue
        self._calls = 0

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
        if not await self._readiness.wait(self.settings.start_window):
            self._log.warning(f"still opening the model after {self.settings.start_window:g} s")
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            continue
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        incoming = RequestBody(receive, headers)
        call_id = _call_id(headers)
        try:
            reply = await self._answer(scope, incoming, call_id)
        except ClientGone:
            self._log.info("the client went away", call=call_id)
            return
        except Exception as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        reply = await self._send(send, incoming, reply)
        if reply.error is not None or not scope["path"].startswith("/health/"):
            seconds, sent = time.perf_counter() - began, memoryview(reply.message.body).nbytes
            trace = _trace(headers)
            self._log.call(call_id, reply, seconds, incoming.size, sent, trace=trace)
        reply.release()

    async def _answer(self, scope: Scope, incoming: RequestBody, call_id: str) -> Reply:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        route = path.rstrip("/")
        if route in ("/health/live", "/health/ready"):
            return self._health(scope["method"], route)
        if route not in ("", f"/{self.function.name}"):
            where = f"POST to / or /{self.function.name}"
            raise InvalidRequest(f"no such path; {where}", field="path", status=404)
        if scope["method"] != "POST":
            return _not_allowed("POST")
        return await self._admit(scope, incoming, call_id)

    def _health(self, method: str, route: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        if route == "/health/ready":
            self._readiness.check()
        state = route.rpartition("/")[2]
        return Reply(Message(b'{"status":"%s"}' % state.encode(), "application/json"))

    async def _admit(self, scope: Scope, incoming: RequestBody, call_id: str) -> Reply:
        if self._calls >= self._most:
            raise Overloaded(f"{self._calls} calls are running or waiting; GPFN_QUEUE sets this")
        self._calls += 1
        try:
            return await self._call(scope, incoming, call_id)
        finally:
            self._calls -= 1

    async def _call(self, scope: Scope, incoming: RequestBody, call_id: str) -> Reply:
        timeout = self.settings.request_timeout
        deadline = Deadline.after(timeout) if timeout else NEVER
        message = _message(scope, b"")
        body = await incoming.body(self.function.limits, deadline)
        message = message._replace(body=body)
        if not await self._readiness.wait(deadline.remaining() if timeout else None):
            self._readiness.check()
        call = Call(call_id, deadline, "http")
        if self.function.is_async and self.function.is_open:
            return await self.function.answer_async(message, call)
        reply = await self._workers.run(lambda: self.function.answer(message, call), deadline)
        assert isinstance(reply, Reply)  # noqa: S101 - for type checkers
        return reply

    async def _send(self, send: Send, incoming: RequestBody, reply: Reply) -> Reply:
        if incoming.complete:
            return await send_reply(send, reply)
        # The reply goes out before all of the body has come. Keep receiving for a while: a
        # client that is cut off while it still writes would never see the reply.
        reply = await send_reply(send, reply, close=True, last=False)
        await incoming.drain()
        await send({"type": "http.response.body", "body": b""})
        return reply


def _message(scope: Scope, body: bytes) -> Message:
    """Return the request's message; raises UnsupportedMedia for a compressed body."""
    content_type = ""
    headers: list[tuple[str, str]] = []
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedMedia("send the body without it", field="content-encoding")
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise InvalidRequest("only chunked is known", field="transfer-encoding", status=501)
        elif name not in _OWN_HEADERS:
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
    return Message(body, content_type, tuple(headers))


def _call_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's X-Request-Id if it can stand in a log, otherwise a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


def _trace(headers: Mapping[bytes, bytes]) -> str:
    """Return the W3C trace id that the caller sent, or ""."""
    names = (b"traceparent", b"ce-traceparent")
    found = [(n.decode(), headers[n].decode("latin-1")) for n in names if n in headers]
    return trace_id(found) if found else ""


def _not_allowed(methods: str) -> Reply:
    error = InvalidRequest(f"allowed here: {methods}", field="method", status=405)
    return failed(error, ("allow", methods))


class Readiness:
    """Whether one function can be called, and the attempt to open it that is under way."""

    def __init__(
        self, function: Answering, log: Log, start: Mapping[str, float] | None = None
    ) -> None:
        self._function = function
        self._opening = Opening(function.open, log, start)
        self._attempt: asyncio.Future[None] | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait until the function is open or the attempt has failed; False when neither is."""
        if self._function.is_open:
            return True
        done, _ = await asyncio.wait([self._begin()], timeout=seconds)
        return bool(done)

    def check(self) -> None:
        """Raise NotReady unless the function is open; the next attempt is begun if need be."""
        if not self._function.is_open:
            self._opening.check()

    def _begin(self) -> asyncio.Future[None]:
        """Start an attempt unless one is under way; the future is done when it has ended."""
        if self._attempt is None or self._attempt.done():
            loop = asyncio.get_running_loop()
            self._attempt = loop.create_future()
            ended = self._attempt.set_result

            def tell() -> None:
                with suppress(RuntimeError):  # the loop has ended, and with it whoever waits
                    loop.call_soon_threadsafe(ended, None)

            self._opening.begin(tell)
        return self._attempt
