"""Records out of Kafka, by a consumer group: each comes again until it is done.

Offsets are committed by us alone, and only up to the lowest unfinished record; what is done
beyond it, and how often a record was tried, is written beside the offset (`watermark`).
Partitions change hands cooperatively: one that goes is drained, committed and let go while the
others go on. With an ``instance`` the group waits for a member that restarts, and moves nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from gpfn.bridge.kafka.admin import EARLIEST, LATEST, KafkaAdmin, check_topic
from gpfn.bridge.kafka.client import ClientLog, Tell, need_kafka
from gpfn.bridge.kafka.group import consumer_settings, open_consumer
from gpfn.bridge.kafka.member import GroupMember
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from gpfn.bridge.record import Partition, Record
    from gpfn.bridge.seam import Listener

__all__ = ["KafkaSource"]

_LAG_SECONDS = 0.5
_LATE_SECONDS = 2.0


class KafkaSource:
    """A member of a consumer group; see :class:`gpfn.bridge.seam.Source`.

    ``settings`` are librdkafka's, ``bootstrap.servers`` among them. ``start`` is where a group
    begins that has never committed anything. ``log`` gets lines, in the loop's thread.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        topics: Sequence[str],
        group: str,
        *,
        instance: str = "",
        start: Literal["earliest", "latest"] = "earliest",
        drain_seconds: float = 20.0,
        log: Tell,
    ) -> None:
        """Raises SetupError for what cannot be, MissingExtra without confluent-kafka."""
        need_kafka()
        if not topics:
            raise SetupError("names no topic", field="source.topics")
        self._topics = [check_topic(topic, "source.topics") for topic in topics]
        self._drain = drain_seconds + _LATE_SECONDS  # the listener has a deadline of its own
        self._settings = consumer_settings(settings, group, instance, self._drain)
        self._latest = start == "latest"
        self._tell = log
        self._admin = KafkaAdmin(settings, side="source")
        self._member: GroupMember | None = None
        self._lag: tuple[float, Mapping[Partition, int]] = (0.0, {})
        self._asking = asyncio.Lock()

    async def start(self, listener: Listener) -> None:
        """Begin to receive.

        Raises SetupError for topics that are not there, for rights and credentials that are
        refused; BackendError when the broker does not answer.
        """
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            loop.call_soon_threadsafe(self._tell, line)

        client_log = ClientLog(say, self._settings)
        member = GroupMember(listener, self._tell, client_log, drain_seconds=self._drain)
        consumer = await asyncio.to_thread(self._open, client_log, member)
        member.thread.start(consumer, self._topics)
        self._member = member

    def done(self, record: Record) -> None:
        """The record must not come again; that is committed within half a second."""
        if self._member is not None:
            self._member.done(record)

    def tried(self, record: Record, attempts: int) -> None:
        """Keep the count of calls; it is committed at once."""
        if self._member is not None:
            self._member.tried(record, attempts)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Give no more records of these; it holds at once."""
        if self._member is not None:
            self._member.pause(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Give records of these again, first those that came meanwhile."""
        if self._member is not None:
            self._member.resume(partitions)

    async def lag(self) -> Mapping[Partition, int]:
        """Return how many records are not done yet. Raises BackendError, SetupError.

        Offsets without a record (of transactions, or compacted) count until they were passed.
        """
        async with self._asking:
            asked, found = self._lag
            if self._member is not None and time.monotonic() - asked > _LAG_SECONDS:
                owned = dict(self._member.owned)
                ends, begins = await asyncio.to_thread(self._bounds, [*owned])
                found = {
                    each: owned[each].watermark.behind(end, begins[each])
                    for each, end in ends.items()
                    if each in self._member.owned
                }
                self._lag = (time.monotonic(), found)
            return found

    async def stop(self) -> None:
        """Commit what is done, and leave; with an ``instance`` the group keeps the place."""
        if self._member is not None:
            await self._member.stop()

    def _open(self, client_log: ClientLog, member: GroupMember) -> Consumer:
        return open_consumer(
            self._settings,
            self._topics,
            client_log,
            self._admin,
            latest=self._latest,
            on_commit=member.thread.told,
        )

    def _bounds(
        self, partitions: Sequence[Partition]
    ) -> tuple[Mapping[Partition, int], Mapping[Partition, int]]:
        """Return where partitions end and begin. Runs in a thread of its own."""
        return self._admin.offsets(partitions, LATEST), self._admin.offsets(partitions, EARLIEST)
