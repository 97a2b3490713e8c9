"""What the two servers of ``gpfn dev`` answer with: protocols, their routes, and who may ask.

A protocol is what `gpfn.serving.routing` says. Its answers return a response, nothing when they
answer the exchange themselves, or a coroutine that returns one of these: a call of a function
takes its time.

Every request has to name the server by one of its own names: a page of another site can lead its
own name here (DNS rebinding). What changes something, or runs a function, may not come from such a
page either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from gpfn.errors import CallerError, GpfnError, Overloaded
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.serving.browser import check_browser
from gpfn.serving.routing import Answering, HttpProtocol, Router
from gpfn.serving.tokens import Forbidden

if TYPE_CHECKING:
    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.log import Log

__all__ = ["LocalAnswer", "LocalHandler", "answering"]

LocalAnswer = Response | Coroutine[Any, Any, Response | None] | None
_READING = ("GET", "HEAD", "OPTIONS")


def answering(answer: Callable[..., LocalAnswer]) -> Answering:
    """Return what a route is given for an answer that may take its time."""
    return cast("Answering", answer)


class LocalHandler:
    """Answers the requests of one server; a protocol that stands first is asked first.

    The last one says in its own words what is wrong with a path that nobody has.
    """

    def __init__(
        self,
        protocols: Sequence[HttpProtocol],
        hosts: frozenset[str],
        log: Log,
        *,
        for_pages: tuple[str, ...] = (),
        calls: tuple[str, ...] = (),
    ) -> None:
        """``hosts`` are the names of this server, from `gpfn.serving.browser.own_hosts`.

        What begins with one of ``for_pages`` is there for pages of any site: OpenWhisk's web
        actions. The server has to be named by its own name there too. What begins with one of
        ``calls`` runs a function by any method, GET too: Fn's triggers.
        """
        self._router = Router(protocols)
        self._hosts = hosts
        self._for_pages = for_pages
        self._calls = calls
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._passed: Headers | None = None

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, now or later; never raises."""
        request = exchange.request
        try:
            self._check(request.method, request.target, request.headers)
            route, names = self._router.find(request.method, request.target)[1:]
            answer: LocalAnswer = route.answer(exchange, request.body, **names)
        except Exception as error:  # noqa: BLE001 - every request is answered
            self._fail(exchange, error)
            return
        if answer is None:
            return
        if asyncio.iscoroutine(answer):
            task = asyncio.get_running_loop().create_task(self._finish(exchange, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._send(exchange, answer)

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        """Return what refuses a request whose body need not be waited for, or None."""
        try:
            self._check(method, target, headers)
            route = self._router.find(method, target).route
            if route.early is not None:
                route.early(method, target, headers)
        except GpfnError as error:
            return self.refuse(error, headers, target)
        return None

    def receiver(self, method: str, target: str, headers: Headers) -> BodyReceiver | None:
        """Return None: bodies are in memory."""

    def vital(self, exchange: Exchange) -> Response | None:
        """Return None: nothing is answered in a full house."""

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:
        """Return the answer to a request that is broken, as far as it has come."""
        accept = next((value for name, value in headers if name == "accept"), None)
        return self._router.protocol_of(target).failure(error, accept)

    async def close(self) -> None:
        """End what is still being answered."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _check(self, method: str, target: str, headers: Headers) -> None:
        reads = method in _READING
        if not reads and not target.startswith(self._for_pages):
            if headers is not self._passed:  # those of the same head are the same object
                check_browser(headers, self._hosts)
                self._passed = headers
            return
        if reads and target.startswith(self._calls):
            check_browser(headers, self._hosts, same_site=True)
            return
        if not any(name == "host" and value.lower() in self._hosts for name, value in headers):
            raise Forbidden("not a name of this server; it may be given more names", field="host")

    async def _finish(
        self, exchange: Exchange, answer: Coroutine[Any, Any, Response | None]
    ) -> None:
        try:
            response = await answer
        except Exception as error:  # noqa: BLE001 - every request is answered
            self._fail(exchange, error)
        else:
            if response is not None:
                self._send(exchange, response)

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        if not isinstance(error, CallerError | Overloaded):
            self._log.failure(error, call=exchange.id)
        request = exchange.request
        self._send(exchange, self.refuse(self._told(error), request.headers, request.target))

    def _told(self, error: Exception) -> GpfnError:
        return error if isinstance(error, GpfnError) else GpfnError("internal error")

    def _send(self, exchange: Exchange, response: Response) -> None:
        try:
            exchange.answer(response)
        except ValueError as error:  # a header that may be none
            self._log.failure(error, call=exchange.id)
            exchange.answer(Response(500, (), ()))
