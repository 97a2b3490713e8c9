"""Records of a topic through a bridge's routes once more, or only where they would go.

The source is a part of a topic, which ends. It belongs to no group: what is done is written
down nowhere, so a replay that is interrupted begins anew, and the bridge that runs meanwhile
notices nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gpfn.bridge.caller import RouteCaller
from gpfn.bridge.dead_letter import Cause
from gpfn.bridge.destinations import CHOSEN, Allowed
from gpfn.bridge.figures import Figures
from gpfn.bridge.intake import Work
from gpfn.bridge.matching import filter_of
from gpfn.bridge.reading import Reader
from gpfn.bridge.remembering import Memory
from gpfn.errors import CallerError, GpfnError, SetupError
from gpfn.http.address import shown_url

if TYPE_CHECKING:
    from gpfn.bridge.destinations import Done
    from gpfn.bridge.lanes import Task
    from gpfn.bridge.operating.topic_span import Batches
    from gpfn.bridge.record import Partition, Record
    from gpfn.bridge.seam import Listener
    from gpfn.bridge.spec import BridgeSpec
    from gpfn.events.event import Event
    from gpfn.limits import Limits
    from gpfn.message import Message

__all__ = ["Planned", "RangeSource", "Step", "only_route", "plan"]

_T = TypeVar("_T")


def only_route(spec: BridgeSpec, name: str) -> BridgeSpec:
    """Return a bridge with one of its routes, which takes every event.

    Raises SetupError with the field ``route`` when there is no such route.
    """
    for route in spec.routes:
        if route.name == name:
            return spec._replace(routes=(route._replace(matches=filter_of({}, "match")),))
    known = ", ".join([route.name for route in spec.routes])
    raise SetupError(f"no route is called {name!r:.80}; there are {known}", field="route")


class RangeSource:
    """The seam `gpfn.bridge.seam.Source`, on records that somebody else reads and that end."""

    def __init__(self, batches: Batches) -> None:
        """``batches`` are read in a thread of their own, for that may wait."""
        self._batches = batches
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")
        self._listener: Listener | None = None
        self._running: asyncio.Task[None] | None = None
        self._assigned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._free = asyncio.Event()

    async def start(self, listener: Listener) -> None:
        """Begin to read; raises what the first look at the topic raises."""
        self._listener = listener
        first = await self._next()
        self._running = asyncio.create_task(self._run(first))

    def done(self, record: Record) -> None:
        """Keep nothing."""

    def tried(self, record: Record, attempts: int) -> None:
        """Keep nothing."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Give nothing of any partition: they come mixed, as they were read."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Go on, once no partition is paused."""
        self._paused.difference_update(partitions)
        if not self._paused:
            self._free.set()

    async def lag(self) -> Mapping[Partition, int]:
        """Return nothing: nobody's position moves."""
        return {}

    async def stop(self) -> None:
        """End the reading."""
        self._listener = None
        if self._running is not None:
            self._running.cancel()
        await self._in_thread(self._batches.close)
        self._thread.shutdown(wait=False)

    async def _run(self, records: Sequence[Record] | None) -> None:
        try:
            while records is not None:
                await self._give(records)
                records = await self._next()
        except Exception as error:  # noqa: BLE001 - whatever it is, the bridge must not wait on
            self._fail(error)
        else:
            if self._listener is not None:
                self._listener.ended()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, GpfnError):
            error = GpfnError(f"unexpected {type(error).__name__} while reading: {error}")
        if self._listener is not None:
            self._listener.failed(error)

    async def _give(self, records: Sequence[Record]) -> None:
        while self._paused:
            self._free.clear()
            await self._free.wait()
        if self._listener is None or not records:
            return
        new = {(record.topic, record.partition) for record in records} - self._assigned
        if new:
            self._assigned |= new
            self._listener.assigned(sorted(new))
        self._listener.received(records)

    async def _next(self) -> Sequence[Record] | None:
        return await self._in_thread(lambda: next(self._batches, None))

    async def _in_thread(self, do: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)


class Step(NamedTuple):
    """What a route that takes a record would do: call something, or give it an outcome."""

    route: str
    call: str = ""
    outcome: str = "called"
    reason: str = ""


class Planned(NamedTuple):
    """What would become of a record: ``outcome`` is ``called`` or one that a bridge counts.

    ``steps`` are those of the routes that take it; it is called when one of them calls.
    """

    record: Record
    event: Event | None
    outcome: str
    reason: str = ""
    steps: tuple[Step, ...] = ()


def plan(spec: BridgeSpec, records: Iterable[Record], limits: Limits) -> Iterator[Planned]:
    """Yield what a bridge would do with each record, by its own rules; nothing is called."""
    names = [route.name for route in spec.routes]
    callers = [
        RouteCaller(route, _Nothing(route.call, route.allow), limits, figures, _never)
        for route, figures in zip(spec.routes, Figures(names).routes, strict=True)
    ]
    memory = Memory(spec.delivery.remember) if spec.delivery.remember else None
    reader = Reader(spec.delivery, limits, f"/{spec.source.kind}", memory)
    for number, record in enumerate(records):
        found = reader.tasks(Work(record, number), callers)
        if isinstance(found, list):
            event = found[0][1].event
            planned = _called(record, event, found)
            if memory is not None and all(step.outcome == "called" for step in planned.steps):
                memory.keep(event)
            yield planned
        elif found is None:
            yield Planned(record, None, "duplicate", "an event of this source and id came before")
        else:
            yield _buried(record, found)


def _called(record: Record, event: Event, found: Sequence[tuple[RouteCaller, Task]]) -> Planned:
    steps = tuple([_step(caller, task) for caller, task in found])
    first = next((step for step in steps if step.outcome == "called"), steps[0])
    return Planned(record, event, first.outcome, first.reason, steps)


def _step(caller: RouteCaller, task: Task) -> Step:
    name, destination = caller.spec.name, caller.destination
    if task.late_at <= time.monotonic():
        return Step(name, "", "late", "its time is up")
    if not isinstance(destination, _Nothing) or destination.allowed is None:
        return Step(name, destination.shown)
    try:
        return Step(name, shown_url(destination.allowed.url_of(task.event)))
    except CallerError as error:
        return Step(name, "", "refused", str(error))


def _buried(record: Record, cause: Cause) -> Planned:
    return Planned(record, None, cause.outcome, cause.reason)


class _Nothing:
    """A destination that is only named."""

    def __init__(self, call: str, allow: Sequence[str]) -> None:
        self.shown = shown_url(call) if "://" in call else call
        self.allowed = Allowed(allow) if call == CHOSEN else None

    def call(self, _message: Message, _event: Event, _seconds: float, _done: Done) -> None:
        """Call nothing; nobody asks for it."""

    def close(self) -> None:
        """Let go of nothing."""


def _never(_caller: RouteCaller, _task: Task, _verdict: object) -> None:
    """Judge nothing: no call is made."""
