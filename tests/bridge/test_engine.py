"""The engine: what becomes of each record, in which order, and what is told to whom."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpfn.bridge.answers import Answer
from gpfn.bridge.engine import Bridge
from gpfn.bridge.matching import filter_of
from gpfn.bridge.record import Outgoing, Record
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.seam import Listener
from gpfn.bridge.spec import Batch, BridgeSpec, CircuitSpec, Delivery, Place, RouteSpec
from gpfn.errors import (
    BackendError,
    BackendTimeout,
    CannotConnect,
    GpfnError,
    InvalidEvent,
    TooLarge,
)
from gpfn.events import Event
from gpfn.events.modes import read, write
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.message import Message
from tests.bridge.memory import MemoryQueue, MemorySink, MemorySource, Scripted, record_of, replied

QUICK = RetryPolicy(attempts=3, first=0.002, factor=1.0, most=0.002)


def route(name: str = "f", **changes: object) -> RouteSpec:
    spec = RouteSpec(name, filter_of({}, "match"), "http://f", reply="out", retry=QUICK)
    return spec._replace(**changes)  # type: ignore[arg-type] # named by the test


class Run:
    """A bridge that has run to its end over these records."""

    def __init__(
        self,
        records: list[Record] | MemoryQueue,
        function: Scripted | list[Scripted] | None = None,
        *,
        routes: tuple[RouteSpec, ...] = (route(),),
        delivery: Delivery = Delivery(),  # noqa: B008 - a value
        dead_letter: str = "dead",
        refuse: Callable[[Outgoing], GpfnError | None] = lambda _: None,
        seconds: float = 10.0,
        source: MemorySource | None = None,
    ) -> None:
        functions = function if isinstance(function, list) else [function or Scripted()]
        self.functions = functions
        self.queue = records if isinstance(records, MemoryQueue) else MemoryQueue(records)
        self.source, self.sink = source or MemorySource(self.queue), MemorySink(refuse)
        self.lines: list[bytes] = []
        place = Place("queue")
        spec = BridgeSpec(place, place, routes, dead_letter, delivery)

        async def work() -> None:
            log = Log("bridge", form="text", sink=lambda line, _: self.lines.append(line))
            self.bridge = Bridge(spec, self.source, self.sink, functions, limits=Limits(), log=log)
            async with asyncio.timeout(seconds):
                await self.bridge.run()

        asyncio.run(work())
        self.counts = {name: n for name, n in self.bridge.figures.counts.items() if n}

    @property
    def replies(self) -> list[Event]:
        return [event_of(outgoing) for outgoing in self.sink.of("out")]

    @property
    def all_done(self) -> bool:
        return not self.queue.left()


def event_of(outgoing: Outgoing) -> Event:
    names = {"content-type"}
    kind = next(((v or b"").decode() for n, v in outgoing.headers if n in names), "")
    headers = tuple(
        (n.replace("ce_", "ce-"), (v or b"").decode())
        for n, v in outgoing.headers
        if n not in names
    )
    received = read(Message(outgoing.value or b"", kind, headers))
    assert received is not None
    return received.events[0]


def header(outgoing: Outgoing, name: str) -> str:
    return next((value or b"").decode() for key, value in outgoing.headers if key == name)


def test_every_event_is_replied_to_once_and_done() -> None:
    run = Run([record_of(n, key=b"%d" % (n % 3)) for n in range(100)])
    assert [event.attribute("causationid") for event in run.replies] == [str(n) for n in range(100)]
    assert run.counts == {"replied": 100}
    assert run.all_done
    assert run.source.stopped
    assert run.sink.stopped
    assert run.functions[0].closed


def test_a_reply_keeps_the_key_the_trace_and_counts_the_hops() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plain = Message(b"5", "text/plain", (("ce-specversion", "1.0"), ("ce-id", "r"),
                    ("ce-source", "/f"), ("ce-type", "x")))  # fmt: skip
    run = Run([record_of(1, key=b"\xff\0", traceparent=parent, bridgehops="2")],
              Scripted(lambda *_: (200, plain)))  # fmt: skip
    (sent,) = run.sink.of("out")
    event = event_of(sent)
    assert sent.key == b"\xff\0"
    assert event.attribute("traceparent") == parent
    assert event.attribute("causationid") == "1"
    assert event.attribute("bridgehops") == "3"
    assert event.data == b"5"


@pytest.mark.parametrize("order", ["key", "partition"])
def test_a_lane_keeps_its_order_though_calls_end_out_of_order(order: str) -> None:
    function = Scripted(turns=lambda event: int(event.id) * 7 % 11)
    records = [record_of(n, key=b"%d" % (n % 4), partition=n % 2) for n in range(200)]
    run = Run(records, function, routes=(route(order=order),))
    lanes: dict[object, list[int]] = {}
    for reply in run.replies:
        number = int(str(reply.attribute("causationid")))
        lanes.setdefault(number % (4 if order == "key" else 2), []).append(number)
    assert len(run.replies) == 200
    assert all(numbers == sorted(numbers) for numbers in lanes.values())
    assert function.most_active == (4 if order == "key" else 2)


def test_events_without_a_key_are_called_side_by_side() -> None:
    function = Scripted(turns=lambda _: 20)
    run = Run([record_of(n) for n in range(100)], function, routes=(route(in_flight=16),))
    assert function.most_active == 16
    assert len(run.replies) == 100


def test_a_partitionkey_is_a_lane_where_the_record_has_no_key() -> None:
    function = Scripted(turns=lambda _: 20)
    Run([record_of(n, partitionkey="p") for n in range(20)], function)
    assert function.most_active == 1


def answers(*statuses: int | GpfnError, headers: tuple[tuple[str, str], ...] = ()) -> Scripted:
    """A function that answers with these one after the other, and then replies."""

    def answer(event: Event, count: int) -> Answer:
        if count > len(statuses):
            return replied(event)
        status = statuses[count - 1]
        return status if isinstance(status, GpfnError) else (status, Message(b"no", "", headers))

    return Scripted(answer)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_go_better_is_tried_again(status: int) -> None:
    run = Run([record_of(1)], answers(status, status))
    assert run.functions[0].calls == ["1"] * 3
    assert run.counts == {"replied": 1}
    assert run.bridge.figures.totals["retries"] == 2
    assert not run.sink.of("dead")


@pytest.mark.parametrize("status", [301, 400, 401, 404, 409, 413, 422, 501, 505])
def test_what_cannot_go_better_is_a_dead_letter_at_once(status: int) -> None:
    run = Run([record_of(1, key=b"k")], answers(status))
    (dead,) = run.sink.of("dead")
    assert run.functions[0].calls == ["1"]
    assert run.counts == {"refused": 1}
    assert header(dead, "ce_knativeerrorcode") == str(status)
    assert header(dead, "ce_knativeerrordest") == "scripted"
    assert header(dead, "ce_knativeerrordata") == "no"
    assert header(dead, "gpfn_attempts") == "1"
    assert run.all_done


def test_a_dead_letter_is_the_record_byte_for_byte_with_its_origin() -> None:
    record = record_of(7, key=b"\0\xff", partition=3)
    record = record._replace(headers=(*record.headers, ("x", None), ("x", b"\xfe"), ("x", b"")))
    run = Run([record], answers(400))
    (dead,) = run.sink.of("dead")
    assert (dead.key, dead.value) == (record.key, record.value)
    assert dead.headers[: len(record.headers)] == record.headers
    told = {name: header(dead, f"gpfn_{name}") for name in ("topic", "partition", "offset")}
    assert told == {"topic": "in", "partition": "3", "offset": "7"}


def test_attempts_end_and_the_others_of_the_key_go_on() -> None:
    function = Scripted(lambda event, _: (500, Message(b"")) if event.id == "1" else replied(event))
    run = Run([record_of(n, key=b"k") for n in range(3)], function)
    assert function.calls == ["0", "1", "1", "1", "2"]
    assert run.counts == {"replied": 2, "exhausted": 1}
    assert header(run.sink.of("dead")[0], "gpfn_attempts") == "3"


def test_attempts_are_counted_over_a_restart() -> None:
    queue = MemoryQueue([record_of(1)])
    queue.attempts["in", 0, 1] = 2
    run = Run(queue, answers(500, 500, 500))
    assert run.functions[0].calls == ["1"]
    assert run.counts == {"exhausted": 1}


def test_retry_after_is_kept_to() -> None:
    began = time.monotonic()
    Run([record_of(1)], answers(503, headers=(("retry-after", "1"),)))
    assert 1.0 <= time.monotonic() - began < 5


def test_nothing_listens_costs_no_attempt_and_holds_the_rest_back() -> None:
    refused = [CannotConnect("nobody")] * 6
    function = answers(*refused)
    circuit = CircuitSpec(failures=100, first=0.01, most=0.01)
    run = Run(
        [record_of(n) for n in range(20)],
        function,
        routes=(route(circuit=circuit, in_flight=4),),
    )
    assert run.counts == {"replied": 20}
    assert not run.sink.of("dead")


def test_a_function_that_fails_is_left_alone_and_then_asked_with_one_call() -> None:
    down_until = time.monotonic() + 0.3
    calls: list[float] = []

    def answer(event: Event, _: int) -> Answer:
        calls.append(time.monotonic())
        if time.monotonic() < down_until:
            return BackendTimeout("no answer")
        return replied(event)

    circuit = CircuitSpec(failures=8, first=0.1, most=0.1)
    patient = RetryPolicy(attempts=100, first=0.001, factor=1.0, most=0.001)
    run = Run(
        [record_of(n) for n in range(50)],
        Scripted(answer),
        routes=(route(circuit=circuit, in_flight=8, retry=patient),),
    )
    assert run.counts == {"replied": 50}
    assert sum(at < down_until for at in calls) <= 8 + 8 + 4, (
        "some failures, and a probe each 0.1 s"
    )


def test_without_a_dead_letter_topic_the_bridge_stops_and_the_record_stays() -> None:
    queue = MemoryQueue([record_of(1)])
    with pytest.raises(BackendError, match="in/0@1: the function answered 400; the bridge stops"):
        Run(queue, answers(400), dead_letter="")
    assert len(queue.left()) == 1


def test_no_route_is_counted_and_dead_lettered() -> None:
    spec = route(matches=filter_of({"destination": "forecast"}, "match"))
    run = Run([record_of(1), record_of(2, destination="forecast")], routes=(spec,))
    assert run.counts == {"unrouted": 1, "replied": 1}
    assert "no route takes type 't'" in header(run.sink.of("dead")[0], "gpfn_reason")


def test_the_first_route_or_all_of_them() -> None:
    first, second = route("a"), route("b", reply="other")
    one = Run([record_of(1)], [Scripted(), Scripted()], routes=(first, second))
    assert [function.calls for function in one.functions] == [["1"], []]
    both = Run(
        [record_of(1)],
        [Scripted(), Scripted()],
        routes=(first, second),
        delivery=Delivery(to_all=True),
    )
    assert [function.calls for function in both.functions] == [["1"], ["1"]]
    assert len(both.sink.of("out")) == len(both.sink.of("other")) == 1
    assert both.all_done


BROKEN = {
    "bad version": record_of(1, specversion="9.9"),
    "no id": Record("in", 0, 1, None, b"", (("ce_specversion", b"1.0"),)),
    "invalid UTF-8": record_of(1)._replace(headers=(*record_of(1).headers, ("ce_x", b"\xff"))),
    "not JSON": Record(
        "in", 0, 1, None, b"{", (("content-type", b"application/cloudevents+json"),)
    ),
    "no event": Record("in", 0, 1, None, b"plain"),
    "over the limit": record_of(1, value=bytes(7 << 20)),
    "no time": record_of(1, expirytime="tomorrow"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_a_dead_letter_and_blocks_nobody(name: str) -> None:
    run = Run([record_of(0), BROKEN[name], record_of(2)])
    assert run.counts == {"replied": 2, "unreadable": 1}
    (dead,) = run.sink.of("dead")
    assert dead.value == BROKEN[name].value


def test_what_is_no_event_may_be_wrapped() -> None:
    record = Record("in", 2, 5, b"k", b"plain", (("content-type", b"text/plain"),))
    function = Scripted()
    run = Run([record], function, delivery=Delivery(wrap=True))
    assert run.counts == {"replied": 1}
    assert function.messages[0].body == b"plain"
    assert function.messages[0].header("ce-type") == "dev.knative.kafka.event"


def test_late_events_are_left_out_and_counted() -> None:
    past, future = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    run = Run([record_of(1, expirytime=past), record_of(2, expirytime=future)])
    assert run.functions[0].calls == ["2"]
    assert run.counts == {"late": 1, "replied": 1}
    assert run.all_done
    now = datetime.now(UTC).isoformat()
    aged = Run([record_of(1, time=past), record_of(2, time=now)], routes=(route(max_age=60.0),))
    assert aged.counts == {"late": 1, "replied": 1}


def test_a_time_that_passes_while_it_waits_counts_too() -> None:
    soon = datetime.fromtimestamp(time.time() + 0.05, UTC).isoformat()
    slow = RetryPolicy(attempts=9, first=0.2, factor=1.0, most=0.2)
    run = Run([record_of(1, expirytime=soon)], answers(500), routes=(route(retry=slow),))
    assert run.counts == {"late": 1}
    assert run.functions[0].calls == ["1"]


def test_an_event_that_went_round_too_often_is_a_dead_letter() -> None:
    run = Run([record_of(1, bridgehops="8"), record_of(2, bridgehops="7")])
    assert run.counts == {"looped": 1, "replied": 1}


@pytest.mark.parametrize(
    "answer", [(202, Message(b"")), (204, Message(b"")), (200, Message(b"")), (202, Message(b"x"))]
)
def test_nothing_to_send_on_is_done(answer: Answer) -> None:
    run = Run([record_of(1)], Scripted(lambda *_: answer))
    assert run.counts == {"done": 1}
    assert run.all_done


def test_a_reply_that_is_no_event_is_a_dead_letter_with_the_reason() -> None:
    run = Run([record_of(1)], Scripted(lambda *_: (200, Message(b"[1]", "application/json"))))
    assert run.counts == {"no-reply": 1}
    reason = header(run.sink.of("dead")[0], "gpfn_reason")
    assert reason == "the reply is no event but application/json"


def test_a_reply_that_the_queue_finds_too_large_is_a_dead_letter() -> None:
    run = Run([record_of(1)], refuse=lambda o: TooLarge("big") if o.topic == "out" else None)
    assert run.counts == {"no-reply": 1}
    assert "the reply cannot be sent: big" in header(run.sink.of("dead")[0], "gpfn_reason")
    assert run.all_done


def test_a_dead_letter_that_is_too_large_with_what_is_added_has_less_of_it() -> None:
    record = record_of(1)
    sizes: list[int] = []

    def refuse(outgoing: Outgoing) -> GpfnError | None:
        sizes.append(len(outgoing.headers))
        return TooLarge("big") if len(outgoing.headers) > len(record.headers) else None

    run = Run([record], answers(400), refuse=refuse)
    assert sizes == sorted(sizes, reverse=True)
    assert run.sink.of("dead")[0].headers == record.headers
    assert run.all_done


def test_what_is_not_delivered_is_sent_again_until_it_is() -> None:
    times = [0]

    def refuse(_: Outgoing) -> GpfnError | None:
        times[0] += 1
        return BackendError("not now") if times[0] < 4 else None

    run = Run([record_of(1)], refuse=refuse)
    assert run.counts == {"replied": 1}
    assert run.functions[0].calls == ["1"], "the function is not called again for that"
    assert b"not delivered, sent again: not now" in b"".join(run.lines)


def test_a_full_partition_is_paused_and_goes_on() -> None:
    function = Scripted(turns=lambda _: 30)
    run = Run([record_of(n) for n in range(200)], function, delivery=Delivery(held=20),
              routes=(route(in_flight=4),))  # fmt: skip
    assert run.source.ever_paused == {("in", 0)}
    assert run.counts == {"replied": 200}
    large = Run([record_of(n, value=bytes(1000)) for n in range(100)],
                delivery=Delivery(held_bytes=8000))  # fmt: skip
    assert large.source.ever_paused == {("in", 0)}
    assert large.counts == {"replied": 100}


def test_the_gap_beyond_an_unfinished_one_is_bounded() -> None:
    def turns(event: Event) -> int:
        return 400 if event.id == "0" else 1

    run = Run([record_of(n) for n in range(300)], Scripted(turns=turns), delivery=Delivery(gap=50))
    assert run.source.ever_paused == {("in", 0)}
    assert run.counts == {"replied": 300}


def test_events_are_called_in_batches_and_answered_one_by_one() -> None:
    asked: list[list[Event]] = []

    class Batching(Scripted):
        def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
            received = read(message)
            assert received is not None
            assert received.mode == "batch"
            asked.append(list(received.events))
            replies = [_one_reply(event) for event in received.events]
            done((200, write(replies[::-1], "batch")))  # type: ignore[operator]

    spec = route(batch=Batch(8, 0.002))
    run = Run([record_of(n) for n in range(50)], Batching(), routes=(spec,))
    assert max(map(len, asked)) == 8
    causes = sorted(int(str(reply.attribute("causationid"))) for reply in run.replies)
    assert causes == [n for n in range(50) if n % 10 != 5]
    assert run.counts == {"replied": 45, "refused": 5}
    assert {header(dead, "gpfn_offset") for dead in run.sink.of("dead")} == {
        "5",
        "15",
        "25",
        "35",
        "45",
    }


def _one_reply(event: Event) -> Event:
    if int(event.id) % 10 != 5:
        return event.reply([1])
    error = {"error": {"status": 400, "type": "x", "title": "x", "detail": "no"}}
    kind = "application/problem+json"
    return event.reply(json.dumps(error).encode(), type="t.error", datacontenttype=kind)


def test_the_order_of_a_key_holds_in_batches() -> None:
    class Batching(Scripted):
        def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
            received = read(message)
            assert received is not None
            ids.append([event.id for event in received.events])
            done((200, write([event.reply([1]) for event in received.events], "batch")))  # type: ignore[operator]

    ids: list[list[str]] = []
    records = [record_of(n, key=b"%d" % (n % 3)) for n in range(30)]
    run = Run(records, Batching(), routes=(route(batch=Batch(8, 0.001)),))
    assert run.counts == {"replied": 30}
    for batch in ids:
        assert len({int(number) % 3 for number in batch}) == len(batch), "one of a key at a time"


def test_a_clock_that_jumps_moves_no_retry_and_no_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes forth and back by hours at each look: only the monotonic one counts."""
    jumps = itertools.cycle([7200.0, -7200.0, 0.0])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    down = [BackendTimeout("no"), CannotConnect("no"), BackendTimeout("no")]
    began = time.monotonic()
    spec = route(retry=QUICK._replace(attempts=9), circuit=CircuitSpec(2, 0.01, 0.05))
    run = Run(
        [record_of(n, key=b"%d" % (n % 2)) for n in range(20)], answers(*down), routes=(spec,)
    )
    assert run.counts == {"replied": 20}
    assert time.monotonic() - began < 8


