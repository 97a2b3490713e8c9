"""A real Kafka for tests: one for all of a test process, with topics of their own for each."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from gpfn.bridge.kafka.admin import LATEST, KafkaAdmin
from gpfn.bridge.kafka.broker import Broker

__all__ = ["QUICK", "TestKafka", "kafka", "own_broker"]

QUICK = {
    "group.min.session.timeout.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
}
"""Settings with which rebalances and restarts do not take the seconds that they are worth."""

_numbers = count(1)


class TestKafka:
    """A broker, and what tests do with it besides what they test."""

    __test__ = False

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.settings = {"bootstrap.servers": broker.address}
        self.admin = KafkaAdmin(self.settings)

    @property
    def address(self) -> str:
        """Where it is."""
        return self.broker.address

    def topic(self, partitions: int = 4, **config: str) -> str:
        """Make a topic that nobody else has."""
        name = f"topic-{next(_numbers)}"
        named = {key.replace("_", "."): value for key, value in config.items()}
        assert self.admin.create(name, partitions, named)
        self.settle(name, partitions)
        return name

    def widen(self, name: str, partitions: int) -> None:
        """Add partitions to a topic."""
        from confluent_kafka.admin import AdminClient, NewPartitions

        client = AdminClient(self.settings)
        client.create_partitions([NewPartitions(name, partitions)])[name].result(10)
        self.settle(name, partitions)

    def settle(self, name: str, partitions: int) -> None:
        """Wait until the broker itself knows of a topic, which takes a moment."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if name in {each.name for each in self.admin.all_topics()}:
                facts = self.admin.topics([name])[0]
                if facts.partitions == partitions:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{name} did not come")

    def write(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        partition: int = -1,
        keys: Sequence[bytes | None] | None = None,
        headers: list[tuple[str, Any]] | None = None,
    ) -> None:
        """Write values, and wait until they are there."""
        failed: list[Any] = []
        producer = Producer({**self.settings, "enable.idempotence": "true"})
        for at, value in enumerate(values):
            while True:
                try:
                    producer.produce(
                        topic,
                        value,
                        keys[at] if keys else None,
                        partition=partition,
                        headers=headers,
                        on_delivery=lambda error, _: failed.append(error) if error else None,
                    )
                except BufferError:
                    producer.poll(0.1)
                    continue
                break
        assert producer.flush(30) == 0
        assert not failed, failed[0]

    def read(self, topic: str, number: int, seconds: float = 20.0) -> list[Any]:
        """Return the messages of a topic from its beginning, at least so many."""
        consumer = Consumer({**self.settings, "group.id": "reader", "enable.auto.commit": "false"})
        partitions = self.admin.topics([topic])[0].partitions
        consumer.assign([TopicPartition(topic, each, 0) for each in range(partitions)])
        found: list[Any] = []
        end = time.monotonic() + seconds
        try:
            while len(found) < number and time.monotonic() < end:
                found += [each for each in consumer.consume(500, 0.2) if each.error() is None]
        finally:
            consumer.close()
        return found

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return what a group has committed, by partition."""
        partitions = self.admin.topics([topic])[0].partitions
        places = [(topic, each) for each in range(partitions)]
        return {place[1]: at for place, at in self.admin.committed(group, places).items()}

    def ends(self, topic: str) -> dict[int, int]:
        """Return where each partition ends."""
        partitions = self.admin.topics([topic])[0].partitions
        places = [(topic, each) for each in range(partitions)]
        return {place[1]: at for place, at in self.admin.offsets(places, LATEST).items()}


_GUARD = """read -r _
pid=$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' "$1/kafka.json" 2>/dev/null)
[ "$(readlink "/proc/$pid/cwd")" = "$1" ] && kill -9 "$pid"
"""
_guards: list[subprocess.Popen[bytes]] = []


def _guard(broker: Broker) -> None:
    """End the broker with this process, however that ends: then nobody holds the pipe."""
    command = ["sh", "-c", _GUARD, "sh", str(broker.folder)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    _guards.append(guard)


@contextmanager
def own_broker(folder: Path, **settings: str) -> Iterator[TestKafka]:
    """A broker of a test's own, which may be stopped and killed."""
    broker = Broker(folder, settings={**QUICK, **settings})
    broker.start()
    _guard(broker)
    try:
        yield TestKafka(broker)
    finally:
        broker.kill()


@cache
def _shared() -> TestKafka:
    folder = Path(tempfile.mkdtemp(prefix="gpfn-kafka-"))
    broker = Broker(folder, settings=QUICK)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(broker.kill)
    broker.start()
    _guard(broker)
    return TestKafka(broker)


@pytest.fixture
def kafka() -> TestKafka:
    """The broker that all tests of this process share: nobody may stop it."""
    return _shared()
