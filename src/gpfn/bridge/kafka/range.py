"""Records of a topic from one place to another, without a group: for a look, and to replay.

Nothing is committed and nobody's group is touched. A range is told by offsets or by times, and
becomes offsets before anything is read, so that it is known how much there is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.bridge.kafka.admin import EARLIEST, LATEST, KafkaAdmin
from gpfn.bridge.kafka.client import ClientLog, Tell, client_settings, failure, made, need_kafka
from gpfn.bridge.kafka.messages import record_of
from gpfn.errors import BackendTimeout, SetupError

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from gpfn.bridge.record import Partition, Record

__all__ = ["TopicRange", "range_of", "read_range"]

_BATCH = 500
_POLL_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0
_OURS = {"enable.auto.commit": "false", "enable.auto.offset.store": "false"}
_TAKEN = {
    "group.id": "nobody: no group is joined",
    "group.instance.id": "nobody: no group is joined",
    "auto.offset.reset": "the range",
}
_UNDER = {"log.connection.close": "false", "reconnect.backoff.max.ms": "2000"}


class TopicRange(NamedTuple):
    """For each partition the first offset and that after the last; None where it never ends."""

    topic: str
    bounds: Mapping[int, tuple[int, int | None]]

    @property
    def most(self) -> int | None:
        """How many records it has at most, for some offsets may have none; None without an end."""
        ends = [None if after is None else after - first for first, after in self.bounds.values()]
        return None if None in ends else sum(filter(None, ends))


def range_of(
    admin: KafkaAdmin,
    topic: str,
    *,
    since: int = EARLIEST,
    until: int | None = LATEST,
    offsets: Mapping[int, tuple[int, int | None]] | None = None,
) -> TopicRange:
    """Return a range by times in ms since 1970, EARLIEST or LATEST, or by ``offsets``.

    Without an ``until`` it goes on with what is written from now on. Offsets are (first, after
    the last) by partition, and are cut to what is there. Raises SetupError, BackendError.
    """
    facts = admin.topics([topic])[0]
    places: list[Partition] = [(topic, number) for number in range(facts.partitions)]
    unknown = [number for number in offsets or {} if number not in range(facts.partitions)]
    if unknown:
        told = f"{topic} has partitions 0 to {facts.partitions - 1}, not {unknown[0]}"
        raise SetupError(told, field="offsets")
    begins, ends = admin.offsets(places, EARLIEST), admin.offsets(places, LATEST)
    if offsets is not None:
        places = [(topic, number) for number in offsets]
        firsts = {place: offsets[place[1]][0] for place in places}
        afters = {place: offsets[place[1]][1] for place in places}
    else:
        firsts = {**admin.offsets(places, since)}
        stops = {} if until is None else admin.offsets(places, until)
        afters = {place: stops.get(place) for place in places}
    bounds = {}
    for place in places:
        first = min(max(firsts[place], begins[place]), ends[place])
        after = afters[place]
        bounds[place[1]] = (first, None if after is None else max(first, min(after, ends[place])))
    return TopicRange(topic, bounds)


def read_range(
    settings: Mapping[str, str], wanted: TopicRange, *, log: Tell
) -> Iterator[list[Record]]:
    """Read a range; gives an empty list now and then while nothing comes.

    Records of a partition are in order. Raises SetupError, BackendError; BackendTimeout when a
    range with an end does not come to it.
    """
    need_kafka()
    import confluent_kafka

    made_of = client_settings(settings, under=_UNDER, ours=_OURS, taken=_TAKEN)
    more = {
        "group.id": "gpfn-range",
        "enable.partition.eof": "true",
        "auto.offset.reset": "earliest",
    }
    client_log = ClientLog(log, made_of)
    consumer = made(confluent_kafka.Consumer, {**made_of, **more}, client_log)
    left = {number: after for number, (first, after) in wanted.bounds.items() if after != first}
    try:
        consumer.assign(
            [
                confluent_kafka.TopicPartition(wanted.topic, number, wanted.bounds[number][0])
                for number in left
            ]
        )
        came = time.monotonic()
        while left:
            messages = _polled(consumer)
            records = [*_inside(messages, left, client_log)]
            if messages:
                came = time.monotonic()
            elif None not in left.values() and time.monotonic() - came > _PATIENCE_SECONDS:
                raise BackendTimeout(f"nothing came of {wanted.topic} in {_PATIENCE_SECONDS:g} s")
            yield records
    finally:
        consumer.close()


def _polled(consumer: Consumer) -> list[Any]:
    """Return what has come, as soon as something has."""
    first = consumer.poll(_POLL_SECONDS)
    return [] if first is None else [first, *consumer.consume(_BATCH - 1, 0.0)]


def _inside(
    messages: list[Any], left: dict[int, int | None], client_log: ClientLog
) -> Iterator[Record]:
    """Yield the records of the range, and take out of ``left`` the partitions that are over."""
    for message in messages:
        error, number = message.error(), message.partition()
        after = left.get(number, 0)
        if error is None:
            client_log.back()
            if number in left and (after is None or message.offset() < after):
                yield record_of(message)
            if after is not None and message.offset() >= after - 1:
                left.pop(number, None)
        elif error.code() == error._PARTITION_EOF:
            if after is not None and message.offset() >= after:
                left.pop(number, None)
        elif error.fatal() or error.code() == error.TOPIC_AUTHORIZATION_FAILED:
            raise failure(error, message.topic() or "kafka")
        else:
            client_log.error(error)
