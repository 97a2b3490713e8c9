"""What is asked of Kafka besides records: topics, rights, offsets, a group's lag.

Everything here blocks, for a bounded time, and is called in a thread of its own where an
event loop runs. The first question finds out whether the broker can be reached at all, and
says in one line why not: the library itself would try for ever.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.bridge.kafka.client import (
    ClientLog,
    Tell,
    client_settings,
    error_in,
    failure,
    made,
    need_kafka,
    setting_field,
)
from gpfn.bridge.record import Partition
from gpfn.errors import BackendTimeout, CannotConnect, GpfnError, SetupError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

__all__ = ["EARLIEST", "LATEST", "KafkaAdmin", "TopicFacts", "check_topic"]

EARLIEST, LATEST = -2, -1
"""Where a partition begins and ends, as `KafkaAdmin.offsets` takes them beside times."""

_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_AGAIN_SECONDS = 0.1
_GROUP_SECONDS = 1.0
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_RECONNECT = {"reconnect.backoff.max.ms": "1000", "log.connection.close": "false"}


class TopicFacts(NamedTuple):
    """A topic, how many partitions it has, and what may be done with it."""

    name: str
    partitions: int
    may_read: bool = True
    may_write: bool = True


def check_topic(name: str, field: str) -> str:
    """Return the name of a topic if it can be one; raises SetupError."""
    if not _TOPIC.fullmatch(name):
        allowed = "letters, digits, dots, dashes and underscores, at most 249"
        raise SetupError(f"{name[:40]!r} is no name of a topic: {allowed}", field=field)
    return name


class KafkaAdmin:
    """Questions to a cluster. ``side`` is the table of a bridge's file that names it."""

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        side: str = "",
        seconds: float = 0.0,
        tell: Tell | None = None,
    ) -> None:
        """Give up after ``seconds``, 10 unless given.

        Raises SetupError for a wrong setting, MissingExtra without the library.
        """
        need_kafka()
        from confluent_kafka.admin import AdminClient

        self._settings = client_settings(settings, under=_RECONNECT, side=side)
        self._servers = self._settings["bootstrap.servers"]
        self._field = setting_field(side, "bootstrap.servers")
        self._seconds = seconds or _SECONDS
        self._log = ClientLog(tell, self._settings)
        self._client = made(AdminClient, self._settings, self._log, side=side)

    def connect(self) -> None:
        """Wait until the cluster answers.

        Raises SetupError when it refuses credentials or TLS, CannotConnect or BackendTimeout
        when it has not answered in time.
        """
        end = time.monotonic() + self._seconds
        asked = self._client.describe_cluster(request_timeout=self._seconds)
        while not asked.done() and self._log.refused is None and time.monotonic() < end:
            self._client.poll(_LOOK_SECONDS)
        self._client.poll(0)
        if asked.done() and asked.exception() is None:
            return
        where = f"{self._servers} cannot be used"
        if self._log.refused is not None:
            raise failure(self._log.refused, where, field=self._field)
        if self._log.reason:
            raise CannotConnect(f"{where}: {self._log.reason}", field=self._field)
        raise BackendTimeout(f"{where}: no answer in {self._seconds:g} s", field=self._field)

    def topics(self, names: Iterable[str], field: str = "") -> list[TopicFacts]:
        """Return the facts of topics by name. ``field`` is told with what is wrong with one.

        Without it the topic's name is the field. Raises SetupError for one that does not
        exist, or that we may not know of.
        """
        wanted = [check_topic(name, field or name) for name in dict.fromkeys(names)]
        return [
            _facts(self._answer(partial(self._describe, name), f"topic {name}", field or name))
            for name in wanted
        ]

    def _describe(self, name: str, seconds: float) -> Any:
        from confluent_kafka import TopicCollection

        asked = self._client.describe_topics(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=seconds
        )
        return asked[name].result(seconds + 1.0)

    def all_topics(self) -> list[TopicFacts]:
        """Return every topic that we may see, but for Kafka's own, by name."""
        found = self._answer(lambda seconds: self._client.list_topics(timeout=seconds))
        return sorted(
            TopicFacts(name, len(topic.partitions))
            for name, topic in found.topics.items()
            if not name.startswith("__") and topic.error is None
        )

    def limits(self, names: Iterable[str]) -> dict[str, int]:
        """Return the most bytes that a batch may have, for the topics that tell us."""
        kind = _library().ConfigResource
        found = {}
        for name in {*names}:
            resource = kind(kind.Type.TOPIC, name)
            asked = self._client.describe_configs([resource], request_timeout=self._seconds)
            try:
                told = self._answer(asked[resource].result)
            except GpfnError as error:  # who may write need not be allowed to know it
                self._log.reason = error.detail
                continue
            found[name] = int(told["max.message.bytes"].value)
        return found

    def create(
        self, name: str, partitions: int = -1, settings: Mapping[str, str] | None = None
    ) -> bool:
        """Make a topic, with the broker's number of partitions unless given.

        Returns whether it was not there. Raises SetupError, BackendError.
        """
        from confluent_kafka import KafkaError

        new = _library().NewTopic(
            check_topic(name, "topic"), partitions, config=dict(settings or {})
        )
        seconds = {"request_timeout": self._seconds, "operation_timeout": self._seconds}
        asked = self._client.create_topics([new], **seconds)[name]
        try:
            self._answer(asked.result, f"topic {name}", "topic")
        except GpfnError:
            error = asked.exception() if asked.done() else None
            if error and error_in(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise
        self._wait_for(name)
        return True

    def _wait_for(self, name: str) -> None:
        """Wait until a topic that was made is known to the broker that we ask."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            try:
                self.topics([name])
            except SetupError:
                time.sleep(_LOOK_SECONDS)
            else:
                return

    def offsets(self, partitions: Iterable[Partition], at: int) -> dict[Partition, int]:
        """Return an offset of each partition: EARLIEST, LATEST, or the first from a time on.

        The time is in milliseconds since 1970; where no record is so young, it is the end.
        """
        kinds = _library().OffsetSpec
        special = {EARLIEST: kinds.earliest, LATEST: kinds.latest}
        spec = special[at]() if at in special else kinds.for_timestamp(at)
        asked = {_position(each): spec for each in partitions}
        if not asked:
            return {}

        def ask(seconds: float) -> dict[Partition, int]:
            answers = self._client.list_offsets(asked, request_timeout=seconds)
            return {
                (place.topic, place.partition): answer.result(seconds + 1.0).offset
                for place, answer in answers.items()
            }

        found: dict[Partition, int] = self._answer(ask, "offsets")
        young = [place for place, offset in found.items() if offset < 0]
        return {**found, **(self.offsets(young, LATEST) if young else {})}

    def committed(
        self, group: str, partitions: Iterable[Partition], field: str = "group"
    ) -> dict[Partition, int]:
        """Return the offsets that a group has committed, for partitions where it has.

        Raises SetupError when we may not know, BackendError.
        """
        from confluent_kafka import Consumer

        # The library's own question for this crashes the process over some answers.
        consumer = made(Consumer, {**self._settings, "group.id": group}, self._log)
        wanted = [_position(each) for each in partitions]
        try:
            told = self._answer(lambda _: _committed(consumer, wanted), f"group {group}", field)
        finally:
            consumer.close()
        return {(place.topic, place.partition): place.offset for place in told if place.offset >= 0}

    def _answer(self, ask: Callable[[float], Any], what: str = "", field: str = "") -> Any:
        """Ask, again while the cluster is not ready for it, and return the answer."""
        from confluent_kafka import KafkaError, KafkaException

        what, end = what or self._servers, time.monotonic() + self._seconds
        self._client.poll(0)  # what it told while nobody asked would pile up
        while True:
            try:
                return ask(self._seconds)
            except KafkaException as error:
                told = error_in(error)
            except TimeoutError:
                raise BackendTimeout(f"{what}: no answer from {self._servers}") from None
            if told.code() not in _not_ready() or time.monotonic() > end:
                break
            time.sleep(_AGAIN_SECONDS)
        if told.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            where = f"{what} does not exist at {self._servers}"
            raise SetupError(where, field=field or None)
        raise failure(told, what, field=field or None)


def _committed(consumer: Consumer, wanted: list[TopicPartition]) -> list[TopicPartition]:
    """Ask what is committed. That we may not know is told to who polls, and to nobody else."""
    from confluent_kafka import KafkaException

    try:
        return consumer.committed(wanted, timeout=_GROUP_SECONDS)
    except KafkaException:
        message = consumer.poll(0)
        error = None if message is None else message.error()
        if error is not None:
            raise KafkaException(error) from None
        raise


def _not_ready() -> Collection[int]:
    from confluent_kafka import KafkaError as Codes

    return (
        Codes._TIMED_OUT, Codes._WAIT_COORD,
        Codes.COORDINATOR_LOAD_IN_PROGRESS, Codes.COORDINATOR_NOT_AVAILABLE,
        Codes.NOT_COORDINATOR, Codes.LEADER_NOT_AVAILABLE, Codes.NOT_LEADER_FOR_PARTITION,
        Codes.UNKNOWN_LEADER_EPOCH, Codes.FENCED_LEADER_EPOCH, Codes.OFFSET_NOT_AVAILABLE,
    )  # fmt: skip


def _facts(described: Any) -> TopicFacts:
    names = {str(each.name) for each in described.authorized_operations or ()}
    told = bool(names)  # an old broker does not tell
    return TopicFacts(
        described.name,
        len(described.partitions),
        not told or bool(names & {"READ", "ALL"}),
        not told or bool(names & {"WRITE", "ALL"}),
    )


def _library() -> Any:
    """Return the library's module of questions, whose annotations leave out what it exports."""
    import confluent_kafka.admin

    return confluent_kafka.admin


def _position(partition: Partition) -> TopicPartition:
    from confluent_kafka import TopicPartition

    return TopicPartition(*partition)
