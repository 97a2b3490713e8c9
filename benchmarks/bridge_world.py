"""The Kafka of `bridge.py`, and what runs between two of its topics: the bridge, or a floor."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from bridge_running import HERE, PATIENCE, Process
from confluent_kafka import Consumer, Producer, TopicPartition

from gpfn.bridge.kafka.admin import LATEST, KafkaAdmin
from gpfn.bridge.kafka.broker import Broker
from gpfn.errors import GpfnError

__all__ = [
    "KEYS",
    "PARTITIONS",
    "VALUE",
    "Kafka",
    "Line",
    "World",
    "cause_of",
    "headers_of",
    "produce",
    "running",
]

PARTITIONS, KEYS = 4, 64
VALUE = b'{"readings":[%b]}' % b",".join(b"%.3f" % (20 + at / 8) for at in range(1, 145))
VALUE += b" " * (1024 - len(VALUE))
QUICK = {
    "group.min.session.timeout.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
}
"""What makes joining a group a matter of a moment."""
CONFIG = """
listen = "127.0.0.1:0"
[source]
kafka = "{address}"
topics = ["{source}"]
group = "{replies}"
[[route]]
match = {{ destination = "forecast" }}
call = "http://127.0.0.1:{port}/"
reply = {{ topic = "{replies}" }}
order = "{order}"
in_flight = {in_flight}
[dead-letter]
topic = "{dead}"
"""


class Kafka:
    """A broker, and what is done with it besides what is measured."""

    def __init__(self, broker: Broker) -> None:
        self.address = broker.address
        self.settings = {"bootstrap.servers": broker.address}
        self.admin = KafkaAdmin(self.settings)

    def make(self, topics: Sequence[str]) -> None:
        """Make topics, and wait until the broker itself knows of them."""
        for topic in topics:
            assert self.admin.create(topic, PARTITIONS)
        places = [(topic, number) for topic in topics for number in range(PARTITIONS)]
        admin = KafkaAdmin(self.settings, seconds=1.0)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if {topic.name for topic in admin.all_topics()} >= {*topics}:
                    admin.offsets(places, LATEST)  # each partition has a leader who answers
                    return
            except GpfnError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def fill(self, topic: str, events: int) -> None:
        """Write events: the keys take turns, and with them the partitions."""
        producer = Producer({**self.settings, "linger.ms": 20})
        for number in range(events):
            while True:
                try:
                    produce(producer, topic, number)
                    break
                except BufferError:
                    producer.poll(0.05)
            producer.poll(0)
        assert producer.flush(60) == 0

    def counter(self, topic: str) -> Callable[[], int]:
        """Return what tells how many records a topic has."""
        places = [(topic, number) for number in range(PARTITIONS)]
        return lambda: sum(self.admin.offsets(places, LATEST).values())

    def committed(self, group: str, topic: str) -> int:
        """Return how many records of a topic a group is done with."""
        places = [(topic, number) for number in range(PARTITIONS)]
        return sum(self.admin.committed(group, places).values())

    def causes(self, topic: str, total: int) -> Counter[bytes]:
        """Return how often each event was replied to, as the topic's first replies say."""
        settings = {**self.settings, "group.id": "causes", "enable.auto.commit": False}
        consumer = Consumer(settings)
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found: Counter[bytes] = Counter()
        end = time.monotonic() + PATIENCE
        try:
            while found.total() < total:
                assert time.monotonic() < end, f"{found.total()} of {total} replies came"
                messages = consumer.consume(1000, 0.1)
                found.update([cause_of(each) for each in messages if each.error() is None])
        finally:
            consumer.close()
        return found


class Line(NamedTuple):
    """What goes from one topic to another: its process, and how many replies there are."""

    process: Process
    replies: str
    done: Callable[[], int]


class World:
    """The topics of a benchmark, and the processes that go between two of them."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self.folder = folder
        self._numbers = count(1)
        self._made: list[str] = []
        self._dead = ""
        """The dead-letter topic of all bridges, in which nothing comes to lie."""

    def topic(self, events: int = 0) -> str:
        """Return a topic that nobody has used, with so many events."""
        if not self._made:
            self._made = [f"topic-{next(self._numbers)}" for _ in range(12)]
            self.kafka.make(self._made)
        name = self._made.pop()
        self.kafka.fill(name, events)
        return name

    @contextmanager
    def bridge(
        self, source: str, port: int, *, order: str = "key", in_flight: int = 64, more: str = ""
    ) -> Iterator[Line]:
        """Run a bridge, in a group of the name of its replies."""
        self._dead = self._dead or self.topic()
        replies = self.topic()
        path = self.folder / f"{replies}.toml"
        path.write_text(
            CONFIG.format(
                address=self.kafka.address,
                source=source,
                port=port,
                replies=replies,
                order=order,
                in_flight=in_flight,
                dead=self._dead,
            )
            + more
        )
        words = ["-m", "gpfn", "bridge", "run", path, "--json"]
        with self._line(source, replies, words) as line:
            yield line
        assert not self.kafka.counter(self._dead)(), "there are dead letters"

    @contextmanager
    def floor(self, kind: str, source: str, port: int, *, linger: int = 5) -> Iterator[Line]:
        """Run a floor; 5 ms are what the library's producer lingers by itself."""
        replies = self.topic()
        program = HERE / "peers" / "bridge_floor.py"
        words = [program, kind, self.kafka.address, source, replies, replies, port, linger]
        with self._line(source, replies, words) as line:
            yield line

    @contextmanager
    def _line(self, source: str, replies: str, words: Sequence[object]) -> Iterator[Line]:
        """Run a process, end it in order, and check what it has done.

        Every reply is to another event, and no more events are committed than have a reply: as
        many when all of the source was read, while a reply may be beyond the commit before that.
        """
        with Process(words, self.folder) as process:
            line = Line(process, replies, self.kafka.counter(replies))
            yield line
            process.end()
        total = line.done()
        causes = self.kafka.causes(replies, total)
        assert len(causes) == total or set(causes) == {b""}, "events were replied to twice"
        committed = self.kafka.committed(replies, source)
        told = f"{total} replies, and {committed} committed"
        assert committed <= total, told
        assert committed == total or total < self.kafka.counter(source)(), told


def produce(producer: Any, topic: str, number: int) -> None:
    """Write one event: as many keys as one partition has, each other one has."""
    key = number % KEYS
    headers = headers_of(f"reading-{number}")
    producer.produce(topic, VALUE, b"sensor-%d" % key, key % PARTITIONS, headers=headers)


def headers_of(name: str) -> list[tuple[str, bytes]]:
    """Return the headers of an event: six attributes and the media type of its data."""
    attributes = {
        "specversion": "1.0",
        "id": name,
        "source": "https://example.com/sensors/7",
        "type": "com.example.reading",
        "time": "2026-11-29T10:00:00Z",
        "destination": "forecast",
    }
    headers = [(f"ce_{each}", value.encode()) for each, value in attributes.items()]
    return [*headers, ("content-type", b"application/json")]


def cause_of(message: Any) -> bytes:
    """Return the id of the event that a reply is to; empty in one without attributes."""
    return next((value for name, value in message.headers() or () if name == "ce_causationid"), b"")


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """Run a broker in a folder."""
    broker = Broker(folder / "kafka", settings=QUICK)
    broker.start()
    try:
        yield World(Kafka(broker), folder)
    finally:
        broker.kill()
