"""Becoming a member of a consumer group: its settings, and what is checked before.

A group that begins at the latest record commits that place before its first member joins.
Otherwise what is written while it is away would be left out by the next start, and so would
what is written to a new partition before a member finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.bridge.kafka.admin import EARLIEST, LATEST, KafkaAdmin, TopicFacts
from gpfn.bridge.kafka.client import (
    ClientLog,
    client_settings,
    error_in,
    failure,
    made,
    setting_field,
)
from gpfn.errors import SetupError
from gpfn.settings import parse_whole

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from gpfn.bridge.record import Partition

__all__ = ["PartitionLag", "consumer_settings", "group_lag", "open_consumer"]

_POLL_INTERVAL = "max.poll.interval.ms"
_STRATEGY = "partition.assignment.strategy"
_PROTOCOL = "group.protocol"

_UNDER = {
    _POLL_INTERVAL: "300000",
    # new partitions are found within this time, and read from their beginning
    "topic.metadata.refresh.interval.ms": "30000",
    # little is fetched ahead: it is thrown away when a partition is paused
    "queued.min.messages": "2000",
    "queued.max.messages.kbytes": "16384",
    "max.partition.fetch.bytes": "524288",
    "fetch.queue.backoff.ms": "10",
    "reconnect.backoff.max.ms": "2000",
    "log.connection.close": "false",
}
_OURS = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "enable.partition.eof": "false",
    _STRATEGY: "cooperative-sticky",
}
_TAKEN = {
    "group.id": "source.group",
    "group.instance.id": "source.instance",
    "auto.offset.reset": "source.start",
}


class PartitionLag(NamedTuple):
    """How far a group is in a partition: ``committed`` is None before its first commit."""

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


def consumer_settings(
    given: Mapping[str, str], group: str, instance: str, drain_seconds: float
) -> dict[str, str]:
    """Return a member's settings. Raises SetupError with the field that is wrong."""
    if not group:
        raise SetupError("the group needs a name", field="source.group")
    settings = client_settings(given, under=_UNDER, ours=_OURS, taken=_TAKEN, side="source")
    if settings.get(_PROTOCOL) == "consumer":  # the broker assigns, always cooperatively
        del settings[_STRATEGY]
    field = setting_field("source", _POLL_INTERVAL)
    interval = parse_whole(settings[_POLL_INTERVAL], field=field, least=1) / 1000
    if interval <= drain_seconds + 10.0:
        longest = f"{drain_seconds:g} s of delivery.drain and 10 s"
        raise SetupError(f"must be more than {longest}: a drained member is away so long",
                         field=field)  # fmt: skip
    settings["group.id"] = group
    settings["auto.offset.reset"] = "earliest"
    if instance:
        settings["group.instance.id"] = instance
    return settings


def open_consumer(
    settings: Mapping[str, str],
    topics: Sequence[str],
    log: ClientLog,
    admin: KafkaAdmin,
    *,
    latest: bool,
    **callbacks: Any,
) -> Consumer:
    """Return a consumer that may subscribe to the topics. It blocks for some seconds.

    Raises SetupError for topics, rights, credentials; BackendError for a broker that is away.
    """
    admin.connect()
    facts = admin.topics(topics, "source.topics")
    unreadable = [each.name for each in facts if not each.may_read]
    if unreadable:
        told = f"may not be read by this user: {', '.join(unreadable)}"
        raise SetupError(told, field="source.topics")
    from confluent_kafka import Consumer, KafkaException

    group = settings["group.id"]
    done = admin.committed(group, _partitions(facts), "source.group")
    new = [each for each in facts if not any(topic == each.name for topic, _ in done)]
    if not latest or not new:
        return made(Consumer, settings, log, side="source", **callbacks)
    ends = admin.offsets(_partitions(new), LATEST)
    consumer = made(Consumer, settings, log, side="source", **callbacks)
    try:
        if _committed(consumer, ends):
            return consumer
    except KafkaException as error:
        consumer.close()
        raise failure(
            error_in(error), f"group {group} cannot begin", field="source.group"
        ) from None
    consumer.close()  # others of the group are at work, who do not know these topics yet
    return made(
        Consumer, {**settings, "auto.offset.reset": "latest"}, log, side="source", **callbacks
    )


def group_lag(admin: KafkaAdmin, group: str, topics: Sequence[str]) -> list[PartitionLag]:
    """Return how far a group is in each partition of topics.

    Without a commit all that is there counts. Raises SetupError, BackendError.
    """
    places = _partitions(admin.topics(topics))
    ends, begins = admin.offsets(places, LATEST), admin.offsets(places, EARLIEST)
    done = admin.committed(group, places)
    left = {place: ends[place] - max(done.get(place, 0), begins[place]) for place in places}
    return [
        PartitionLag(*place, done.get(place), ends[place], max(0, left[place])) for place in places
    ]


def _partitions(facts: Sequence[TopicFacts]) -> list[Partition]:
    return [(each.name, number) for each in facts for number in range(each.partitions)]


def _committed(consumer: Consumer, offsets: Mapping[Partition, int]) -> bool:
    """Commit for a group without members; say whether it had none."""
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    places = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
    others = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION)
    try:
        told = consumer.commit(offsets=places, asynchronous=False)
    except KafkaException as error:
        if error_in(error).code() in others:
            return False
        raise
    return not any(each.error for each in told)
