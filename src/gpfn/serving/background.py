"""Work that a request's answer waits for: coroutines on the loop, and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from gpfn.deadline import Deadline
from gpfn.http.loop.pool import WorkPool

if TYPE_CHECKING:
    from gpfn.http.loop.exchange import Exchange, Response
    from gpfn.serving.routing import HttpProtocol
    from gpfn.serving.service import Service

__all__ = ["Background"]

_T = TypeVar("_T")


class Background:
    """The work of a service; every request is answered, whatever becomes of it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = WorkPool(service.settings.threads, service.settings.queue)
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Have a coroutine run on the loop; it raises nothing."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer_with(
        self,
        exchange: Exchange,
        work: Coroutine[object, object, _T],
        protocol: HttpProtocol,
        then: Callable[[_T], Response],
    ) -> None:
        """Answer with what comes of a coroutine, on the loop."""

        async def run() -> None:
            try:
                response = then(await work)
            except BaseException as error:  # noqa: BLE001 - every request is answered
                self._service.fail(exchange, error, protocol)
            else:
                self._service.answer(exchange, response)

        self.spawn(run())

    def in_thread(
        self,
        exchange: Exchange,
        work: Callable[[], object],
        then: Callable[[object], None],
        protocol: HttpProtocol,
    ) -> None:
        """Have work done that takes time, and go on with what it returns, on the loop."""

        def done(result: object, error: BaseException | None) -> None:
            if error is None:
                try:
                    then(result)
                except BaseException as failed:  # noqa: BLE001 - every request is answered
                    error = failed
            if error is not None:
                self._service.fail(exchange, error, protocol)

        deadline = Deadline(exchange.began + self._service.settings.request_seconds)
        self._threads.submit(work, deadline, done)
