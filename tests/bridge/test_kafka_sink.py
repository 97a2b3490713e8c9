"""The Kafka sink with a real broker: each record is told of once, in order, with the reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from gpfn.bridge.kafka.sink import KafkaSink
from gpfn.bridge.record import Header, Outgoing
from gpfn.errors import BackendError, CallerError, GpfnError, SetupError, TooLarge
from tests.bridge.kafka_broker import TestKafka, kafka
from tests.bridge.kafka_listening import until

__all__ = ["kafka"]


class Told:
    """What became of each record, by its number."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.errors: dict[int, GpfnError] = {}

    def of(self, number: int) -> Callable[[GpfnError | None], None]:
        return partial(self._tell, number)

    def _tell(self, number: int, error: GpfnError | None) -> None:
        assert number not in self.order
        self.order.append(number)
        if error is not None:
            self.errors[number] = error


async def sent(
    kafka: TestKafka, topic: str, records: Sequence[Outgoing], **settings: str
) -> tuple[Told, list[str]]:
    """Send records, and wait until each was told of."""
    lines: list[str] = []
    named = {key.replace("_", "."): value for key, value in settings.items()}
    sink = KafkaSink({**kafka.settings, **named}, log=lines.append)
    await sink.start([topic])
    told = Told()
    for number, record in enumerate(records):
        sink.send(record, told.of(number))
    await until(lambda: len(told.order) == len(records))
    await sink.stop(10)
    return told, lines


def values(kafka: TestKafka, topic: str, count: int) -> list[bytes | None]:
    return [message.value() for message in kafka.read(topic, count)]