def test_what_is_revoked_is_drained_and_given_again() -> None:
    """What was begun ends and is done; the rest is nobody's here, and comes to somebody else."""
    queue = MemoryQueue([record_of(n, partition=n % 2) for n in range(40)])
    slow = Scripted(turns=lambda _: 200)

    class Revoking(MemorySource):
        async def _give(self, listener: Listener) -> None:
            listener.received(self.queue.left())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await listener.revoked([("in", 0)])
            self.done_then = set(self.queue.done)
            listener.assigned([("in", 0)])
            listener.received([record for record in self.queue.left() if record.partition == 0])
            listener.ended()

    source = Revoking(queue)
    run = Run(queue, slow, routes=(route(in_flight=10),), source=source)
    assert run.all_done
    finished = {partition for _, partition, _ in source.done_then}
    assert 0 in finished, "what had begun was done before it was let go"
    first = [name for name in slow.calls if int(name) % 2 == 0]
    assert len(first) == len(set(first)) == 20, "nothing twice: the drain was long enough"


def test_what_is_lost_is_forgotten_at_once() -> None:
    queue = MemoryQueue([record_of(n) for n in range(20)])
    slow = Scripted(turns=lambda _: 300)

    class Losing(MemorySource):
        async def _give(self, listener: Listener) -> None:
            listener.received(self.queue.left())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            listener.lost([("in", 0)])
            await asyncio.sleep(0.05)
            listener.ended()

    run = Run(queue, slow, routes=(route(in_flight=5),), source=Losing(queue))
    assert len(slow.calls) == 5
    assert not queue.done, "what became of it is not told: it is somebody else's"
    assert not run.sink.sent


