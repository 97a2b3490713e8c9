"""The calls of functions: ``POST /invoke/ID`` and any method on ``/t/APP/SOURCE``.

What goes down to the function is `gpfn.hosts.fn_request.head_of`'s; what comes of it is a reply by
the tables here. Sources: fnproject/fn 0.3.753, api/agent/agent.go and api/server/runner_*.go.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from gpfn.hosts.fn import call_id
from gpfn.hosts.fn_request import RequestHead, head_of
from gpfn.hosts.host import Invocation
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.local.calling import CallOutcome, FunctionCall, ProcessAnswer
from gpfn.local.calls import CallBody, CallRecord, RunningCall, caller_of, line_of
from gpfn.local.fn.answers import invoked, kept_back, refused, triggered
from gpfn.local.fn.errors import FnError
from gpfn.local.fn.replies import message_reply

if TYPE_CHECKING:
    from gpfn.local.calling import FunctionCaller
    from gpfn.local.calls import Calls
    from gpfn.local.deployed import Deployed
    from gpfn.local.fn.deploying import Deployer
    from gpfn.local.fn.entities import FnEntities
    from gpfn.log import Log

__all__ = ["FnInvoker"]

_Later = Coroutine[Any, Any, None] | None
"""What is still to be waited for, when the exchange is not answered by itself."""

_MOST_HEADS, _MOST_KEPT = 64, 2048  # remembered ones, and bytes of one
_DETACHED = "detached"
_ENDED = CallOutcome(None, "crashed", "gpfn dev ended, or failed, in the middle of the call")


class _Asked:
    """A call that runs, who waits for its answer, and the answer that was sent."""

    __slots__ = ("body", "exchange", "response", "running")

    def __init__(self, running: RunningCall, exchange: Exchange, body: bytes | memoryview) -> None:
        self.running = running
        self.exchange = exchange
        self.body = body
        self.response: Response | None = None


class FnInvoker:
    """Calls functions for callers over HTTP, and keeps a record of every call."""

    def __init__(
        self,
        entities: FnEntities,
        caller: FunctionCaller,
        calls: Calls,
        deployer: Deployer,
        log: Log,
    ) -> None:
        self._entities = entities
        self._caller = caller
        self._calls = calls
        self._deployer = deployer
        self._log = log
        self._heads = _Heads()

    def invoke(self, exchange: Exchange, identifier: str, body: bytes | memoryview) -> _Later:
        """Call a function by its id, and answer. Raises FnError (404)."""
        return self._called(exchange, identifier, body, "invoke")

    def trigger(
        self, exchange: Exchange, app_name: str, source: str, body: bytes | memoryview
    ) -> _Later:
        """Call the function behind a trigger, and answer. Raises FnError (404)."""
        app = self._entities.find_app(app_name)
        if app is None:
            raise FnError("app unknown")
        trigger = self._entities.find_trigger(app.id, source)
        if trigger is None:
            raise FnError("trigger unknown")
        via = f"trigger /t/{app.name}{trigger.source}"
        return self._called(exchange, trigger.fn_id, body, via)

    def _called(self, exchange: Exchange, fn_id: str, body: bytes | memoryview, via: str) -> _Later:
        """Begin a call. A process that rests is asked at once; else a task has to wait for one."""
        deployed = self._deployer.deployed(fn_id)
        agent = exchange.fields.by_name.get("user-agent", "")
        identifier = call_id()
        running = RunningCall(
            identifier, "fn", fn_id, deployed.name, caller_of(agent), via, time.time()
        )
        asked = _Asked(running, exchange, body)
        self._calls.begin(running)
        try:
            unmapped = self._deployer.unmapped(deployed)
            if unmapped:
                named = (("Fn-Call-Id", identifier),)
                outcome = CallOutcome(None, "start failed", unmapped)
                response = message_reply(502, unmapped, named)
                exchange.answer(response)
                self._record(asked, outcome, response)
                return None
            sent, seconds = bytes(body), deployed.timeout
            sent = self._heads.of(exchange, sent, via).whole(identifier, seconds, sent)
            call = FunctionCall(identifier, sent, seconds, wait_seconds=seconds)
            answered, over = partial(self._answered, asked), partial(self._over, asked)
            if self._caller.begin(deployed, call, answered, over):
                return None
        except BaseException:
            self._record(asked, _ENDED, message_reply(500, ""))
            raise
        return self._wait(asked, deployed, call)

    async def _wait(self, asked: _Asked, deployed: Deployed, call: FunctionCall) -> None:
        try:
            outcome = await self._caller.call(deployed, call)
        except BaseException:
            self._record(asked, _ENDED, message_reply(500, ""))
            raise
        self._over(asked, outcome)

    def _answered(self, asked: _Asked, answer: ProcessAnswer) -> None:
        """Send a function's answer to the caller, who reads it while the record is made."""
        self._send(asked, CallOutcome(answer))

    def _over(self, asked: _Asked, outcome: CallOutcome) -> None:
        """Answer what came of a call, if it is not answered, and keep its record."""
        self._record(asked, outcome, asked.response or self._send(asked, outcome))

    def _send(self, asked: _Asked, outcome: CallOutcome) -> Response:
        try:
            asked.response = _reply(outcome, asked)
            asked.exchange.answer(asked.response)
        except Exception as error:  # noqa: BLE001 - nobody else would answer
            self._log.failure(error, call=asked.exchange.id)
            asked.response = message_reply(500, "internal server error")
            asked.exchange.answer(asked.response)
        return asked.response

    def _record(self, asked: _Asked, outcome: CallOutcome, response: Response) -> None:
        running, exchange, body = asked.running, asked.exchange, asked.body
        request = exchange.request
        line = "" if running.via == "invoke" else line_of(request.method, request.target)
        replied = response.buffers[0] if response.buffers else b""
        record = CallRecord(
            *running,
            status=response.status,
            stages=outcome.stages,
            cold=outcome.cold,
            failure=outcome.failure,
            detail=outcome.detail or kept_back(outcome.answer),
            memory=outcome.memory,
            request=CallBody.of(exchange.fields.by_name.get("content-type", ""), body),
            reply=CallBody.of(_media_type(response.headers), replied),
            log=outcome.log,
            line=line,
        )
        self._calls.add(record, outcome.rest)
        if outcome.failure:
            why = f"{running.name}: {outcome.failure}: {outcome.detail}"
            self._log.warning(f"{why} ({response.status} to {running.caller})")


