"""A member of a consumer group at work, in the event loop: from its thread to the listener.

Records go on to the listener as they come, but for those of partitions that are paused, which
wait here. What is done, what was tried and what partitions come and go ends up in `Commits`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.bridge.kafka.commits import Commits
from gpfn.bridge.kafka.consumer import ConsumerThread
from gpfn.bridge.kafka.partition import OwnedPartition, Position

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from gpfn.bridge.kafka.client import ClientLog, Tell
    from gpfn.bridge.record import Partition, Record
    from gpfn.bridge.seam import Listener
    from gpfn.errors import GpfnError

__all__ = ["GroupMember"]

_GIVEN_AT_ONCE = 100
_STOP_SECONDS, _AWAY_SECONDS = 10.0, 2.0


class GroupMember:
    """What a source is between its start and its end. Everything runs in the loop's thread."""

    def __init__(
        self, listener: Listener, tell: Tell, client_log: ClientLog, *, drain_seconds: float
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._listener = listener
        self._tell = tell
        self._drain = drain_seconds
        self._owned: dict[Partition, OwnedPartition] = {}
        self._stopped = False
        self._client_log = client_log
        self.thread = ConsumerThread(loop, self, client_log, drain_seconds=drain_seconds)
        self._commits = Commits(loop, self.thread, tell)

    @property
    def owned(self) -> dict[Partition, OwnedPartition]:
        """The partitions that are ours."""
        return self._owned

    def done(self, record: Record) -> None:
        """A record must not come again."""
        owned = self._owned.get((record.topic, record.partition))
        if owned is not None and owned.watermark.finish(record.offset):
            self._commits.changed(owned)

    def tried(self, record: Record, attempts: int) -> None:
        """Keep the count of calls."""
        owned = self._owned.get((record.topic, record.partition))
        if owned is not None and owned.watermark.tried(record.offset, attempts):
            self._commits.changed(owned, at_once=True)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Give no more records of these; it holds at once."""
        for owned in self._ours(partitions):
            owned.paused = True

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Give records of these again, first those that came meanwhile."""
        for owned in self._ours(partitions):
            owned.paused = False
            self.thread.resumed()
            if owned.waiting or owned.held:
                self._loop.call_soon(self._give_aside, owned)

    async def stop(self) -> None:
        """Commit what is done, and leave."""
        if self._stopped:
            return
        self._stopped = True
        self.thread.end(self._commits.close())
        try:
            async with asyncio.timeout(_AWAY_SECONDS if self._client_log.down else _STOP_SECONDS):
                await asyncio.shield(self.thread.ended)
        except TimeoutError:
            self._tell("the broker does not answer: left without it, some records come again")

    # What the thread tells.

    def gained(self, owned: Sequence[OwnedPartition]) -> None:
        """These partitions are ours now."""
        if not self._stopped:
            self._owned.update({each.partition: each for each in owned})
            self._listener.assigned([each.partition for each in owned])

    async def leaving(self, partitions: Sequence[Partition]) -> Sequence[Position]:
        """Drain partitions, let go of them, and return what is to be committed."""
        if not self._stopped:
            try:
                async with asyncio.timeout(self._drain):
                    await self._listener.revoked(partitions)
            except TimeoutError:
                self._tell(f"{len(partitions)} partitions went before their records were done")
        return self._commits.last(self._let_go(partitions))

    def gone(self, partitions: Sequence[Partition]) -> None:
        """Somebody else has these partitions already."""
        self._commits.forget(self._let_go(partitions))
        if not self._stopped:
            self._tell(f"{len(partitions)} partitions were given away: this member was gone")
            self._listener.lost(partitions)

    def came(self, messages: Sequence[Message]) -> None:
        """Give records on, but for those of partitions that are paused."""
        for at in range(0, len(messages), _GIVEN_AT_ONCE):
            given = self._taken(messages[at : at + _GIVEN_AT_ONCE])
            if given and not self._stopped:
                self._listener.received(given)

    def committed(self, positions: Sequence[Position], error: KafkaError | None) -> None:
        """A commit has ended."""
        self._commits.ended(positions, error)

    def broke(self, error: GpfnError) -> None:
        """The thread cannot go on."""
        if not self._stopped:
            self._listener.failed(error)

    def say(self, line: str) -> None:
        """Pass a line on to the log."""
        self._tell(line)

    def _taken(self, messages: Sequence[Message]) -> list[Record]:
        given: list[Record] = []
        owned, topic, partition = None, None, None
        for message in messages:
            if message.partition() != partition or message.topic() != topic:
                topic, partition = message.topic(), message.partition()
                owned = self._owned.get((topic, partition))  # type: ignore[arg-type]
            if owned is None:
                continue
            try:
                record = owned.take(message)
            except ValueError as error:
                self._begin_anew(owned, str(error))
                record = owned.take(message)
            if record is not None:
                given.append(record)
            elif owned.waiting:
                self._turn(owned)
            else:
                self._commits.changed(owned)  # it was done before, and the watermark may move
        return given

    def _give_aside(self, owned: OwnedPartition) -> None:
        """Give what came during a pause, a part in each turn of the loop."""
        if self._stopped or self._owned.get(owned.partition) is not owned or owned.paused:
            return
        given = owned.put_aside(_GIVEN_AT_ONCE)
        self._turn(owned)
        if owned.waiting:
            self._loop.call_soon(self._give_aside, owned)
        if given:
            self._listener.received(given)

    def _turn(self, owned: OwnedPartition) -> None:
        """Have the library paused for a partition of which much waits here, or resumed."""
        if owned.turn():
            self.thread.hold(owned, owned.held)

    def _begin_anew(self, owned: OwnedPartition, why: str) -> None:
        topic, number = owned.partition
        self._tell(f"{topic}/{number} begins anew: {why}")
        if not self._stopped:
            self._listener.lost([owned.partition])
            self._listener.assigned([owned.partition])
        owned.begin_anew()

    def _ours(self, partitions: Sequence[Partition]) -> list[OwnedPartition]:
        return [self._owned[each] for each in partitions if each in self._owned]

    def _let_go(self, partitions: Sequence[Partition]) -> list[OwnedPartition]:
        return [self._owned.pop(each) for each in partitions if each in self._owned]