def test_a_drain_ends_in_time_though_a_call_does_not() -> None:
    queue = MemoryQueue([record_of(1)])

    class Hanging(Scripted):
        def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
            self.calls.append(event.id)

    class Stopping(MemorySource):
        async def _give(self, listener: Listener) -> None:
            listener.received(self.queue.left())
            await asyncio.sleep(0.02)
            began = time.monotonic()
            await listener.revoked([("in", 0)])
            self.took = time.monotonic() - began
            listener.ended()

    source = Stopping(queue)
    Run(queue, Hanging(), delivery=Delivery(drain=0.2), source=source)
    assert 0.2 <= source.took < 1.0
    assert not queue.done


def test_one_address_that_is_away_holds_no_other_back() -> None:
    """Where events name what is called, each failed connection is an attempt of its event."""

    def answer(event: Event, _: int) -> Answer:
        return CannotConnect("nobody") if event.id == "0" else replied(event)

    spec = route(call="destination", allow=("http://f/*",))
    run = Run([record_of(n) for n in range(50)], Scripted(answer), routes=(spec,))
    assert run.counts == {"replied": 49, "exhausted": 1}


def test_a_reply_over_the_limit_is_not_asked_for_again() -> None:
    run = Run([record_of(1)], Scripted(lambda *_: TooLarge("a body of more than 5 bytes")))
    assert run.functions[0].calls == ["1"]
    assert "the reply is too large" in header(run.sink.of("dead")[0], "gpfn_reason")


def test_metrics_have_a_label_for_each_route() -> None:
    routes = (route("a-b"), route("a_b", matches=filter_of({"type": "x"}, "match")))
    run = Run([record_of(1)], [Scripted(), Scripted()], routes=routes)
    text = run.bridge.figures.metrics.text().decode()
    families = [*text_string_to_metric_families(text)]
    assert len({family.name for family in families}) == len(families)
    assert 'gpfn_bridge_call_seconds_count{route="a-b"} 1' in text
    assert 'gpfn_bridge_call_seconds_count{route="a_b"} 0' in text


def test_a_record_that_its_topic_never_takes_is_not_sent_for_ever() -> None:
    """A compacted topic refuses a record without a key, whatever its size."""
    never = InvalidEvent("the topic is compacted and the record has no key")
    run = Run([record_of(1)], refuse=lambda o: never if o.topic == "out" else None)
    assert run.counts == {"no-reply": 1}
    with pytest.raises(InvalidEvent):
        Run([record_of(1)], answers(400), refuse=lambda _: never)
