"""Troubles that users of other bridges report, played with the engine alone."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from gpfn.bridge.answers import Answer
from gpfn.bridge.monitor import Monitor
from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.seam import Listener
from gpfn.bridge.spec import Batch, CircuitSpec, Delivery
from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, GpfnError
from gpfn.events import Event
from gpfn.events.modes import read, write
from gpfn.log import Log
from gpfn.message import Message
from tests.bridge.memory import MemoryQueue, MemorySource, Scripted, record_of, replied
from tests.bridge.test_engine import QUICK, Run, answers, header, route


class Batching(Scripted):
    """A function that answers batches: an event of ``failing`` with 503 at its first call."""

    def __init__(self, failing: set[str]) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.failing = set(failing)

    def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
        received = read(message)
        assert received is not None
        self.asked.append([event.id for event in received.events])
        replies = [self._reply(event) for event in received.events]
        done((200, write(replies, "batch")))  # type: ignore[operator] # a callback

    def _reply(self, event: Event) -> Event:
        if event.id not in self.failing:
            return event.reply([1])
        self.failing.remove(event.id)
        error = json.dumps({"error": {"status": 503, "type": "x", "title": "x"}}).encode()
        kind = "application/problem+json"
        return event.reply(error, type="t.error", datacontenttype=kind)


def test_one_failure_of_a_batch_is_tried_again_alone_and_its_key_keeps_its_order() -> None:
    """redpanda-data/connect 4387, 550: the whole batch came again, and keys lost their order."""
    records = [record_of(n, key=b"%d" % (n % 5)) for n in range(50)]
    function = Batching({"2", "17", "33"})
    slow = RetryPolicy(attempts=3, first=0.05, factor=1.0, most=0.05)
    run = Run(records, function, routes=(route(batch=Batch(5, 0.001), retry=slow),))
    called = [name for batch in function.asked for name in batch]
    assert len(function.asked[0]) == 5
    assert sorted(called, key=int) == sorted([*map(str, range(50)), "2", "17", "33"], key=int)
    causes = [int(str(reply.attribute("causationid"))) for reply in run.replies]
    assert len(causes) == 50
    for key in range(5):
        mine = [number for number in causes if number % 5 == key]
        assert mine == sorted(mine)
    assert run.counts == {"replied": 50}


def test_a_batch_that_fails_as_a_whole_is_not_lost() -> None:
    spec = route(batch=Batch(4, 0.001))

    class Failing(Batching):
        def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
            if len(self.asked) < 2:
                self.asked.append([])
                done((500, Message(b"")))  # type: ignore[operator] # a callback
            else:
                super().call(message, event, seconds, done)

    run = Run([record_of(n) for n in range(20)], Failing(set()), routes=(spec,))
    assert run.counts == {"replied": 20}


@pytest.mark.parametrize("error", [BackendError("a"), BackendTimeout("b"), BrokenReply("c")])
def test_what_broke_on_the_way_is_tried_again(error: GpfnError) -> None:
    run = Run([record_of(1)], answers(error, error))
    assert run.functions[0].calls == ["1"] * 3
    assert run.counts == {"replied": 1}


class Ending(MemorySource):
    """A source whose bridge ends when it was told of an attempt."""

    listener: Listener

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        await super().start(listener)

    def tried(self, record: Record, attempts: int) -> None:
        super().tried(record, attempts)
        self.listener.failed(BackendError("it ends here"))


def test_three_attempts_are_three_though_the_bridge_restarts_after_each() -> None:
    """knative-extensions/eventing-kafka-broker 3746: one event was tried 184 times."""
    queue = MemoryQueue([record_of(1)])
    patient = route(retry=RetryPolicy(attempts=3, first=60.0, factor=1.0, most=60.0))
    calls: list[str] = []
    for attempts in (1, 2):
        function = answers(500)
        with pytest.raises(BackendError, match="it ends here"):
            Run(queue, function, routes=(patient,), source=Ending(queue))
        assert [record.attempts for record in queue.left()] == [attempts]
        calls += function.calls
    last = Run(queue, answers(500), routes=(patient,), source=Ending(queue))
    assert [*calls, *last.functions[0].calls] == ["1"] * 3
    assert last.counts == {"exhausted": 1}
    assert header(last.sink.of("dead")[0], "gpfn_attempts") == "3"
    assert last.all_done


def test_who_waits_for_another_attempt_holds_its_own_key_alone() -> None:
    slow = RetryPolicy(attempts=3, first=0.4, factor=1.0, most=0.4)
    function = Scripted(
        lambda event, n: (503, Message(b"")) if event.id == "0" and n == 1 else replied(event)
    )
    records = [record_of(n, key=b"%d" % (n % 4)) for n in range(40)]
    run = Run(records, function, routes=(route(retry=slow, in_flight=1),))
    causes = [int(str(reply.attribute("causationid"))) for reply in run.replies]
    assert set(causes[:30]) == {n for n in range(40) if n % 4}
    assert causes[30:] == [n for n in range(40) if n % 4 == 0]


def test_a_destination_that_is_down_leaves_the_events_in_the_queue() -> None:
    """Partitions are paused at their bound, and no event becomes a dead letter."""
    most = []

    class Down(Scripted):
        def call(self, message: Message, event: Event, seconds: float, done: object) -> None:
            most.append(run_source.given)
            super().call(message, event, seconds, done)  # type: ignore[arg-type] # a callback

    queue = MemoryQueue([record_of(n) for n in range(500)])
    run_source = MemorySource(queue)
    function = Down(lambda event, _: replied(event) if len(most) > 40 else BackendTimeout("down"))
    patient = QUICK._replace(attempts=100)
    spec = route(retry=patient, circuit=CircuitSpec(5, 0.01, 0.01), in_flight=4)
    run = Run(queue, function, routes=(spec,), delivery=Delivery(held=50), source=run_source)
    assert run.source.ever_paused == {("in", 0)}
    assert max(most[:40]) < 50 + 7, "what it holds and what came with the last"
    assert run.counts == {"replied": 500}


def test_a_dead_letter_topic_that_refuses_keeps_the_record_and_is_heard_of() -> None:
    """lukashes/outboxx 110, yaalalabs/agent-kernel 630: the record was committed all the same."""
    queue = MemoryQueue([record_of(1), record_of(2)])
    left: list[int] = []

    def refuse(outgoing: Outgoing) -> GpfnError | None:
        if outgoing.topic != "dead" or len(left) >= 3:
            return None
        left.append(len([record for record in queue.left() if record.offset == 1]))
        return BackendError("no room")

    run = Run(queue, answers(400), refuse=refuse)
    assert left == [1, 1, 1], "it is not done while its dead letter is not there"
    assert run.functions[0].calls == ["1", "2"], "and is not called again for that"
    assert b"dead: not delivered, sent again: no room" in b"".join(run.lines)
    assert run.all_done


def test_a_dead_letter_is_told_with_its_place_its_event_and_its_trace() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    run = Run([record_of(1, traceparent=f"00-{trace}-b7ad6b7169203331-01")], answers(400))
    (line,) = [line.decode() for line in run.lines if b"refused" in line]
    assert "in/0@1: refused: the function answered 400" in line
    assert re.search(r"\b1\b", line)
    assert trace in line


class Telling(MemorySource):
    """A source that is asked how it is while its queue is away, and again when it is back."""

    def __init__(self, queue: MemoryQueue) -> None:
        super().__init__(queue)
        self.away = True

    async def lag(self) -> Mapping[Partition, int]:
        if self.away:
            raise BackendError("nobody answers")
        return await super().lag()


def test_ready_says_whether_source_and_sink_answer_and_live_does_not() -> None:
    """A broker that is away must not have the bridge restarted."""
    run = Run([record_of(1)])
    assert not run.bridge.ready, "it has ended"
    seen: list[tuple[int, int]] = []

    class Looking(Telling):
        async def _give(self, listener: Any) -> None:
            monitor = Monitor(listener, "127.0.0.1:0", Log("bridge", form="quiet"))

            def look() -> None:
                ready, live = (monitor._answer("GET", f"/health/{n}") for n in ("ready", "live"))
                seen.append((ready.status, live.status))

            for self.away in (True, False):
                await listener.figures.look_at_lag(self, Log("bridge", form="quiet"))
                look()
            listener._delivering.stuck = True
            look()
            listener._delivering.stuck = False
            look()
            monitor._socket.close()
            await super()._give(listener)

    queue = MemoryQueue([record_of(1)])
    Run(queue, source=Looking(queue))
    assert seen == [(503, 200), (200, 200), (503, 200), (200, 200)]


def test_the_reply_topic_that_refuses_makes_the_bridge_not_ready() -> None:
    ready: list[bool] = []

    def refuse(_: Outgoing) -> GpfnError | None:
        if len(ready) < 3:
            ready.append(source.listener.ready)  # type: ignore[attr-defined] # a bridge's
            return BackendError("full")
        return None

    queue = MemoryQueue([record_of(1)])
    source = Ending(queue)
    run = Run(queue, refuse=refuse, source=source)
    assert ready == [True, False, False]
    assert run.counts == {"replied": 1}


def test_why_a_destination_is_left_alone_is_in_the_log() -> None:
    """Its events wait and become no dead letters, so nothing else would say it."""

    def answer(event: Event, count: int) -> Answer:
        return CannotConnect("the certificate is of another host") if count < 4 else replied(event)

    spec = route(circuit=CircuitSpec(9, 0.001, 0.001))
    run = Run([record_of(1)], Scripted(answer), routes=(spec,))
    told = [line.decode() for line in run.lines]
    assert len(told) == 2, "once, not for each probe"
    why = "route f: scripted is left alone for now: the certificate is of another host"
    assert why in told[0]
    assert "route f: scripted answers again" in told[1]