def test_a_full_buffer_makes_nothing_get_lost_or_overtaken(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    records = [Outgoing(topic, b"k", b"%d" % number) for number in range(5000)]
    told, _ = asyncio.run(sent(kafka, topic, records, queue_buffering_max_messages="10"))
    assert told.order == [*range(5000)]
    assert told.errors == {}
    assert values(kafka, topic, 5000) == [record.value for record in records]


def test_keys_keep_their_order_and_go_where_java_puts_them(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=4)
    records = [Outgoing(topic, b"k%d" % (n % 50), b"%d" % n) for n in range(5000)]
    told, _ = asyncio.run(sent(kafka, topic, records))
    assert told.errors == {}
    by_key: dict[bytes, list[int]] = {}
    for message in kafka.read(topic, 5000):
        by_key.setdefault(message.key(), []).append(int(message.value()))
        assert message.partition() == confluent_kafka.murmur2(message.key(), 4)
    assert len(by_key) == 50
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert sum(map(len, by_key.values())) == 5000


def test_what_is_too_large_is_refused_alone(kafka: TestKafka) -> None:
    """By the library or by the broker: those sent in the same moment are written."""
    topic = kafka.topic(partitions=1, max_message_bytes="20000")
    small = [Outgoing(topic, b"k", b"%d" % number + bytes(1000)) for number in range(200)]
    records: list[Outgoing] = []
    for number, record in enumerate(small):
        records.append(record)
        if number % 50 == 25:
            records.append(Outgoing(topic, b"k", bytes(30_000 if number < 100 else 2_000_000)))
    told, _ = asyncio.run(sent(kafka, topic, records, linger_ms="20"))
    large = [number for number, record in enumerate(records) if len(record.value or b"") > 9999]
    assert sorted(told.errors) == large
    for error in told.errors.values():
        assert isinstance(error, TooLarge)
        assert topic in error.detail
    assert values(kafka, topic, 200) == [record.value for record in small]


def test_a_topic_with_a_high_limit_takes_what_is_large(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1, max_message_bytes="8000000")
    told, _ = asyncio.run(sent(kafka, topic, [Outgoing(topic, None, bytes(5_000_000))]))
    assert told.errors == {}


BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a surrogate": ("", (("a\udc80", b"1"),)),
    "a NUL": ("", (("a\0b", b"1"),)),
    "no topic's name": ("a b", ()),
    "a topic with a surrogate": ("a\udc80", ()),
    "no topic": ("no-such-topic", ()),
    "a number": ("", (("a", 1),)),
    "a name that is a number": ("", ((1, b"a"),)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_written_is_told_and_crashes_nothing(kafka: TestKafka, name: str) -> None:
    topic = kafka.topic(partitions=1)
    other, headers = BAD[name]
    records = [
        Outgoing(topic, b"k", b"1"),
        Outgoing(other or topic, b"k", b"bad", headers),
        Outgoing(topic, b"k", b"2"),
    ]
    settings = {"topic_metadata_propagation_max_ms": "500"}
    told, _ = asyncio.run(sent(kafka, topic, records, **settings))
    assert [*told.errors] == [1]
    assert isinstance(told.errors[1], (CallerError, BackendError))
    assert values(kafka, topic, 2) == [b"1", b"2"]


def test_headers_of_every_kind(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    headers: tuple[Header, ...] = (("ä", b"\0\xff"), ("a", None), ("a", b""), ("", b"empty"))
    asyncio.run(sent(kafka, topic, [Outgoing(topic, None, None, headers)]))
    (message,) = kafka.read(topic, 1)
    assert tuple(message.headers()) == headers
    assert (message.key(), message.value()) == (None, None)


def test_a_compacted_topic_refuses_what_has_no_key(kafka: TestKafka) -> None:
    """Those of its batch are sent again, which nobody has to know."""
    topic = kafka.topic(partitions=1, cleanup_policy="compact")
    records = [Outgoing(topic, None if n % 10 == 5 else b"k%d" % n, b"%d" % n) for n in range(40)]
    told, _ = asyncio.run(sent(kafka, topic, records, linger_ms="20"))
    assert sorted(told.errors) == [5, 15, 25, 35]
    assert all(isinstance(error, CallerError) for error in told.errors.values())
    found = values(kafka, topic, 36)
    assert sorted(found) == sorted(record.value for record in records if record.key)


def test_a_producer_that_failed_for_good_is_replaced(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)

    async def main() -> None:
        sink = KafkaSink(kafka.settings, log=print)
        await sink.start([topic])
        told = Told()
        sink.send(Outgoing(topic, b"k", b"1"), told.of(1))
        await until(lambda: told.order == [1])
        before = sink._producer
        sink._log.error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "so", fatal=True))
        sink.send(Outgoing(topic, b"k", b"2"), told.of(2))
        await until(lambda: len(told.order) == 2)
        sink.send(Outgoing(topic, b"k", b"3"), told.of(3))
        await until(lambda: len(told.order) == 3)
        assert sink._producer is not before
        assert [*told.errors] in ([], [2])  # it may have been under way, and is told so then
        await sink.stop(5)

    asyncio.run(main())
    assert {b"1", b"3"} <= {*values(kafka, topic, 2)}


def test_a_callback_that_fails_takes_no_other_with_it(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    wrong: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        sink = KafkaSink(kafka.settings, log=print)
        await sink.start([topic])
        told = Told()

        def fail(_: GpfnError | None) -> None:
            raise ValueError("so")

        for number in range(10):
            sink.send(
                Outgoing(topic, b"k", b"%d" % number), fail if number == 3 else told.of(number)
            )
        await until(lambda: len(told.order) == 9)
        await sink.stop(5)

    asyncio.run(main())
    assert [str(context["exception"]) for context in wrong] == ["so"]


def test_a_callback_may_send(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)

    async def main() -> int:
        sink = KafkaSink(kafka.settings, log=print)
        await sink.start([topic])
        count = 0

        def again(_: GpfnError | None) -> None:
            nonlocal count
            count += 1
            if count < 200:
                sink.send(Outgoing(topic, b"k", b"%d" % count), again)

        sink.send(Outgoing(topic, b"k", b"0"), again)
        await until(lambda: count == 200)
        await sink.stop(5)
        return count

    assert asyncio.run(main()) == 200
    assert values(kafka, topic, 200) == [b"%d" % number for number in range(200)]


def test_it_is_quick_when_little_is_sent(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)

    async def main() -> list[float]:
        sink = KafkaSink(kafka.settings, log=print)
        await sink.start([topic])
        found = []
        for number in range(100):
            told = Told()
            await asyncio.sleep(0.003)
            began = time.perf_counter()
            sink.send(Outgoing(topic, b"k", b"%d" % number), told.of(number))
            while not told.order:
                await asyncio.sleep(0.0002)
            found.append(time.perf_counter() - began)
        await sink.stop(5)
        return sorted(found)

    assert asyncio.run(main())[50] < 0.05  # far from what it is, for other tests run beside it


def test_wrong_settings() -> None:
    there = {"bootstrap.servers": "127.0.0.1:1"}
    wrong = {
        "enable.idempotence": "false",
        "acks": "1",
        "transactional.id": "x",
        "foo.bar": "1",
        "dr_cb": "x",
    }
    for key, value in wrong.items():
        with pytest.raises(SetupError) as caught:
            asyncio.run(KafkaSink({**there, key: value}, log=print).start([]))
        assert caught.value.field == f"sink.settings.{key}"
    with pytest.raises(SetupError) as caught:
        asyncio.run(KafkaSink(there, log=print).start(["a b"]))
    assert caught.value.field == "a b"
