"""Dead letters in Kafka, which deletes no single record: what was dropped is marked beside them.

The marks are what a group of its own has committed, ``readings.dead.handled`` for the topic
``readings.dead``: an offset, and in the text beside it what is done beyond that, as a bridge
writes it for its own group (`gpfn.bridge.watermark`). Nobody joins the group.

So the marks have the bounds of a commit. About 1,500 runs of dropped letters fit into the text;
what does not is refused, and fits when older letters are dropped. Two who drop at the same
moment may undo each other's marks, and a broker forgets a group that nobody joins some time
after its last commit (``offsets.retention.minutes``, 7 days). In each case a letter is listed
once more; none is ever gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.bridge.kafka.admin import LATEST, KafkaAdmin
from gpfn.bridge.kafka.client import ClientLog, client_settings, error_in, failure, made
from gpfn.bridge.kafka.range import range_of, read_range
from gpfn.bridge.opening import kafka_settings
from gpfn.bridge.watermark import Beyond, Watermark, parse_beyond
from gpfn.errors import BackendError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from gpfn.bridge.record import Record
    from gpfn.bridge.spec import Place

__all__ = ["KafkaDeadTopic", "handled_group"]

_SECONDS = 10.0
_AGAIN_SECONDS = 0.1
_BEYOND = 1 << 62
"""An offset that no record has."""
_OURS = {"enable.auto.commit": "false", "enable.auto.offset.store": "false"}
_TAKEN = {
    "group.id": "the name of the topic",
    "group.instance.id": "nobody: no group is joined",
}
_UNDER = {"log.connection.close": "false", "reconnect.backoff.max.ms": "2000"}


def handled_group(topic: str) -> str:
    """Return the group whose commits say which letters of a topic were dropped."""
    return f"{topic}.handled"


class KafkaDeadTopic:
    """Dead letters in Kafka; see :class:`gpfn.bridge.operating.dead_topic.DeadTopic`."""

    def __init__(self, place: Place, topic: str, log: Callable[[str], None]) -> None:
        self._settings = kafka_settings(place)
        self._topic = topic
        self._log = log
        self._marks: dict[int, Watermark] = {}

    def letters(self) -> Iterator[Record]:
        """Yield the letters that are not marked."""
        admin = KafkaAdmin(self._settings, tell=self._log)
        admin.connect()
        partitions = range(admin.topics([self._topic])[0].partitions)
        ends = admin.offsets([(self._topic, number) for number in partitions], LATEST)
        found = self._committed(partitions)
        offsets: dict[int, tuple[int, int | None]] = {}
        self._marks = {}
        for (_, number), end in ends.items():
            offset, beyond = found.get(number, (None, Beyond()))
            if offset is not None and offset > end:
                offset, beyond = None, Beyond()  # the topic was made again since
            self._marks[number] = Watermark(offset, beyond)
            offsets[number] = (offset or 0, _BEYOND)
        wanted = range_of(admin, self._topic, offsets=offsets)
        for records in read_range(self._settings, wanted, log=self._log):
            for record in records:
                if self._marks[record.partition].begin(record.offset):
                    yield record

    def drop(self, letters: Sequence[Record]) -> None:
        """Mark letters, and have the broker keep that."""
        for letter in letters:
            self._marks[letter.partition].finish(letter.offset)
        changed = {letter.partition for letter in letters}
        positions = {number: self._position(number) for number in changed}
        self._commit(positions)
        lost = _left_out(letters, positions)
        if lost:
            told = (
                f"{len(lost)} letters from {lost[0].partition}:{lost[0].offset} on stay listed: "
                "so many do not fit beside the offset; drop older ones first"
            )
            raise BackendError(told, field=self._topic)

    def _position(self, number: int) -> tuple[int, str]:
        mark = self._marks[number]
        return mark.committable() or 0, mark.text()

    def _committed(self, partitions: Sequence[int]) -> dict[int, tuple[int, Beyond]]:
        """Return what was marked before, by partition."""
        asked = [_place(self._topic, number) for number in partitions]
        told = self._with_consumer(lambda consumer: consumer.committed(asked, _SECONDS))
        found = {}
        for place in told:
            if place.error is not None:
                raise failure(place.error, handled_group(self._topic), field=self._topic)
            if place.offset >= 0:
                found[place.partition] = (place.offset, self._beyond(place))
        return found

    def _beyond(self, place: TopicPartition) -> Beyond:
        try:
            return parse_beyond(place.offset, place.metadata or "")
        except ValueError as error:
            where = f"{place.topic}/{place.partition}"
            self._log(f"{where}: what was dropped last is listed again: {error}")
            return Beyond()

    def _commit(self, positions: Mapping[int, tuple[int, str]]) -> None:
        places = [_place(self._topic, number, *at) for number, at in positions.items()]
        told = self._with_consumer(
            lambda consumer: consumer.commit(offsets=places, asynchronous=False)
        )
        for place in told:
            if place.error is not None:
                raise failure(place.error, handled_group(self._topic), field=self._topic)

    def _with_consumer(self, do: Callable[[Consumer], Any]) -> Any:
        """Return what is done with a client that has the group's name and does not join it."""
        from confluent_kafka import Consumer, KafkaException

        settings = client_settings(self._settings, under=_UNDER, ours=_OURS, taken=_TAKEN)
        settings["group.id"] = handled_group(self._topic)
        consumer = made(Consumer, settings, ClientLog(self._log, settings))
        until = time.monotonic() + _SECONDS
        try:
            while True:
                try:
                    return do(consumer)
                except KafkaException as error:
                    told = error_in(error)
                if not _passes(told) or time.monotonic() > until:
                    raise failure(told, handled_group(self._topic), field=self._topic)
                time.sleep(_AGAIN_SECONDS)
        finally:
            consumer.close()


def _passes(error: KafkaError) -> bool:
    """Say whether the broker is only not ready for a group, as after its start."""
    from confluent_kafka import KafkaError as Codes

    return error.code() in (
        Codes.COORDINATOR_LOAD_IN_PROGRESS,
        Codes.COORDINATOR_NOT_AVAILABLE,
        Codes.NOT_COORDINATOR,
    )


def _left_out(letters: Sequence[Record], positions: Mapping[int, tuple[int, str]]) -> list[Record]:
    """Return the letters that what was committed does not mark."""
    runs = {number: parse_beyond(*at).runs for number, at in positions.items()}
    lost = []
    for letter in letters:
        number, at = letter.partition, letter.offset
        if at >= positions[number][0] and not any(low <= at < end for low, end in runs[number]):
            lost.append(letter)
    return lost


def _place(topic: str, number: int, offset: int | None = None, text: str = "") -> TopicPartition:
    from confluent_kafka import TopicPartition

    if offset is None:
        return TopicPartition(topic, number)
    return TopicPartition(topic, number, offset, text)
