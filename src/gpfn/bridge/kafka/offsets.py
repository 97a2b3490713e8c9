"""What of a consumer's partitions is written down in its group; for the thread that polls it.

Only what is ours when it is written: partitions change hands in the same thread, so nothing is
ever committed of one that somebody else has already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpfn.bridge.kafka.client import Tell, error_in, reason_of
from gpfn.bridge.kafka.partition import OwnedPartition, Position, place_of
from gpfn.bridge.record import Partition

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

__all__ = ["Committed", "Offsets"]

Committed = Callable[[Sequence[Position], "KafkaError | None"], None]
"""Is told that a commit has ended: with an error for all of it, or for none."""


class Offsets:
    """The commits of one consumer: ``owned`` are its partitions now."""

    def __init__(
        self, owned: Mapping[Partition, OwnedPartition], committed: Committed, tell: Tell
    ) -> None:
        self._owned = owned
        self._committed = committed
        self._tell = tell
        self._under_way: tuple[Sequence[Position], Sequence[Position]] = ((), ())

    def commit(self, consumer: Consumer, positions: Sequence[Position]) -> None:
        """Commit positions without waiting; ``committed`` is called once with them."""
        from confluent_kafka import KafkaException

        ours = self._ours(positions)
        if not ours:
            self._committed(positions, None)
            return
        self._under_way = (positions, ours)
        try:
            consumer.commit(offsets=[place_of(each) for each in ours], asynchronous=True)
        except KafkaException as error:
            self._under_way = ((), ())
            self._committed(positions, error_in(error))

    def told(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> bool:
        """Take the library's word on a commit; say whether one has come through."""
        sent, ours = self._under_way
        answered = {(each.topic, each.partition, each.offset) for each in places}
        if {(*each.owned.partition, each.offset) for each in ours} != answered:
            return False  # an earlier one, which was given up
        self._under_way = ((), ())
        wrong = error or next((each.error for each in places if each.error), None)
        self._committed(sent, wrong)
        return wrong is None

    def write_down(self, consumer: Consumer, positions: Sequence[Position]) -> None:
        """Commit, and wait for it. What could not be committed comes again."""
        from confluent_kafka import KafkaException

        for last in (False, False, True):
            places = [place_of(each) for each in self._ours(positions)]
            if not places:
                return
            try:
                told = consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as error:
                wrong = error_in(error)
            else:
                errors = [each.error for each in told if each.error is not None]
                if not errors:
                    return
                wrong = errors[0]
            if last or not wrong.retriable():
                self._tell(f"not committed, so some records will come again: {reason_of(wrong)}")
                return
            time.sleep(0.1)

    def _ours(self, positions: Sequence[Position]) -> list[Position]:
        return [each for each in positions if self._owned.get(each.owned.partition) is each.owned]
