"""Kafka goes away and comes back while a source and a sink are at work: nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from gpfn.bridge.kafka.sink import KafkaSink
from gpfn.bridge.record import Outgoing
from gpfn.errors import BackendError, GpfnError
from tests.bridge.kafka_broker import TestKafka, own_broker
from tests.bridge.kafka_listening import FAST, Hears, joined, until

SHORT = {**FAST, "session.timeout.ms": "1500"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestKafka]:
    """A broker that these tests may end."""
    with own_broker(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


class Flow:
    """Records go through a sink into a topic, and out of it through a source."""

    def __init__(self, kafka: TestKafka, topic: str) -> None:
        self.kafka = kafka
        self.topic = topic
        self.lines: list[str] = []
        self.sink = KafkaSink(kafka.settings, log=self.lines.append)
        self.told: list[GpfnError | None] = []
        self.sent = 0
        self.hears = Hears()
        self.hears.then = self.hears.done

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            self.sink.send(Outgoing(self.topic, b"k", b"%d" % number), self.told.append)
        self.sent += count

    async def arrived(self) -> None:
        """Wait until all that was sent was told of, and has come, in its order."""
        await until(lambda: len(self.told) == self.sent, 60)
        assert self.told == [None] * self.sent
        await until(lambda: len({*self.hears.values()}) == self.sent, 60)
        first = [*dict.fromkeys(int(value or b"") for value in self.hears.values())]
        assert first == [*range(self.sent)]
        assert self.hears.errors == []


async def end(kafka: TestKafka, how: str) -> None:
    broker = kafka.broker
    await asyncio.to_thread({"stop": broker.stop, "kill": broker.kill, "pause": broker.pause}[how])


async def back(kafka: TestKafka, how: str) -> None:
    await asyncio.to_thread(kafka.broker.cont if how == "pause" else kafka.broker.start)


@pytest.mark.parametrize("how", ["stop", "kill", "pause"])
def test_the_broker_is_away_for_a_while(own: TestKafka, how: str) -> None:
    topic = own.topic(partitions=1)
    flow = Flow(own, topic)

    async def main() -> None:
        await flow.sink.start([topic])
        async with joined(own, topic, flow.hears, settings=SHORT):
            flow.send(1000)
            await flow.arrived()
            await end(own, how)
            flow.send(5000)
            await asyncio.sleep(3)
            flow.send(1000)
            assert not flow.hears.errors
            assert len(flow.told) < flow.sent
            await back(own, how)
            await flow.arrived()
            flow.send(1000)
            await flow.arrived()
            await until(lambda: own.committed(f"group of {topic}", topic) == {0: flow.sent}, 60)
            duplicates = len(flow.hears.records) - flow.sent
            assert duplicates in (0, 1000) or how != "pause"
            if how != "pause":  # its connections stay
                for lines in (flow.lines, flow.hears.lines):
                    away = [line for line in lines if line.startswith("no broker can be reached")]
                    assert len(away) == 1
                    assert "the broker answers again" in lines
            assert len(flow.lines) < 10, flow.lines
            assert len(flow.hears.lines) < 10, flow.hears.lines
        await flow.sink.stop(10)

    asyncio.run(main())
    assert [*dict.fromkeys(m.value() for m in own.read(topic, flow.sent))] == [
        b"%d" % number for number in range(flow.sent)
    ]
    assert own.ends(topic) == {0: flow.sent}  # each was written once


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_both_stop_while_the_broker_is_away(own: TestKafka, how: str) -> None:
    """In bounded time; what was not delivered is told so; what was not committed comes again."""
    topic = own.topic(partitions=1)
    flow = Flow(own, topic)

    async def main() -> None:
        await flow.sink.start([topic])
        async with joined(own, topic, flow.hears, settings=SHORT):
            flow.send(100)
            await flow.arrived()
            await end(own, how)
            flow.send(50)
            began = time.monotonic()
            await flow.sink.stop(1)
            assert time.monotonic() - began < 5
            assert len(flow.told) == 150
            assert all(isinstance(error, BackendError) for error in flow.told[100:])
            began = time.monotonic()
        assert time.monotonic() - began < 20
        await back(own, how)
        hears = Hears()
        hears.then = hears.done
        async with joined(own, topic, hears, settings=SHORT):
            own.write(topic, [b"last"])
            await until(lambda: b"last" in hears.values())

    asyncio.run(main())


def test_many_records_are_sent_while_it_is_away(own: TestKafka) -> None:
    """More than the library keeps: the rest waits here."""
    topic = own.topic(partitions=2)

    async def main() -> None:
        told: list[GpfnError | None] = []
        sink = KafkaSink(
            {**own.settings, "queue.buffering.max.messages": "1000"}, log=lambda _: None
        )
        await sink.start([topic])
        await end(own, "kill")
        for number in range(50_000):
            sink.send(Outgoing(topic, b"%d" % (number % 9), b"%d" % number), told.append)
        await asyncio.sleep(1)
        assert told == []
        await back(own, "kill")
        await until(lambda: len(told) == 50_000, 60)
        assert told == [None] * 50_000
        await sink.stop(10)

    asyncio.run(main())
    by_key: dict[bytes, list[int]] = {}
    for message in own.read(topic, 50_000, 60):
        by_key.setdefault(message.key(), []).append(int(message.value()))
    assert sum(map(len, by_key.values())) == 50_000
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
