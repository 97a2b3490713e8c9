"""What a bridge costs at least: the same job by hand, without anything that can go wrong.

    python bridge_floor.py serial|bytes|in-flight SERVERS SOURCE GROUP REPLIES PORT LINGER

``serial`` consumes records of Kafka, sends each as an event over one blocking connection, and
produces the event that came back with the key and id of its cause. ``bytes`` does so with the
values alone, and neither reads nor writes any header of an event. ``in-flight`` is ``serial``
with 16 connections in an event loop, in no order. Each commits once, when SIGTERM ends it.
"""

import asyncio
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bridge_function import LENGTH, loop_factory
from confluent_kafka import Consumer, Producer, TopicPartition

__all__ = ["main"]

BATCH = 256
IN_FLIGHT = 16


class Job(NamedTuple):
    """What is consumed from, called and produced to."""

    servers: str
    source: str
    group: str
    replies: str
    port: int
    linger: int


class Floor:
    """The two clients, and the way of a record through HTTP."""

    def __init__(self, job: Job, *, events: bool) -> None:
        self.events = events
        self.replies = job.replies
        self.stopped = False
        self.positions: dict[tuple[str, int], int] = {}
        servers = {"bootstrap.servers": job.servers}
        group = {"group.id": job.group, "enable.auto.commit": False}
        self.consumer = Consumer({**servers, **group, "auto.offset.reset": "earliest"})
        self.producer = Producer({**servers, "enable.idempotence": True, "linger.ms": job.linger})
        self.consumer.subscribe([job.source])
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_: object) -> None:
        """Take no more records."""
        self.stopped = True

    def request(self, message: Any) -> bytes:
        """Return the request for a record."""
        value = message.value()
        lines = b""
        if self.events:
            for name, given in message.headers():
                field = name if name == "content-type" else "ce-" + name[3:]
                lines += b"%b: %b\r\n" % (field.encode(), given)
        size = len(value)
        return b"POST / HTTP/1.1\r\nhost: f\r\n%bcontent-length: %d\r\n\r\n%b" % (
            lines,
            size,
            value,
        )

    def produce(self, message: Any, head: bytes, body: bytes) -> None:
        """Write the record of a response."""
        headers: list[tuple[str, Any]] = []
        if self.events:
            for line in head.split(b"\r\n")[1:]:
                name, _, given = line.partition(b": ")
                if name.startswith(b"ce-"):
                    headers.append(("ce_" + name[3:].decode(), given))
                elif name == b"content-type":
                    headers.append(("content-type", given))
            cause = next(given for name, given in message.headers() if name == "ce_id")
            headers.append(("ce_causationid", cause))
        while True:
            try:
                self.producer.produce(
                    self.replies, body, message.key(), headers=headers, on_delivery=delivered
                )
                break
            except BufferError:
                self.producer.poll(0.01)
        place = (message.topic(), message.partition())
        self.positions[place] = max(self.positions.get(place, 0), message.offset() + 1)

    def end(self, not_done: Iterable[Any] = ()) -> None:
        """Wait for what was produced, commit and leave."""
        for message in not_done:
            place = (message.topic(), message.partition())
            self.positions[place] = min(self.positions.get(place, 1 << 62), message.offset())
        assert self.producer.flush(30) == 0
        places = [TopicPartition(*place, offset) for place, offset in self.positions.items()]
        if places:
            self.consumer.commit(offsets=places, asynchronous=False)
        self.consumer.close()


def delivered(error: Any, _message: object) -> None:
    assert error is None, error


def serial(floor: Floor, port: int) -> None:
    """One record after the other."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not floor.stopped:
        messages = floor.consumer.consume(BATCH, 0.0)
        if not messages:
            first = floor.consumer.poll(0.02)
            messages = [first, *floor.consumer.consume(BATCH, 0.0)] if first else []
        for message in messages:
            assert message.error() is None, message.error()
            connection.sendall(floor.request(message))
            data = connection.recv(65536)
            while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < size_of(data, end):
                data += connection.recv(65536)
            floor.produce(message, data[:end], data[end + 4 :])
            floor.producer.poll(0)
    floor.end()


def size_of(data: bytes, end: int) -> int:
    length = LENGTH.search(data, 0, end + 2)
    assert length is not None, data
    return end + 4 + int(length[1])


class Connection(asyncio.Protocol):
    """One of the connections, with the record that it carries."""

    def __init__(self, in_flight: "InFlight") -> None:
        self.in_flight = in_flight
        self.data = b""
        self.message: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def begin(self, message: Any) -> None:
        self.message = message
        self.transport.write(self.in_flight.floor.request(message))

    def data_received(self, data: bytes) -> None:
        self.data = data = self.data + data
        end = data.find(b"\r\n\r\n")
        if end >= 0 and len(data) >= size_of(data, end):
            self.in_flight.floor.produce(self.message, data[:end], data[end + 4 :])
            self.data = b""
            self.in_flight.idle.append(self)
            self.in_flight.begin()


class InFlight:
    """Several records at a time."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.waiting: deque[Any] = deque()
        self.idle: list[Connection] = []

    def begin(self) -> None:
        while self.idle and self.waiting and not self.floor.stopped:
            self.idle.pop().begin(self.waiting.popleft())

    async def run(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(IN_FLIGHT):
            made = await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            self.idle.append(made[1])
        while not self.floor.stopped or len(self.idle) < IN_FLIGHT:
            if len(self.waiting) < BATCH and not self.floor.stopped:
                self.waiting.extend(self.floor.consumer.consume(BATCH, 0.0))
            self.begin()
            self.floor.producer.poll(0)
            await asyncio.sleep(0.001)
        self.floor.end(self.waiting)


def main(argv: Sequence[str]) -> None:
    """Run until SIGTERM."""
    kind, *names, port, linger = argv
    servers, source, group, replies = names
    job = Job(servers, source, group, replies, int(port), int(linger))
    floor = Floor(job, events=kind != "bytes")
    if kind == "in-flight":
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.get_loop().add_signal_handler(signal.SIGTERM, floor.stop)
            runner.run(InFlight(floor).run(job.port))
    else:
        serial(floor, job.port)


if __name__ == "__main__":
    main(sys.argv[1:])
