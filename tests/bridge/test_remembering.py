"""Second comings of events: left out when the first was dealt with, called when it was not."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gpfn.bridge.engine import Bridge
from gpfn.bridge.matching import filter_of
from gpfn.bridge.record import Outgoing, Record
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.seam import Listener
from gpfn.bridge.spec import BridgeSpec, Delivery, Place, RouteSpec
from gpfn.errors import BackendError, GpfnError, TooLarge
from gpfn.events import Event
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.message import Message
from tests.bridge.memory import MemoryQueue, MemorySink, MemorySource, Scripted, record_of, replied

QUICK = RetryPolicy(attempts=2, first=0.002, factor=1.0, most=0.002)
ROUTE = RouteSpec("f", filter_of({}, "match"), "http://f", reply="out", retry=QUICK)
REFUSED = (400, Message(b""))

Steps = Callable[["Given", Listener], Awaitable[None]]


class Given(MemorySource):
    """A source that gives what the test wants, when the test wants it."""

    def __init__(self, queue: MemoryQueue, steps: Steps) -> None:
        super().__init__(queue)
        self._steps = steps

    async def _give(self, listener: Listener) -> None:
        await self._steps(self, listener)
        listener.ended()


class Run:
    """A bridge that has run to its end."""

    def __init__(
        self,
        records: Sequence[Record],
        function: Scripted | list[Scripted] | None = None,
        *,
        steps: Steps | None = None,
        routes: tuple[RouteSpec, ...] = (ROUTE,),
        delivery: Delivery = Delivery(remember=10),  # noqa: B008 - a value
        refuse: Callable[[Outgoing], GpfnError | None] = lambda _: None,
    ) -> None:
        self.functions = function if isinstance(function, list) else [function or Scripted()]
        self.queue, self.sink = MemoryQueue(records), MemorySink(refuse)
        source = MemorySource(self.queue) if steps is None else Given(self.queue, steps)
        spec = BridgeSpec(Place("queue"), Place("queue"), routes, "dead", delivery)

        async def work() -> None:
            log = Log("bridge", form="quiet")
            bridge = Bridge(spec, source, self.sink, self.functions, limits=Limits(), log=log)
            async with asyncio.timeout(10):
                await bridge.run()
            self.counts = {name: n for name, n in bridge.figures.counts.items() if n}
            self.kept = bridge._memory

        asyncio.run(work())

    @property
    def calls(self) -> list[str]:
        return self.functions[0].calls

    @property
    def all_done(self) -> bool:
        return not self.queue.left()


def again(number: int, offset: int, **changes: object) -> Record:
    """Return the event of a number at another offset."""
    return record_of(number)._replace(offset=offset, **changes)


def test_without_a_memory_each_is_called() -> None:
    run = Run([record_of(1), again(1, 9)], delivery=Delivery())
    assert run.counts == {"replied": 2}


def test_what_comes_after_the_first_was_done() -> None:
    run = Run([*(record_of(n) for n in range(30)), again(29, 40), again(1, 41)])
    assert run.counts == {"replied": 31, "duplicate": 1}, "the last ten are known"
    assert run.all_done


@pytest.mark.parametrize("order", ["key", "partition", "none"])
def test_what_comes_while_the_first_is_under_way_waits_for_it(order: str) -> None:
    function = Scripted(turns=lambda event: 50 if event.id == "1" else 1)
    records = [record_of(1), record_of(2), again(1, 9), again(1, 10, partition=1), again(2, 11)]
    routes = (ROUTE._replace(order=order),)  # type: ignore[arg-type] # one of them
    run = Run(records, function, routes=routes)
    assert run.counts == {"replied": 2, "duplicate": 3}
    assert sorted(run.calls) == ["1", "2"]
    assert run.all_done


def test_it_waits_until_the_reply_is_confirmed() -> None:
    """A reply that its topic refuses is a dead letter, and then the second is called."""
    refused = iter((True,))

    def refuse(outgoing: Outgoing) -> GpfnError | None:
        return TooLarge("no") if outgoing.topic == "out" and next(refused, False) else None

    run = Run([record_of(1), again(1, 2), again(1, 3)], refuse=refuse)
    assert run.counts == {"replied": 1, "no-reply": 1, "duplicate": 1}
    assert run.calls == ["1", "1"]
    assert run.all_done


@pytest.mark.parametrize(
    ("answer", "outcome", "calls"), [(REFUSED, "refused", 2), (BackendError("x"), "exhausted", 3)]
)
def test_when_the_first_is_a_dead_letter_the_next_is_called(
    answer: object, outcome: str, calls: int
) -> None:
    """And it is called in its place: before what came behind it in its lane."""
    tries = calls - 1

    def answers(event: Event, count: int) -> object:
        return answer if event.id == "1" and count <= tries else replied(event)

    records = [record_of(1), again(1, 2), record_of(3), again(1, 4)]
    records = [record._replace(key=b"k") for record in records]
    run = Run(records, Scripted(answers))  # type: ignore[arg-type] # answers
    assert run.counts == {outcome: 1, "replied": 2, "duplicate": 1}
    assert run.calls == [*["1"] * calls, "3"]
    assert run.all_done


def test_what_is_late_was_not_dealt_with() -> None:
    late = record_of(1, expirytime="2020-01-01T00:00:00Z")
    run = Run([late, again(1, 2), again(1, 3)])
    assert run.counts == {"late": 1, "replied": 1, "duplicate": 1}
    assert run.all_done


def test_all_routes_have_to_be_done_with_it() -> None:
    routes = (ROUTE, ROUTE._replace(name="g"))
    refusing = Scripted(lambda event, n: REFUSED if n == 1 else replied(event))
    functions = [Scripted(), refusing]
    records = [record_of(1), again(1, 2), again(1, 3)]
    run = Run(records, functions, routes=routes, delivery=Delivery(to_all=True, remember=10))
    assert [f.calls for f in functions] == [["1", "1"], ["1", "1"]]
    assert run.counts == {"replied": 3, "refused": 1, "duplicate": 1}
    assert run.all_done


@pytest.mark.parametrize("drained", [True, False])
def test_when_the_partition_of_the_first_goes_the_next_takes_its_place(drained: bool) -> None:
    first, second, third = record_of(1), again(1, 2, partition=1), again(1, 3, partition=1)
    function = Scripted(turns=lambda _: 10_000_000 if not slow else 1)
    slow: list[None] = []

    async def steps(source: Given, listener: Listener) -> None:
        listener.received([first, second, third])
        await asyncio.sleep(0.02)
        assert function.calls == ["1"]
        slow.append(None)  # whoever is called from here on is quick
        if drained:
            await listener.revoked([("in", 0)])
        else:
            listener.lost([("in", 0)])

    run = Run([first, second, third], function, steps=steps,
              delivery=Delivery(remember=10, drain=0.05))  # fmt: skip
    assert run.counts == {"replied": 1, "duplicate": 1}
    assert run.calls == ["1", "1"]
    assert run.queue.done == {("in", 1, 2), ("in", 1, 3)}


def test_what_waits_and_goes_leaves_its_lane_free() -> None:
    """Its partition comes back with another record of its key, which is called."""
    first = record_of(1)
    second, third = again(1, 2, partition=1, key=b"k"), again(3, 3, partition=1, key=b"k")
    slow = Scripted(turns=lambda event: 300 if event.id == "1" else 1)

    async def steps(source: Given, listener: Listener) -> None:
        listener.received([first, second])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        listener.lost([("in", 1)])
        listener.assigned([("in", 1)])
        listener.received([third])

    run = Run([first, second, third], slow, steps=steps)
    assert run.counts == {"replied": 2}
    assert run.queue.done == {("in", 0, 1), ("in", 1, 3)}


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_nothing_waits_for_ever(seed: int) -> None:
    """Events of few names in many lanes and two routes, of which some fail: all of it ends."""
    chance = random.Random(seed)
    records = [
        again(
            chance.randrange(8), n, partition=chance.randrange(3), key=b"%d" % chance.randrange(3)
        )
        for n in range(120)
    ]
    answers = (REFUSED, BackendError("x"), None, None, None)

    def function() -> Scripted:
        return Scripted(
            lambda event, _: chance.choice(answers) or replied(event),
            turns=lambda _: chance.randrange(30),
        )

    functions = [function(), function()]
    routes = (ROUTE._replace(in_flight=3), ROUTE._replace(name="g", order="none"))
    delivery = Delivery(remember=100, to_all=True)
    run = Run(records, functions, routes=routes, delivery=delivery)
    assert run.all_done
    buried = len(run.sink.of("dead"))
    assert len(records) <= run.counts["duplicate"] + run.counts["replied"] + buried
    assert run.counts["duplicate"] > 10
    assert run.kept is not None
    assert not run.kept._works, "nothing is kept of what ended"
    assert not run.kept._names
