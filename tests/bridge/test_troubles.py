"""Troubles that users of other bridges report, played with the engine alone."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpfn.bridge.answers import Answer
from gpfn.bridge.in_process import InProcess
from gpfn.bridge.monitor import Monitor
from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.seam import Listener
from gpfn.bridge.spec import Batch, CircuitSpec, Delivery
from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, GpfnError
from gpfn.events import Event
from gpfn.events.kafka import read_record
from gpfn.events.modes import read, write
from gpfn.limits import Limits
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


def test_what_the_gauges_say_while_one_record_is_not_done() -> None:
    """confluent-kafka-python 552: nobody could see from outside how far behind it was."""
    seen: dict[str, float] = {}

    class Looking(MemorySource):
        async def _give(self, listener: Any) -> None:
            monitor = Monitor(listener, "127.0.0.1:0", Log("bridge", form="quiet"))
            listener.received(self.queue.left())
            while len(self.queue.done) < 8:
                await asyncio.sleep(0)
            await listener.figures.look_at_lag(self, Log("bridge", form="quiet"))
            text = listener.figures.metrics.text().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    seen[sample.name] = sample.value
            monitor._socket.close()
            listener.ended()

    ago = int((time.time() - 60) * 1000)
    records = [record_of(n, value=b"12345")._replace(time=ago) for n in range(10)]
    function = Scripted(
        lambda event, n: (503, Message(b"")) if event.id == "1" and n == 1 else replied(event),
        turns=lambda event: 3000 if event.id == "0" else 1,
    )
    slow = RetryPolicy(attempts=3, first=0.3, factor=1.0, most=0.3)
    queue = MemoryQueue(records)
    Run(queue, function, routes=(route(retry=slow),), source=Looking(queue))
    names = ("in_flight", "waiting", "unfinished", "gap", "lag", "received_total", "retries_total")
    found = {name: seen[f"gpfn_bridge_{name}"] for name in names}
    assert found == {"in_flight": 1, "waiting": 1, "unfinished": 2, "gap": 8, "lag": 2,
                     "received_total": 10, "retries_total": 1}  # fmt: skip
    assert 60 <= seen["gpfn_bridge_oldest_age_seconds"] < 70
    assert seen["gpfn_bridge_unfinished_bytes"] == sum(record.size for record in records[:2])
    assert seen["gpfn_bridge_ready"] == 1


ENVELOPE = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}'
STRUCTURED = Record("in", 0, 1, None, ENVELOPE,
                    (("content-type", b"application/cloudevents+json"),))  # fmt: skip


@pytest.mark.parametrize(
    ("record", "send", "sent", "mode", "written"),
    [
        (record_of(1), "same", "binary", "same", "binary"),
        (STRUCTURED, "same", "structured", "same", "structured"),
        (record_of(1), "structured", "structured", "structured", "structured"),
        (STRUCTURED, "binary", "binary", "binary", "binary"),
        (STRUCTURED, "structured", "structured", "binary", "binary"),
    ],
)
def test_how_events_are_called_with_and_replies_are_written(
    record: Record, send: str, sent: str, mode: str, written: str
) -> None:
    run = Run([record], routes=(route(send=send, reply_mode=mode),))
    (message,) = run.functions[0].messages
    if sent == "structured":
        assert message.content_type.startswith("application/cloudevents+json")
        assert record is not STRUCTURED or message.body == ENVELOPE, "as it came, byte for byte"
    else:
        assert (message.body, message.header("ce-id")) == (b"1", "1")
    (reply,) = run.sink.of("out")
    kind = header(reply, "content-type")
    assert kind.startswith("application/cloudevents+json") == (written == "structured")
    assert read_record(reply.value, reply.headers, Limits()).attribute("causationid") == "1"


def test_a_function_of_ours_answers_each_event_of_a_batch_by_itself(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(
        "from gpfn import Function\n"
        "from gpfn.errors import InvalidEvent\n"
        "seen = set()\n"
        "def work(event):\n"
        "    first = event.id not in seen\n"
        "    seen.add(event.id)\n"
        "    if event.id == '3':\n"
        "        raise InvalidEvent('never', field='data')\n"
        "    if event.id == '7' and first:\n"
        "        raise RuntimeError('not now')\n"
        "    return event.id\n"
        "handler = Function(work, takes='event', name='work').fn\n"
    )
    functions: Any = [InProcess(str(tmp_path))]
    spec = route(batch=Batch(5, 0.002), order="none")
    run = Run([record_of(n) for n in range(20)], functions, routes=(spec,))
    assert run.counts == {"replied": 19, "refused": 1}
    assert run.bridge.figures.totals["retries"] == 1
    causes = sorted(int(str(reply.attribute("causationid"))) for reply in run.replies)
    assert causes == [n for n in range(20) if n != 3]
    assert header(run.sink.of("dead")[0], "gpfn_offset") == "3"
