"""A function behind the loop server: from an exchange to a call and back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.call.contract import Call, Reply
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError
from gpfn.http.inflate import inflated, is_identity
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.message import Message
from gpfn.platforms.http.service import (
    HttpService,
    bad_reply,
    failed,
    is_empty,
    response_headers,
)

if TYPE_CHECKING:
    from gpfn.http.body import Budget

__all__ = ["HttpHandler"]


class HttpHandler:
    """Answers the loop server's requests with one function.

    An async function runs on the loop, any other in the pool; what waits there is counted
    once its body has come.
    """

    def __init__(self, service: HttpService, budget: Budget) -> None:
        """``budget`` is the server's, for what bodies inflate to."""
        self._service = service
        self.function = service.function
        self._is_async = service.function.is_async
        self._budget = budget
        self._tasks: set[asyncio.Task[None]] = set()
        self._async_calls = 0
        self._most = service.settings.most_threads + service.settings.queue

    def handle(self, exchange: Exchange) -> None:
        """Answer a request."""
        request = exchange.request
        try:
            reply = self._service.route(request.method, request.target.partition("?")[0])
            if reply is None:
                self._call(exchange)
                return
        except Exception as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        self.answer(exchange, reply)

    def receiver(self, method: str, target: str, headers: Headers) -> None:
        """Have every body in memory."""

    def early(self, method: str, target: str, headers: Headers) -> Response | None:  # noqa: ARG002
        """Return the answer to a request for what is not there, before its body has come."""
        reply = self._service.route(method, target.partition("?")[0])
        return None if reply is None else _response(reply)

    def vital(self, exchange: Exchange) -> Response | None:
        """Return the answer to a question about health."""
        request = exchange.request
        if not request.target.startswith("/health/"):
            return None
        reply = self._service.route(request.method, request.target.partition("?")[0])
        return None if reply is None else _response(reply)

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:  # noqa: ARG002
        """Return the answer to a broken request."""
        return _response(failed(error))

    def _call(self, exchange: Exchange) -> None:
        seconds = self._service.settings.request_timeout
        deadline = Deadline(exchange.began + seconds) if seconds else NEVER
        call = _HttpCall(self, exchange, deadline)
        if not self.function.is_open:
            self._spawn(self._open_and_call(call))
        elif self._is_async and not call.coding:
            self._call_on_loop(call)
        else:
            self._service.pool.submit(call.work, deadline, call.done)

    def inflated(self, message: Message, coding: str, call: Call) -> Reply:
        """Answer a compressed message, in a thread: inflating takes time."""
        limit = self.function.limits.body_bytes
        try:
            with inflated(message.body, coding, limit, self._budget, call.deadline) as body:
                return self.function.answer(message._replace(body=body), call)
        except GpfnError as error:
            return failed(error)

    async def _open_and_call(self, call: _HttpCall) -> None:
        """Answer a call that came before the function was open."""
        deadline = call.call.deadline
        timed = deadline is not NEVER
        try:
            ready = self._service.readiness
            if not await ready.wait(deadline.remaining() if timed else None):
                ready.check()
            self._is_async = self.function.is_async
            self._service.pool.submit(call.work, deadline, call.done)
        except Exception as error:  # noqa: BLE001 - every request is answered
            self.answer(call.exchange, failed(error))

    def _call_on_loop(self, call: _HttpCall) -> None:
        if self._async_calls >= self._most:
            self._service.pool.refuse(self._async_calls)
        self._async_calls += 1
        self._spawn(self._await(call))

    async def _await(self, call: _HttpCall) -> None:
        try:
            reply = await self.function.answer_async(call.message, call.call)
        except BaseException as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        finally:
            self._async_calls -= 1
        self.answer(call.exchange, reply)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer(self, exchange: Exchange, reply: Reply) -> None:
        """Send a reply, count it and write its line in the log."""
        gone = exchange.gone
        try:
            response = _response(reply)
            exchange.answer(response)
        except (ValueError, TypeError) as error:
            reply = bad_reply(error)
            response = _response(reply)
            exchange.answer(response)
        self._record(exchange, reply, response, gone=gone)

    def _record(self, exchange: Exchange, reply: Reply, response: Response, *, gone: bool) -> None:
        service, request = self._service, exchange.request
        if reply.error is None and request.method != "POST":
            return  # a page that was asked for
        seconds = monotonic() - exchange.began
        service.count(reply, seconds)
        sent = 0 if gone else sum([memoryview(part).nbytes for part in response.buffers])
        received, trace = len(request.body), exchange.fields.trace
        service.log.call(exchange.id, reply, seconds, received, sent, trace=trace)
        reply.release()


class _HttpCall:
    """One call of the function: what it is given, and what becomes of its reply."""

    __slots__ = ("_handler", "call", "coding", "exchange", "message")

    def __init__(self, handler: HttpHandler, exchange: Exchange, deadline: Deadline) -> None:
        self._handler = handler
        self.exchange = exchange
        self.call = Call(exchange.id, deadline, "http")
        by_name = exchange.fields.by_name
        self.message = Message(
            exchange.request.body, by_name.get("content-type", ""), exchange.fields.others
        )
        coding = by_name.get("content-encoding", "")
        self.coding = "" if is_identity(coding) else coding

    def work(self) -> Reply | None:
        """Compute the reply, in a thread; None when nobody waits for it any more."""
        if self.exchange.gone:
            return None
        if self.coding:
            return self._handler.inflated(self.message, self.coding, self.call)
        return self._handler.function.answer(self.message, self.call)

    def done(self, reply: Reply | None, error: BaseException | None) -> None:
        """Send the reply, on the loop."""
        if reply is not None:
            self._handler.answer(self.exchange, reply)
        elif error is not None:
            self._handler.answer(self.exchange, failed(error))


def _response(reply: Reply) -> Response:
    """Return what goes over the wire; raises ValueError for a header that may not be one."""
    body = reply.message.body
    status = 204 if is_empty(reply) else reply.status
    return Response(status, response_headers(reply), (body,) if body else ())
