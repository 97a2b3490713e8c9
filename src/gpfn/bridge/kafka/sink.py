"""Records into Kafka: confirmed one by one, kept while a broker is away, never dropped.

The producer is idempotent, so that what the library sends again is written once, and in its
order. Keys go to the partitions that Java's producers choose, for topics that are joined by key.

The library reports deliveries to whoever polls it. That is the event loop, every millisecond
while something is under way: a thread would have to take the interpreter away from the loop for
each report, and to wake it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gpfn.bridge.kafka.admin import KafkaAdmin, check_topic
from gpfn.bridge.kafka.client import (
    ClientLog,
    Tell,
    client_settings,
    delivery_error,
    error_in,
    made,
    need_kafka,
)
from gpfn.bridge.record import Outgoing
from gpfn.errors import BackendError, CallerError, GpfnError, SetupError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from gpfn.bridge.seam import Delivered

__all__ = ["KafkaSink"]

_SOON, _LATEST, _IDLE = 0.001, 0.02, 0.5
_BUSY = 16
"""Records under way from which on single ones wait for the next poll: larger batches cost less."""
_PURGE_SECONDS = 1.0
_MOST_NAMES = 10_000
_BATCH_BYTES = 1_000_000
_MOST_BYTES = 1_000_000_000
_LIMIT, _BATCH = "message.max.bytes", "batch.size"

_UNDER = {
    "linger.ms": "0.5",  # a third less processor time per record than 0, at a busy bridge
    "partitioner": "murmur2_random",
    "message.timeout.ms": "3600000",  # an outage of the broker is waited for so long
    "queue.buffering.max.kbytes": "65536",
    "reconnect.backoff.max.ms": "2000",
    "log.connection.close": "false",
}
_OURS = {"enable.idempotence": "true", "acks": "all"}
_TAKEN = {"transactional.id": "nobody: there are no transactions here"}


class KafkaSink:
    """A producer; see :class:`gpfn.bridge.seam.Sink`.

    ``settings`` are librdkafka's, ``bootstrap.servers`` among them; ``log`` gets lines.
    """

    def __init__(self, settings: Mapping[str, str], *, log: Tell) -> None:
        """Raises SetupError for a wrong setting, MissingExtra without confluent-kafka."""
        need_kafka()
        self._given = settings
        self._settings = client_settings(
            settings, under=_UNDER, ours=_OURS, taken=_TAKEN, side="sink"
        )
        self._log = ClientLog(log, self._settings)
        self._names: set[str] = set()
        self._producer: Any = None
        self._failed: list[Any] = []
        """Producers that ended for good, and have not told of all that they were given."""
        self._waiting: deque[tuple[Outgoing, Delivered]] = deque()
        self._under_way = 0
        self._wait = _SOON
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    async def start(self, topics: Sequence[str]) -> None:
        """Begin, and check that the topics are there and may be written to.

        Raises SetupError with the topic as its field, CannotConnect, BackendTimeout.
        """
        for topic in topics:
            check_topic(topic, topic)
        limits = await asyncio.to_thread(self._check, topics)
        if limits:
            # a batch over a topic's limit is refused whole, and a record over it alone must be
            under = min(_BATCH_BYTES, *limits)
            self._settings.setdefault(_BATCH, str(under))
            self._settings.setdefault(_LIMIT, str(min(max(_BATCH_BYTES, *limits), _MOST_BYTES)))
        self._loop = asyncio.get_running_loop()
        self._producer = self._made()
        self._poll_in(_IDLE)

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        """Send a record, behind those that wait for room."""
        busy = self._under_way >= _BUSY  # then the next poll sends what came meanwhile together
        if busy or self._waiting or not self._produced(outgoing, delivered):
            self._waiting.append((outgoing, delivered))
        if self._wait != _SOON or self._timer is None:
            self._poll_in(_SOON)

    async def stop(self, seconds: float) -> None:
        """Wait until all is delivered; what is not after ``seconds`` is told so."""
        if self._producer is None:
            return
        until = self._loop.time() + seconds
        while (self._under_way or self._waiting) and self._loop.time() < until:
            self._poll()
            await asyncio.sleep(_SOON)
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._producer.purge()
        self._producer.flush(_PURGE_SECONDS)
        error = BackendError("not delivered before the end")
        while self._waiting:
            self._tell(self._waiting.popleft()[1], error)
        await asyncio.to_thread(self._let_go)

    def _check(self, topics: Sequence[str]) -> list[int]:
        """Return the limits of the topics in bytes. Runs in a thread of its own."""
        admin = KafkaAdmin(self._given, side="sink")
        admin.connect()
        for topic in admin.topics(topics):
            if not topic.may_write:
                raise SetupError("may not be written by this user", field=topic.name)
        return [*admin.limits(topics).values()]

    def _made(self) -> Any:
        from confluent_kafka import Producer

        return made(Producer, self._settings, self._log, side="sink")

    def _let_go(self) -> None:
        self._producer = None  # the library's threads end here

    # On the way out.

    def _produced(self, outgoing: Outgoing, delivered: Delivered) -> bool:
        """Hand a record to the library; False when that has no room for it now."""
        topic, key, value, headers = outgoing
        try:
            known = self._names
            if topic not in known:
                self._learn(topic)
            for header in headers:
                if header[0] not in known:
                    self._learn(header[0])
            report = partial(self._reported, outgoing, delivered)
            self._producer.produce(topic, value, key, -1, report, None, 0, [*headers])
        except BufferError:
            return False
        except Exception as error:  # noqa: BLE001 - whatever is wrong, its sender must hear of it
            if self._log.fatal is not None or self._is_fatal(error):
                return False  # for the next producer
            self._loop.call_soon(self._tell, delivered, _refusal(error, topic))
            return True
        self._under_way += 1
        return True

    def _learn(self, name: str) -> None:
        """Remember a name that can be written. The library would cut it, or crash.

        Raises ValueError for one that cannot be.
        """
        name.encode()
        if "\0" in name:
            raise ValueError(f"the name {name!r} holds a NUL")
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names.add(name)

    def _is_fatal(self, error: Exception) -> bool:
        told = error_in(error)
        if told.fatal() or told.code() == told._FATAL:
            self._log.error(told)
            return True
        return False

    # What is reported.

    def _reported(
        self, outgoing: Outgoing, delivered: Delivered, error: KafkaError | None, _message: object
    ) -> None:
        self._under_way -= 1
        if error is None:
            if self._log.down:
                self._log.back()
            self._tell(delivered, None)
        elif error.code() == error._INVALID_DIFFERENT_RECORD and not self._stopped:
            self._waiting.append((outgoing, delivered))  # another one of its batch was refused
        else:
            self._tell(delivered, delivery_error(error, outgoing.topic))

    def _tell(self, delivered: Delivered, error: GpfnError | None) -> None:
        try:
            delivered(error)
        except Exception as wrong:  # noqa: BLE001 - the others must still be told
            told = "a callback of a delivered record failed"
            self._loop.call_exception_handler({"message": told, "exception": wrong})

    def _poll_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wait = seconds
        self._timer = self._loop.call_later(seconds, self._turn)

    def _turn(self) -> None:
        self._timer = None
        came = self._poll()
        if self._timer is not None or self._stopped:
            return  # a record was sent meanwhile
        if not self._under_way and not self._waiting:
            self._poll_in(_IDLE)
        else:
            self._poll_in(_SOON if came else min(self._wait * 1.5, _LATEST))

    def _poll(self) -> int:
        came: int = self._producer.poll(0)
        for failed in [*self._failed]:
            failed.poll(0)
            if not len(failed):
                self._failed.remove(failed)
        if self._log.fatal is not None:
            self._renew()
        while self._waiting and not self._stopped:
            outgoing, delivered = self._waiting.popleft()
            if not self._produced(outgoing, delivered):
                self._waiting.appendleft((outgoing, delivered))
                break
        return came

    def _renew(self) -> None:
        """Make another producer: the one that failed for good sends nothing any more."""
        self._producer.purge()
        self._failed.append(self._producer)
        self._log.fatal = None
        self._producer = self._made()


def _refusal(error: Exception, topic: str) -> GpfnError:
    if isinstance(error, (TypeError, ValueError)):
        return CallerError(f"not written to {topic}: {error}")
    return delivery_error(error_in(error), topic)
