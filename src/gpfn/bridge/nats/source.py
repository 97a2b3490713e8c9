"""NATS JetStream as a source: a group reads topics, each record until it is done.

A topic is a subject; ``partition`` is 0, ``offset`` the sequence in the stream, which has gaps
where other subjects share it. Headers, keys and nulls are in :mod:`gpfn.bridge.nats.message`,
the settings in :mod:`gpfn.bridge.nats.settings`.

What is promised:

- At least once. A record comes again until the server has confirmed that it is done. A
  process that goes on knows its last 8,192 of each topic and deals with none of them twice.
- With one member, records of a topic are handed over in their order, also after a crash, a
  restart of the server, or a lost connection: it waits, ``ack_wait`` at most, for what was under
  way. Two things break it: a cluster whose leader changes gives what was on its way again, but
  behind newer records; and a server that is killed may forget what it confirmed last, and gives
  that once more to a process that does not know it.
- With several members each record goes to one of them, whichever asks first: no order by key.
- Members may come and go at any time. What a stopped one holds goes to another at once; what a
  killed one held, after ``ack_wait``. A record that is worked on for long stays where it is.
- Nothing is given up: who counts attempts, and buries, is the bridge.
  (:mod:`gpfn.bridge.nats.tries` keeps the count.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from gpfn.bridge.nats.client import NatsConnection
from gpfn.bridge.nats.link import NatsLink, together
from gpfn.bridge.nats.pull import Pull
from gpfn.bridge.nats.settings import read_nats_settings
from gpfn.bridge.nats.streams import check_topic, open_consumer
from gpfn.bridge.nats.tries import Tries
from gpfn.bridge.record import Partition, Record
from gpfn.bridge.seam import Listener
from gpfn.errors import BackendError, GpfnError, SetupError

__all__ = ["NatsSource"]

_STOPS_WITHIN = 5.0
_LONGEST_GROUP = 200
_EXPIRES = 5.0


class NatsSource:
    """Records of topics for a group. See the seam's ``Source`` for what the methods do."""

    def __init__(
        self,
        address: str,
        topics: Sequence[str],
        group: str,
        *,
        start: Literal["earliest", "latest"] = "earliest",
        settings: Mapping[str, str] | None = None,
        expires: float = _EXPIRES,
        log: Callable[[str], object] | None = None,
    ) -> None:
        """Check what is asked for. Raises SetupError with the field; nothing is connected yet.

        ``expires`` are the seconds after which the server ends a request for records; ``log``
        takes a line when the connection ends, and when it is back.
        """
        self._settings = read_nats_settings(address, settings or {}, "source")
        if not topics:
            raise SetupError("no topics", field="source.topics")
        if not group or len(group) > _LONGEST_GROUP or not group.isprintable():
            raise SetupError(f"expected 1 to {_LONGEST_GROUP} characters", field="source.group")
        self._topics = tuple(dict.fromkeys(topics))
        for number, topic in enumerate(topics):
            check_topic(topic, f"source.topics[{number}]")
        self._group = group
        self._first = start
        self._expires = expires
        self._tries = Tries(self._settings)
        self._pulls: dict[str, Pull] = {}
        self._listener: Listener | None = None
        self._link = NatsLink(
            self._settings, self._session, failed=self._failed, refused=self._forbidden, log=log
        )

    async def start(self, listener: Listener) -> None:
        """Connect, find or make the group's consumers, and begin."""
        self._listener = listener
        await self._link.start(self._prepare)
        listener.assigned([(topic, 0) for topic in self._topics])

    def done(self, record: Record) -> None:
        """Acknowledge a record, together with others."""
        pull = self._pulls.get(record.topic)
        if pull is not None:
            pull.held.done(record.offset)

    def tried(self, record: Record, attempts: int) -> None:
        """Keep the count of a record's attempts."""
        pull = self._pulls.get(record.topic)
        if pull is not None:
            self._tries.note(pull.consumer, record.offset, attempts)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Hand over nothing of these; what is held stays so."""
        for topic, _ in partitions:
            if topic in self._pulls:
                self._pulls[topic].pause()

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Hand over again."""
        for topic, _ in partitions:
            if topic in self._pulls:
                self._pulls[topic].resume()

    async def lag(self) -> Mapping[Partition, int]:
        """Return for each topic what the group has not been given, and what it has not done."""
        found: dict[Partition, int] = {}
        for topic, pull in self._pulls.items():
            call = f"CONSUMER.INFO.{pull.consumer.stream}.{pull.consumer.name}"
            info = await self._link.ask(call)
            try:
                found[topic, 0] = int(info["num_pending"]) + int(info["num_ack_pending"])
            except (KeyError, TypeError, ValueError):
                raise BackendError("the server does not tell the lag", field=topic) from None
        return found

    async def stop(self) -> None:
        """Have confirmed what is done, give back what is held, and leave."""
        try:
            async with asyncio.timeout(_STOPS_WITHIN):
                while self._pulls and self._link.connection is None and self._link.is_running:
                    await asyncio.sleep(0.05)
                if self._link.connection is not None:
                    await self._tries.written()  # before others are given what was tried
                    await asyncio.gather(*[pull.close() for pull in self._pulls.values()])
        except Exception as error:  # noqa: BLE001 - what the server did not hear of comes again
            self._link.trouble = BackendError(f"stopped without the server: {error}")
        await self._link.stop()

    async def _prepare(self, connection: NatsConnection) -> None:
        for topic in self._topics:
            try:
                consumer = await open_consumer(
                    connection, self._settings, topic, self._group, self._first
                )
            except SetupError as error:
                if error.field == topic:
                    error.detail, error.field = f"{topic}: {error.detail}", "source.topics"
                raise
            self._pulls[topic] = Pull(
                consumer, self._settings, self._tries, self._received, self._expires
            )
        await self._tries.open(connection, [pull.consumer for pull in self._pulls.values()])

    async def _session(self, connection: NatsConnection) -> None:
        pulls = [pull.session(connection) for pull in self._pulls.values()]
        await together(self._tries.write(connection), *pulls)

    def _received(self, records: Sequence[Record]) -> None:
        if self._listener is not None:
            self._listener.received(records)

    def _forbidden(self, text: str) -> None:
        """Fail when a right is withdrawn; while this starts, who asks hears it."""
        if self._link.is_running:
            self._failed(SetupError(text.removeprefix("nats: "), field=self._settings.field))

    def _failed(self, error: GpfnError) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.failed(error)
