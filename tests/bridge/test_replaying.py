"""A part of a topic as a source: it ends, it waits where it is paused, and it keeps nothing."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from gpfn.bridge.destinations import CHOSEN, open_destination
from gpfn.bridge.engine import Bridge
from gpfn.bridge.matching import filter_of
from gpfn.bridge.operating.replaying import RangeSource, only_route, plan
from gpfn.bridge.operating.topic_span import Batches
from gpfn.bridge.record import Record
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.spec import BridgeSpec, Delivery, Place, RouteSpec
from gpfn.errors import BackendError, GpfnError, SetupError
from gpfn.limits import Limits
from gpfn.log import Log
from tests.bridge.memory import MemorySink, Scripted, record_of, replied

ROUTE = RouteSpec(
    "f", filter_of({}, "match"), "http://f", reply="out", retry=RetryPolicy(attempts=2, first=0.01)
)


class Reading:
    """Batches that a test gives, and what became of them."""

    def __init__(self, batches: Sequence[Sequence[Record]], error: Exception | None = None) -> None:
        self.batches = batches
        self.error = error
        self.given = 0
        self.closed = False

    def read(self) -> Batches:
        try:
            for batch in self.batches:
                self.given += len(batch)
                yield batch
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def run(reading: Reading, function: Scripted, delivery: Delivery = Delivery()) -> Bridge:  # noqa: B008
    """Run a bridge over them to its end."""
    spec = BridgeSpec(Place("queue"), Place("queue"), (ROUTE,), "dead", delivery)

    async def main() -> Bridge:
        source, log = RangeSource(reading.read()), Log("test", form="quiet")
        bridge = Bridge(spec, source, MemorySink(), [function], limits=Limits(), log=log)
        async with asyncio.timeout(20):
            await bridge.run()
        return bridge

    return asyncio.run(main())


def test_all_of_several_topics_and_partitions() -> None:
    batches = [
        [record_of(0), record_of(0, topic="b"), record_of(1)],
        [],
        [record_of(7, partition=3)],
    ]
    reading, function = Reading(batches), Scripted()
    bridge = run(reading, function)
    assert sorted(function.calls) == ["0", "0", "1", "7"]
    assert bridge.figures.counts["replied"] == 4
    assert reading.closed


def test_it_is_not_read_faster_than_it_is_worked_off() -> None:
    """A partition that is full stops the reading, however much there is to read."""
    reading = Reading([[record_of(n) for n in range(10 * b, 10 * b + 10)] for b in range(100)])
    ahead = []
    function = Scripted(turns=lambda _: 5)

    def called(event: object, _: int) -> object:
        ahead.append(reading.given - len(function.calls))
        return replied(event)  # type: ignore[arg-type] # an event

    function._answer = called  # type: ignore[assignment] # which knows what was read
    bridge = run(reading, function, Delivery(held=20))
    assert bridge.figures.counts["replied"] == 1000
    assert max(ahead) <= 50


def test_tries_are_kept_nowhere_and_made() -> None:
    answers = {"1": BackendError("broken")}
    function = Scripted(lambda event, n: answers.get(event.id, replied(event)))
    bridge = run(Reading([[record_of(n) for n in range(3)]]), function)
    assert function.calls.count("1") == 2
    assert bridge.figures.counts["exhausted"] == 1
    assert bridge.figures.totals["dead"] == 1


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (BackendError("the broker went"), BackendError, "the broker went"),
        (SetupError("no such topic"), SetupError, "no such topic"),
        (ZeroDivisionError("odd"), GpfnError, "unexpected ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_error_of_the_reading_ends_it(
    error: Exception, kind: type[Exception], told: str, first: bool
) -> None:
    reading = Reading([] if first else [[record_of(1)]], error)
    expected = type(error) if first else kind
    with pytest.raises(expected, match=None if first else told):
        run(reading, Scripted())
    assert reading.closed


def test_nothing_is_nothing() -> None:
    bridge = run(Reading([]), Scripted())
    assert bridge.figures.totals["received"] == 0


def test_it_stops_while_it_waits_for_a_slow_queue() -> None:
    """The reading waits in a thread, where nothing can interrupt it; who stops is not kept."""

    def slow() -> Batches:
        while True:
            time.sleep(0.2)
            yield []

    spec = BridgeSpec(Place("queue"), Place("queue"), (ROUTE,))

    async def main() -> float:
        source, log = RangeSource(slow()), Log("test", form="quiet")
        bridge = Bridge(spec, source, MemorySink(), [Scripted()], limits=Limits(), log=log)
        running = asyncio.create_task(bridge.run())
        await asyncio.sleep(0.5)
        bridge.stop()
        began = time.monotonic()
        await running
        return time.monotonic() - began

    assert asyncio.run(main()) < 1.0


def test_one_route() -> None:
    other = ROUTE._replace(name="g", matches=filter_of({"type": "never"}, "match"))
    spec = BridgeSpec(Place("queue"), Place("queue"), (ROUTE, other))
    alone = only_route(spec, "g")
    assert [route.name for route in alone.routes] == ["g"]
    (planned,) = plan(alone, [record_of(1)], Limits())
    assert [step.route for step in planned.steps] == ["g"]
    with pytest.raises(SetupError, match="no route is called 'x'; there are f, g"):
        only_route(spec, "x")


def planned_by(spec: BridgeSpec, records: Sequence[Record]) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (each.outcome, tuple([step.route for step in each.steps]))
        for each in plan(spec, records, Limits())
    ]


def test_the_plan_is_what_the_engine_does() -> None:
    """Every outcome that is known before a call, from the same records."""
    records = [
        record_of(1),
        record_of(2, type="u"),
        record_of(3, bridgehops="8"),
        record_of(4, expirytime="2020-01-01T00:00:00Z"),
        record_of(5, expirytime="never"),
        record_of(1),
        record_of(6)._replace(headers=()),
    ]
    matches = filter_of({"type": "t"}, "match")
    delivery = Delivery(remember=10)
    spec = BridgeSpec(
        Place("queue"), Place("queue"), (ROUTE._replace(matches=matches),), "dead", delivery
    )
    planned = planned_by(spec, records)
    assert planned == [
        ("called", ("f",)),
        ("unrouted", ()),
        ("looped", ()),
        ("late", ("f",)),
        ("unreadable", ()),
        ("duplicate", ()),
        ("unreadable", ()),
    ]

    async def main() -> Bridge:
        batches = Reading([[record] for record in records]).read()
        source, log = RangeSource(slowly(batches)), Log("test", form="quiet")
        bridge = Bridge(spec, source, MemorySink(), [Scripted()], limits=Limits(), log=log)
        await bridge.run()
        return bridge

    counts = asyncio.run(main()).figures.counts
    found = {name: count for name, count in counts.items() if count}
    assert found == {
        "replied": 1, "unrouted": 1, "looped": 1, "late": 1, "unreadable": 2, "duplicate": 1,
    }  # fmt: skip


def slowly(batches: Batches) -> Batches:
    """Give each batch when the one before was dealt with."""
    for batch in batches:
        time.sleep(0.05)
        yield batch


def test_all_routes_and_what_an_event_chooses() -> None:
    chosen = ROUTE._replace(name="g", call="destination", allow=("http://h/*",))
    spec = BridgeSpec(Place("queue"), Place("queue"), (ROUTE, chosen), "", Delivery(to_all=True))
    records = [record_of(1, destination="http://user:secret@h/x?key=1"), record_of(2)]
    first, second = plan(spec, records, Limits())
    assert [step[:3] for step in first.steps] == [
        ("f", "http://f", "called"),
        ("g", "", "refused"),  # for its user and password
    ]
    assert "secret" not in str(first.steps)
    assert [step[:3] for step in second.steps] == [
        ("f", "http://f", "called"),
        ("g", "", "refused"),
    ]


def test_the_list_of_what_may_be_called_is_kept_to() -> None:
    """What the plan says of each event's own destination is what a run does with it."""
    allow = ("http://127.0.0.1:9/a/*", "http://127.0.0.1:9/b")
    retry = RetryPolicy(attempts=1)
    route = ROUTE._replace(call=CHOSEN, allow=allow, retry=retry, timeout=1.0)
    spec = BridgeSpec(Place("queue"), Place("queue"), (route,), "dead")
    urls = ("a/x?key=1", "b", "b/c", "a/../c")
    chosen = [f"http://127.0.0.1:9/{url}" for url in urls] + ["http://other/a/x", "x"]
    records = [record_of(n, destination=url) for n, url in enumerate(chosen)] + [record_of(9)]
    planned = [planned.steps[0] for planned in plan(spec, records, Limits())]
    assert [step.outcome for step in planned] == [*["called"] * 2, *["refused"] * 5]
    assert planned[0].call == "http://127.0.0.1:9/a/x?…"
    assert planned[4].reason == "destination: http://other/a/x is not on the list of allow"
    assert planned[6].reason == "destination: the event names none"

    sink = MemorySink()

    async def main() -> Bridge:
        source, log = RangeSource(Reading([records]).read()), Log("test", form="quiet")
        destination = open_destination(CHOSEN, allow=allow)
        bridge = Bridge(spec, source, sink, [destination], limits=Limits(), log=log)
        await bridge.run()
        return bridge

    counts = asyncio.run(main()).figures.counts
    assert (counts["exhausted"], counts["refused"]) == (2, 5), "nobody listens at the two"
    reasons = {dict(letter.headers)["gpfn_reason"] or b"" for letter in sink.of("dead")}
    assert {step.reason.encode() for step in planned[2:]} <= reasons
