"""Ranges of a topic without a group, and what is asked besides."""

from __future__ import annotations

import time
from threading import Timer

import pytest
from confluent_kafka import Producer

from gpfn.bridge.kafka.admin import EARLIEST, LATEST, KafkaAdmin, TopicFacts
from gpfn.bridge.kafka.group import group_lag
from gpfn.bridge.kafka.range import TopicRange, range_of, read_range
from gpfn.bridge.record import Record
from gpfn.errors import BackendTimeout, SetupError
from tests.bridge.kafka_broker import TestKafka, kafka

__all__ = ["kafka"]

HOUR = 3_600_000
START = 1_764_000_000_000


def timed(kafka: TestKafka, topic: str, count: int, partition: int = 0) -> None:
    """Write records that are an hour apart."""
    producer = Producer(kafka.settings)
    for number in range(count):
        producer.produce(
            topic, b"%d" % number, partition=partition, timestamp=START + number * HOUR
        )
    assert producer.flush(20) == 0


def read(kafka: TestKafka, wanted: TopicRange) -> list[tuple[int, int]]:
    """Return where the records of a range are."""
    found: list[Record] = []
    for records in read_range(kafka.settings, wanted, log=print):
        found += records
    return sorted((record.partition, record.offset) for record in found)


def test_a_range_by_time(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2, retention_ms="-1")  # its records are old
    timed(kafka, topic, 10)
    timed(kafka, topic, 4, partition=1)
    wanted = range_of(kafka.admin, topic, since=START + 2 * HOUR, until=START + 5 * HOUR)
    assert wanted == TopicRange(topic, {0: (2, 5), 1: (2, 4)})
    assert wanted.most == 5
    assert read(kafka, wanted) == [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3)]
    whole = range_of(kafka.admin, topic)
    assert whole.most == len(read(kafka, whole)) == 14
    late = range_of(kafka.admin, topic, since=START + 99 * HOUR)
    assert (late.most, read(kafka, late)) == (0, [])
    backwards = range_of(kafka.admin, topic, since=START + 5 * HOUR, until=START)
    assert (backwards.most, read(kafka, backwards)) == (0, [])


def test_a_range_by_offsets(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2, retention_ms="-1")  # its records are old
    timed(kafka, topic, 10)
    wanted = range_of(kafka.admin, topic, offsets={0: (3, 6)})
    assert read(kafka, wanted) == [(0, 3), (0, 4), (0, 5)]
    cut = range_of(kafka.admin, topic, offsets={0: (8, 1000), 1: (0, 1000)})
    assert cut == TopicRange(topic, {0: (8, 10), 1: (0, 0)})
    assert read(kafka, cut) == [(0, 8), (0, 9)]
    with pytest.raises(SetupError, match="has partitions 0 to 1, not 2") as caught:
        range_of(kafka.admin, topic, offsets={2: (0, 1)})
    assert caught.value.field == "offsets"


def test_a_range_that_ends_in_a_gap(kafka: TestKafka) -> None:
    """The last offsets are marks of transactions, which nobody gets."""
    topic = kafka.topic(partitions=1)
    producer = Producer({**kafka.settings, "transactional.id": topic})
    producer.init_transactions(20)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topic, b"x")
        producer.commit_transaction(10)
    wanted = range_of(kafka.admin, topic)
    assert wanted.most == 4
    assert read(kafka, wanted) == [(0, 0), (0, 2)]


def test_a_range_without_an_end_goes_on(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1, retention_ms="-1")
    timed(kafka, topic, 3)
    wanted = range_of(kafka.admin, topic, since=LATEST, until=None)
    assert wanted.most is None
    timer = Timer(0.5, kafka.write, (topic, [b"new"]))
    timer.start()
    reading = read_range(kafka.settings, wanted, log=print)
    assert next(reading) == []  # now and then, while nothing comes
    began = time.monotonic()
    while not (records := next(reading)):
        assert time.monotonic() - began < 20
    assert [record.value for record in records] == [b"new"]
    reading.close()
    timer.join()


def test_what_does_not_come_is_given_up(kafka: TestKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpfn.bridge.kafka.range._PATIENCE_SECONDS", 0.5)
    there = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(BackendTimeout, match=r"nothing came of x in 0\.5 s"):
        list(read_range(there, TopicRange("x", {0: (0, 5)}), log=lambda _: None))
    with pytest.raises(SetupError) as caught:
        list(read_range({**there, "group.id": "g"}, TopicRange("x", {0: (0, 5)}), log=print))
    assert caught.value.field == "group.id"


def test_the_lag_of_a_group(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2, retention_ms="-1")  # its records are old
    timed(kafka, topic, 10)
    rows = group_lag(kafka.admin, "nobody", [topic])
    assert [(row.partition, row.committed, row.end, row.lag) for row in rows] == [
        (0, None, 10, 10), (1, None, 0, 0)
    ]  # fmt: skip


def test_topics(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=3, max_message_bytes="12345")
    admin = KafkaAdmin(kafka.settings)
    assert admin.topics([topic, topic]) == [TopicFacts(topic, 3)]
    assert TopicFacts(topic, 3) in admin.all_topics()
    assert not [each for each in admin.all_topics() if each.name.startswith("__")]
    assert admin.limits([topic]) == {topic: 12345}
    assert admin.limits(["no-such-topic"]) == {}
    assert admin.create(topic, 9) is False
    assert admin.topics([topic])[0].partitions == 3
    with pytest.raises(SetupError, match="partitions"):
        admin.create(f"{topic}-new", 0)
    with pytest.raises(SetupError):
        admin.create(f"{topic}-new", 1, {"no.such.setting": "1"})
    assert admin.offsets([(topic, 0)], EARLIEST) == {(topic, 0): 0}
    assert admin.offsets([(topic, 0)], START) == {(topic, 0): 0}
    assert admin.offsets([], LATEST) == {}