def _media_type(headers: Headers) -> str:
    """Return what the headers of a reply say last."""
    return next((value for name, value in reversed(headers) if name.lower() == "content-type"), "")


class _Heads:
    """Heads of requests to functions; one that another call had too is not made again."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], RequestHead] = {}

    def of(self, exchange: Exchange, body: bytes, via: str) -> RequestHead:
        """Return the head for a call by ``via``. Raises ValueError for a header that can be none.

        A trigger's has its address and the length of the body in it, and is made for each call.
        """
        request = exchange.request
        if via != "invoke":
            return _head(exchange, body, as_trigger=True)
        key = request.headers, not body
        found = self._known.get(key)
        if found is None:
            found = _head(exchange, body, as_trigger=False)
            if len(found.first) + len(found.last) <= _MOST_KEPT:
                if len(self._known) >= _MOST_HEADS:
                    self._known.clear()
                self._known[key] = found
        return found


def _head(exchange: Exchange, body: bytes, *, as_trigger: bool) -> RequestHead:
    fields, request = exchange.fields.by_name, exchange.request
    url = f"http://{fields.get('host', '')}{request.target}"
    invocation = Invocation(
        body,
        fields.get("content-type", ""),
        request.headers,
        as_trigger=as_trigger,
        method=request.method,
        url=url,
    )
    return head_of(invocation, by_fn=False)


def _reply(outcome: CallOutcome, asked: _Asked) -> Response:
    """Return what the caller gets for what came of a call."""
    identifier, via = asked.running.id, asked.running.via
    if outcome.answer is None or outcome.failure or outcome.answer.status != 200:
        return refused(outcome, identifier)
    if via != "invoke":
        return triggered(outcome.answer, identifier)
    detached = asked.exchange.fields.by_name.get("fn-invoke-type") == _DETACHED
    reply = invoked(outcome.answer, identifier)
    return reply._replace(buffers=()) if detached else reply
