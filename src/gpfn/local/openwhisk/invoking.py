"""Calls of actions and of sequences: who waits for what comes of them, and for how long.

An activation that was begun goes on until it is over, also when nobody waits for it any more:
its record is there then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.hosts.openwhisk import activation_id
from gpfn.local.calls import CallBody, caller_of, line_of
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.recording import CallOrigin
from gpfn.local.openwhisk.refusing import NOT_ALLOWED, WhiskRefusal
from gpfn.local.openwhisk.results import ActivationResponse, status_of
from gpfn.local.openwhisk.running import ActionRunner, Busy, Payload, TooMuch
from gpfn.local.openwhisk.sequences import SequenceRunner

if TYPE_CHECKING:
    from gpfn.local.openwhisk.asking import WhiskRequest
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.records import WhiskAction
    from gpfn.log import Log

__all__ = [
    "InvokeOrigin",
    "Invoker",
    "Invoking",
    "InvokingSettings",
    "busy",
    "check_parameters",
    "too_much",
]

_TURNS = 3
"""Turns of the loop after which a call that cannot be taken at all has failed."""


class InvokingSettings(NamedTuple):
    """The platform's bounds: ``blocking_seconds`` that a caller waits, ``most_payload`` bytes."""

    blocking_seconds: float = 60.0
    most_payload: int = 1 << 20
    most_components: int = 50


class InvokeOrigin(NamedTuple):
    """Where a call comes from; ``status`` is what a caller gets for a response that it waits for.

    Who waits for none gets 202. ``line`` is that of `CallRecord`.
    """

    transaction: str
    caller: str
    via: str
    request: CallBody
    status: Callable[[ActivationResponse], int] = status_of
    line: str = ""

    @classmethod
    def of(cls, request: WhiskRequest, via: str, *, waits: bool) -> InvokeOrigin:
        """Return the origin of a request, whose caller waits for the response or does not."""
        body = CallBody(request.header("content-type"), request.body, len(request.body))
        caller = caller_of(request.header("user-agent"))
        status = status_of if waits else _accepted
        line = line_of(request.method, request.target) if via == "web" else ""
        return cls(request.transaction, caller, via, body, status, line)


class Invoking(NamedTuple):
    """An activation that runs: its id, and what becomes of it."""

    id: str
    task: asyncio.Task[WhiskActivation]
    leave: Callable[[], None]

    async def wait(self, seconds: float) -> WhiskActivation | None:
        """Return it when it is over in that time, otherwise None: it goes on without us.

        Raises WhiskRefusal when it could not be begun.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self.task), seconds)
        except TimeoutError:
            self.leave()
            return None
        except Busy:
            raise busy() from None
        except TooMuch:
            raise too_much() from None

    async def accept(self) -> str:
        """Return its id, once it is clear that it was begun. Raises WhiskRefusal."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self.task.done():
            await self.wait(0)
        self.leave()
        return self.id


class Invoker:
    """Begins activations, and keeps those that nobody waits for."""

    def __init__(
        self,
        entities: WhiskEntities,
        runner: ActionRunner,
        log: Log,
        settings: InvokingSettings,
    ) -> None:
        self.settings = settings
        self._runner = runner
        self._sequences = SequenceRunner(entities, runner, settings.most_components)
        self._log = log
        self._tasks: set[asyncio.Task[WhiskActivation]] = set()

    def begin(self, action: WhiskAction, payload: Payload, origin: InvokeOrigin) -> Invoking:
        """Begin an activation of an action or a sequence."""
        left: list[bool] = []
        identifier = activation_id()
        asked = CallOrigin(
            origin.transaction,
            time.time(),
            origin.caller,
            origin.via,
            origin.request,
            lambda response: 202 if left else origin.status(response),
            lambda: bool(left),
            line=origin.line,
        )
        sequence = action.exec.kind == "sequence"
        run = self._sequences.run if sequence else self._runner.run
        task = self._keep(run(action, payload, asked, identifier), identifier)
        return Invoking(identifier, task, lambda: left.append(True))

    async def close(self) -> None:
        """End the activations that still run; their records say so at the next start."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(
        self, running: Coroutine[Any, Any, WhiskActivation], identifier: str
    ) -> asyncio.Task[WhiskActivation]:
        task = asyncio.get_running_loop().create_task(running)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, identifier))
        return task

    def _ended(self, task: asyncio.Task[WhiskActivation], identifier: str) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Busy | TooMuch):
            self._log.failure(error, call=identifier)


def _accepted(_: ActivationResponse) -> int:
    return 202


def check_parameters(payload: Iterable[str], final: frozenset[str]) -> None:
    """Raise WhiskRefusal (400) when a caller gives a parameter that is not to be changed."""
    if not final.isdisjoint(payload):
        raise WhiskRefusal(400, NOT_ALLOWED)


def busy() -> WhiskRefusal:
    """Return what is said when too many calls wait for an action already."""
    return WhiskRefusal(429, "Too many concurrent requests in flight.")


def too_much() -> WhiskRefusal:
    """Return what is said of arguments that are too large with the action's parameters."""
    told = "The request content is larger than the server is willing or able to process."
    return WhiskRefusal(413, told)
