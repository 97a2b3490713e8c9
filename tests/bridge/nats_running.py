"""What tests of NATS share: a listener that keeps what it hears, and records to begin with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from gpfn.bridge.nats.sink import NatsSink
from gpfn.bridge.nats.source import NatsSource
from gpfn.bridge.record import Header, Outgoing, Partition, Record
from gpfn.errors import GpfnError
from tests.bridge.nats_server import NatsServer

__all__ = ["CREATE", "Hears", "numbered", "outgoing", "published", "running", "until"]

CREATE = {"create": "on"}


class Hears:
    """A listener. ``then`` is called with each record, and may say that it is done."""

    def __init__(self, then: Callable[[Record], None] = lambda _: None) -> None:
        self.records: list[Record] = []
        self.partitions: list[Partition] = []
        self.errors: list[GpfnError] = []
        self.then = then

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.partitions += partitions

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError(f"JetStream gives nobody {partitions}")

    def lost(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError(f"JetStream gives nobody {partitions}")

    def received(self, records: Sequence[Record]) -> None:
        self.records += records
        for record in records:
            self.then(record)

    def ended(self) -> None:
        raise AssertionError("a topic does not end")

    def failed(self, error: GpfnError) -> None:
        self.errors.append(error)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]


async def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to be in time"
        await asyncio.sleep(0.005)


async def running(
    server: NatsServer,
    topic: str,
    hears: Hears,
    group: str = "g",
    *,
    expires: float = 5.0,
    **settings: str,
) -> NatsSource:
    """Return a source that has started."""
    source = NatsSource(server.url, [topic], group, settings=CREATE | settings, expires=expires)
    await source.start(hears)
    return source


def outgoing(
    topic: str, value: bytes | None, key: bytes | None = None, *headers: Header
) -> Outgoing:
    return Outgoing(topic, key, value, headers)


def numbered(topic: str, count: int, keys: int = 7) -> Iterable[Outgoing]:
    """Return records whose values are their numbers."""
    return [outgoing(topic, b"%d" % n, b"k%d" % (n % keys)) for n in range(count)]


async def published(
    server: NatsServer, records: Iterable[Outgoing], settings: Mapping[str, str] = CREATE
) -> None:
    """Write records; all of them have to arrive."""
    records = list(records)
    sink = NatsSink(server.url, settings=settings)
    await sink.start(sorted({record.topic for record in records}))
    told: list[GpfnError | None] = []
    for record in records:
        sink.send(record, told.append)
    await sink.stop(30)
    assert told == [None] * len(records)
