"""A Kafka partition while it is ours: its watermark, and what came while it was paused.

Pausing a partition in the client library throws away what was fetched ahead, thousands of
records, which have to be fetched once more. So a pause is first a matter of this side: what
comes is put aside here, and only when that is much is the library told to pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.bridge.kafka.messages import record_of
from gpfn.bridge.record import Partition, Record
from gpfn.bridge.watermark import Beyond, Watermark, parse_beyond

if TYPE_CHECKING:
    from confluent_kafka import Message, TopicPartition

    from gpfn.bridge.kafka.client import Tell

__all__ = ["OwnedPartition", "Position", "owned_at", "place_of"]

_HOLD_RECORDS = 4000
_HOLD_BYTES = 4 << 20


class Position(NamedTuple):
    """What is committed of a partition: the offset, and the text beside it."""

    owned: OwnedPartition
    offset: int
    text: str


class OwnedPartition:
    """One assignment of a partition to us; when it comes back later, that is another one.

    ``held`` is whether the library is to give nothing of it.
    """

    __slots__ = ("_aside", "_aside_bytes", "_sent", "held", "partition", "paused", "watermark")

    def __init__(
        self, partition: Partition, committed: int | None = None, beyond: Beyond | None = None
    ) -> None:
        self.partition = partition
        self.watermark = Watermark(committed, beyond)
        self.paused = False
        self.held = False
        self._aside: deque[Record] = deque()
        self._aside_bytes = 0
        self._sent: tuple[int, str] = (-1 if committed is None else committed, "")
        if beyond is not None and any(beyond):
            self._sent = (-1, "")  # written anew once: it may have become shorter

    def take(self, message: Message) -> Record | None:
        """Count a message that came; return its record if that may be worked on now.

        Raises ValueError for one from before what is done: the partition began anew.
        """
        offset: Any = message.offset()
        mark = self.watermark
        if not mark.begin(offset):
            return None
        record = record_of(message, mark.attempts(offset))
        if not self.paused and not self._aside:
            return record
        self._aside.append(record)
        self._aside_bytes += record.size
        return None

    def put_aside(self, count: int) -> Sequence[Record]:
        """Return the next of those that came while it was paused, at most ``count``."""
        aside = self._aside
        given = [aside.popleft() for _ in range(min(count, len(aside)))]
        self._aside_bytes -= sum([record.size for record in given])
        return given

    @property
    def waiting(self) -> int:
        """How many records came while it was paused and were not given yet."""
        return len(self._aside)

    def turn(self) -> bool:
        """Decide whether the library is to be paused for it; say whether that has changed."""
        aside, size = len(self._aside), self._aside_bytes
        if self.held:
            changed = aside <= _HOLD_RECORDS // 4 and size <= _HOLD_BYTES // 4
        else:
            changed = aside >= _HOLD_RECORDS or size >= _HOLD_BYTES
        self.held ^= changed
        return changed

    def begin_anew(self) -> None:
        """Forget everything: the partition's log begins again, for it was made again."""
        self.watermark = Watermark()
        self._aside.clear()
        self._aside_bytes = 0
        self._sent = (-1, "")

    def position(self, limit: int) -> Position | None:
        """Return what is to be committed; None when that was committed before."""
        offset = self.watermark.committable()
        if offset is None:
            return None
        text = self.watermark.text(limit)
        return None if self._sent == (offset, text) else Position(self, offset, text)

    def committed(self, position: Position) -> None:
        """Remember that the broker has a position."""
        self._sent = (position.offset, position.text)


def owned_at(place: TopicPartition, tell: Tell) -> OwnedPartition:
    """Return a partition that is ours from now on, with what is committed of it."""
    partition = (place.topic, place.partition)
    if place.offset < 0:
        return OwnedPartition(partition)
    beyond = Beyond()
    try:
        beyond = parse_beyond(place.offset, place.metadata or "")
    except ValueError as error:
        tell(f"{place.topic}/{place.partition}: the text beside the offset is left out: {error}")
    return OwnedPartition(partition, place.offset, beyond)


def place_of(position: Position) -> TopicPartition:
    """Return a position as it is committed."""
    from confluent_kafka import TopicPartition

    place = (*position.owned.partition, position.offset)
    return TopicPartition(*place, position.text) if position.text else TopicPartition(*place)
