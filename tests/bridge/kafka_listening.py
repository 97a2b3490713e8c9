"""What tests of the Kafka source share: a listener that keeps what it hears, and waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gpfn.bridge.kafka.source import KafkaSource
from gpfn.bridge.record import Partition, Record
from gpfn.errors import GpfnError
from tests.bridge.kafka_broker import TestKafka

__all__ = ["FAST", "Hears", "joined", "until"]

FAST = {
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "100",
    "topic.metadata.refresh.interval.ms": "300",
}
"""A member with these hears of a rebalance and of new partitions in a fraction of a second."""


class Hears:
    """A listener. ``then`` is called with each record; ``drain`` runs in `revoked`."""

    def __init__(self, then: Callable[[Record], object] = lambda _: None) -> None:
        self.then = then
        self.lines: list[str] = []
        self.records: list[Record] = []
        self.owned: set[Partition] = set()
        self.happened: list[tuple[str, Any]] = []
        self.errors: list[GpfnError] = []
        self.drain: Callable[[Sequence[Partition]], Any] | None = None
        self.source: KafkaSource

    def assigned(self, partitions: Sequence[Partition]) -> None:
        assert not self.owned & {*partitions}
        self.owned |= {*partitions}
        self.happened.append(("assigned", [*partitions]))

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        assert self.owned >= {*partitions}
        self.happened.append(("revoked", [*partitions]))
        if self.drain is not None:
            await self.drain(partitions)
        self.owned -= {*partitions}

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.happened.append(("lost", [*partitions]))
        self.owned -= {*partitions}

    def received(self, records: Sequence[Record]) -> None:
        assert {(record.topic, record.partition) for record in records} <= self.owned
        self.records += records
        for record in records:
            self.then(record)

    def ended(self) -> None:
        raise AssertionError("a topic does not end")

    def failed(self, error: GpfnError) -> None:
        self.errors.append(error)

    def done(self, record: Record) -> None:
        """Say that a record is done."""
        self.source.done(record)

    def values(self) -> list[bytes | None]:
        """Return the values that came, in their order."""
        return [record.value for record in self.records]

    def of(self, kind: str) -> list[Any]:
        """Return what happened of a kind."""
        return [what for how, what in self.happened if how == kind]


@asynccontextmanager
async def joined(
    kafka: TestKafka,
    topic: str,
    hears: Hears | None = None,
    *,
    group: str = "",
    settings: dict[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Hears]:
    """A member of a group, which has its first partitions."""
    hears = hears or Hears()
    source = KafkaSource(
        {**kafka.settings, **(FAST if settings is None else settings)},
        [topic],
        group or f"group of {topic}",
        log=hears.lines.append,
        **{"drain_seconds": 5.0, **more},
    )
    hears.source = source
    await source.start(hears)
    try:
        await until(lambda: bool(hears.happened or hears.errors))
        yield hears
    finally:
        await source.stop()


async def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be in time"
        await asyncio.sleep(0.01)
