"""A function behind the loop server: from an exchange to a call and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.call.contract import Call, Reply
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError
from gpfn.http.inflate import inflate, is_identity
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.message import Message
from gpfn.platforms.http.service import (
    HttpService,
    bad_headers,
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
        self._function = service.function
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
        self._answer(exchange, reply)

    def early(self, method: str, target: str) -> Response | None:
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

    def refuse(self, error: GpfnError, headers: tuple[tuple[str, str], ...]) -> Response:  # noqa: ARG002
        """Return the answer to a broken request."""
        return _response(failed(error))

    def _call(self, exchange: Exchange) -> None:
        seconds = self._service.settings.request_timeout
        deadline = Deadline(exchange.began + seconds) if seconds else NEVER
        call = Call(exchange.id, deadline, "http")
        fields = exchange.fields
        message = Message(
            exchange.request.body, fields.by_name.get("content-type", ""), fields.others
        )
        coding = fields.by_name.get("content-encoding", "")
        if self._function.is_open and self._function.is_async and is_identity(coding):
            self._call_on_loop(exchange, message, call)
            return

        def work() -> Reply:
            if is_identity(coding):
                return self._function.answer(message, call)
            return self._inflated(message, coding, call)

        def done(reply: Reply | None, error: BaseException | None) -> None:
            self._answer(exchange, reply if reply is not None else failed(_known(error)))

        if self._function.is_open:
            self._service.pool.submit(work, deadline, done)
        else:
            self._spawn(self._open_and_call(exchange, work, deadline))

    def _inflated(self, message: Message, coding: str, call: Call) -> Reply:
        """Answer a compressed message, in a thread: inflating takes time."""
        budget, held = self._budget, 0

        def hold(size: int) -> None:
            nonlocal held
            budget.change(size)
            held += size

        limit = self._function.limits.body_bytes
        try:
            body = inflate(message.body, coding, limit, hold)
            return self._function.answer(message._replace(body=body), call)
        except GpfnError as error:
            return failed(error)
        finally:
            budget.free(held)

    async def _open_and_call(
        self, exchange: Exchange, work: Callable[[], Reply], deadline: Deadline
    ) -> None:
        """Answer a call that came before the function was open."""
        timed = deadline is not NEVER
        try:
            ready = self._service.readiness
            if not await ready.wait(deadline.remaining() if timed else None):
                ready.check()
            reply: Reply = await self._service.pool.run(work, deadline)
        except Exception as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        self._answer(exchange, reply)

    def _call_on_loop(self, exchange: Exchange, message: Message, call: Call) -> None:
        if self._async_calls >= self._most:
            self._service.pool.refuse(self._async_calls)
        self._async_calls += 1
        self._spawn(self._await(exchange, message, call))

    async def _await(self, exchange: Exchange, message: Message, call: Call) -> None:
        try:
            reply = await self._function.answer_async(message, call)
        except BaseException as error:  # noqa: BLE001 - every request is answered
            reply = failed(error)
        finally:
            self._async_calls -= 1
        self._answer(exchange, reply)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(self, exchange: Exchange, reply: Reply) -> None:
        """Send a reply, count it and write its line in the log."""
        try:
            response = _response(reply)
        except ValueError as error:
            reply = bad_headers(error)
            response = _response(reply)
        gone = exchange.gone
        exchange.answer(response)
        self._record(exchange, reply, response, gone=gone)

    def _record(self, exchange: Exchange, reply: Reply, response: Response, *, gone: bool) -> None:
        service, request = self._service, exchange.request
        if reply.error is None and request.method != "POST":
            return  # a page that was asked for
        seconds = monotonic() - exchange.began
        service.count(reply, seconds)
        if gone:
            service.log.info("the client went away", call=exchange.id)
        sent = 0 if gone or not response.buffers else len(response.buffers[0])
        received, trace = len(request.body), exchange.fields.trace
        service.log.call(exchange.id, reply, seconds, received, sent, trace=trace)
        reply.release()


def _known(error: BaseException | None) -> BaseException:
    return error if error is not None else GpfnError("the function gave no answer")


def _response(reply: Reply) -> Response:
    """Return what goes over the wire; raises ValueError for a header that may not be one."""
    body = reply.message.body
    status = 204 if is_empty(reply) else reply.status
    return Response(status, response_headers(reply), (body,) if body else ())
