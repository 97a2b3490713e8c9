"""How long it takes from the producer of an event to the consumer of its reply."""

import time
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
from bridge_running import PATIENCE
from bridge_world import PARTITIONS, Line, World, cause_of, produce
from confluent_kafka import Consumer, Producer, TopicPartition

__all__ = ["RATE", "Latency", "latencies", "latency"]

RATE = 200
"""Events a second."""
WARM = 50
"""Events before those that count."""


class Latency(NamedTuple):
    """Milliseconds that half of the events, and all but one of a hundred, took at most."""

    p50: float
    p99: float


def latency(times: list[float]) -> Latency:
    """Return what times in seconds come to."""
    return Latency(*(1e3 * float(np.percentile(times, q)) for q in (50, 99)))


def latencies(world: World, line: Line, source: str, events: int) -> list[float]:
    """Send events at a steady rate; return the seconds until the reply to each was consumed."""
    total = WARM + events
    sent, came = [0.0] * total, [0.0] * total
    reader = Thread(target=_read, args=(world, line, came), daemon=True)
    reader.start()
    producer = Producer({**world.kafka.settings, "linger.ms": 0})
    _send(producer, source, 0, sent)
    _wait(line, came, 1)  # both ends are there
    began = time.perf_counter()
    for number in range(1, total):
        time.sleep(max(began + number / RATE - time.perf_counter(), 0))
        _send(producer, source, number, sent)
    assert producer.flush(30) == 0
    _wait(line, came, total)
    reader.join(PATIENCE)
    return [end - begin for begin, end in zip(sent[WARM:], came[WARM:], strict=True)]


def _send(producer: Any, source: str, number: int, sent: list[float]) -> None:
    sent[number] = time.perf_counter()
    produce(producer, source, number)
    producer.poll(0)


def _wait(line: Line, came: list[float], number: int) -> None:
    end = time.monotonic() + PATIENCE
    while not all(came[:number]):
        line.process.check(end)
        time.sleep(0.01)


def _read(world: World, line: Line, came: list[float]) -> None:
    """Note when each reply comes, until all have come or the process has ended."""
    settings = {**world.kafka.settings, "group.id": "latency", "enable.auto.commit": False}
    consumer = Consumer(settings)
    places = [TopicPartition(line.replies, number, 0) for number in range(PARTITIONS)]
    consumer.assign(places)
    try:
        while not all(came) and line.process.popen.poll() is None:
            message = consumer.poll(0.1)
            now = time.perf_counter()
            if message is not None and message.error() is None:
                came[int(cause_of(message).rpartition(b"-")[2])] = now
    finally:
        consumer.close()
