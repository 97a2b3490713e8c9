"""What the command line asks of JetStream besides running a bridge: records, topics, lag.

Records are read without a group: nothing is made on the server, and nobody's position moves.
Each is asked for by the one before it, so this is for looking and replaying, some thousands a
second. A time is found by halving: sequences in a stream grow with time.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from gpfn.bridge.nats.client import NatsConnection, connect_nats, leave
from gpfn.bridge.nats.link import JetStreamRefused, ask
from gpfn.bridge.nats.message import record_of
from gpfn.bridge.nats.settings import NatsSettings, read_nats_settings
from gpfn.bridge.nats.streams import check_topic, consumer_name, open_stream
from gpfn.bridge.record import Record
from gpfn.errors import BackendError
from gpfn.timestamps import epoch_seconds

__all__ = ["NatsGroupLag", "NatsTopic", "nats_group_lag", "nats_topics", "read_nats_topic"]

_LOOK_EVERY = 0.2
_MOST_PAGES = 1000


class NatsTopic(NamedTuple):
    """A subject with records, its stream, and how many records it has."""

    topic: str
    stream: str
    records: int


class NatsGroupLag(NamedTuple):
    """What a group has not been given of a topic, and what it was given and has not done."""

    topic: str
    waiting: int
    under_way: int


@asynccontextmanager
async def _connected(
    address: str, settings: Mapping[str, str] | None
) -> AsyncIterator[tuple[NatsConnection, NatsSettings]]:
    read = read_nats_settings(address, settings or {})._replace(create=False)
    connection = await connect_nats(read, lambda _: None)
    try:
        yield connection, read
    finally:
        await leave(connection)


async def read_nats_topic(
    address: str,
    topic: str,
    *,
    settings: Mapping[str, str] | None = None,
    first: int = 0,
    last: int | None = None,
    since: int | None = None,
    until: int | None = None,
    follow: bool = False,
) -> AsyncIterator[Record]:
    """Yield the records of a topic from an offset or a time on, both bounds included.

    Times are milliseconds since 1970. Without ``follow`` it ends at the newest record of now.
    Raises SetupError or BackendError.
    """
    async with _connected(address, settings) as (connection, read):
        stream = await open_stream(connection, read, check_topic(topic))
        asked = _Stream(connection, read, stream, topic)
        offset = max(first, 1)
        if since is not None:
            offset = max(offset, await asked.first_since(since))
        if last is None and not follow:
            last = await asked.newest()
        while last is None or offset <= last:
            record = await asked.next(offset)
            if record is None and follow:
                await asyncio.sleep(_LOOK_EVERY)
                continue
            if record is None or (last is not None and record.offset > last):
                return
            if until is not None and record.time > until:
                return
            yield record
            offset = record.offset + 1


class _Stream:
    """A topic's stream, asked over one connection."""

    def __init__(
        self, connection: NatsConnection, settings: NatsSettings, name: str, topic: str
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._name = name
        self._topic = topic

    async def next(self, offset: int) -> Record | None:
        """Return the topic's record with this offset, or the first behind it; None without."""
        body = {"seq": offset, "next_by_subj": self._topic}
        try:
            call = f"STREAM.MSG.GET.{self._name}"
            answer = await ask(self._connection, self._settings, call, body)
        except JetStreamRefused as error:
            if error.code == 404:
                return None
            raise
        return _record(answer.get("message"), self._topic)

    async def newest(self) -> int:
        """Return the offset of the newest record of the stream."""
        return int((await self._state())["last_seq"])

    async def first_since(self, since: int) -> int:
        """Return an offset such that all records before it are older than a time."""
        state = await self._state()
        low, high = int(state["first_seq"]), int(state["last_seq"]) + 1
        while low < high:
            middle = (low + high) // 2
            record = await self.next(middle)
            if record is None or record.time >= since:
                high = middle
            else:
                low = record.offset + 1
        return low

    async def _state(self) -> dict[str, Any]:
        info = await ask(self._connection, self._settings, f"STREAM.INFO.{self._name}")
        state = info.get("state")
        if not isinstance(state, dict):
            raise BackendError("the server does not tell the state of a stream", field=self._topic)
        return state


def _record(message: object, topic: str) -> Record:
    try:
        fields: dict[str, Any] = message  # type: ignore[assignment]  # checked by use
        raw = b64decode(fields.get("hdrs") or b"")
        data = b64decode(fields.get("data") or b"")
        time = int(epoch_seconds(fields["time"]) * 1000)
        return record_of(topic, int(fields["seq"]), raw, data, time=time)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BackendError("the server gives a message that cannot be read", field=topic) from None


async def nats_topics(address: str, settings: Mapping[str, str] | None = None) -> list[NatsTopic]:
    """Return the subjects that have records, by name; those of JetStream's own buckets are not.

    Raises SetupError or BackendError.
    """
    found = []
    async with _connected(address, settings) as (connection, read):
        async for name in _pages(connection, read, "STREAM.NAMES", "streams"):
            subjects: dict[str, int] = {}
            for _ in range(_MOST_PAGES):
                body = {"subjects_filter": ">", "offset": len(subjects)}
                info = await ask(connection, read, f"STREAM.INFO.{name}", body)
                page = (info.get("state") or {}).get("subjects") or {}
                subjects.update(page)
                if not page or len(subjects) >= int(info.get("total") or 0):
                    break
            found += [
                NatsTopic(topic, str(name), int(records))
                for topic, records in subjects.items()
                if not topic.startswith("$")
            ]
    return sorted(found)


async def nats_group_lag(
    address: str, group: str, settings: Mapping[str, str] | None = None
) -> list[NatsGroupLag]:
    """Return the lag of each topic that a group reads. Raises SetupError or BackendError."""
    found = []
    async with _connected(address, settings) as (connection, read):
        async for stream in _pages(connection, read, "STREAM.NAMES", "streams"):
            call = f"CONSUMER.LIST.{stream}"
            async for info in _pages(connection, read, call, "consumers"):
                topic = str(info["config"].get("filter_subject") or "")
                if info.get("name") == consumer_name(group, topic):
                    waiting, under_way = int(info["num_pending"]), int(info["num_ack_pending"])
                    found.append(NatsGroupLag(topic, waiting, under_way))
    return sorted(found)


async def _pages(
    connection: NatsConnection, settings: NatsSettings, call: str, name: str
) -> AsyncIterator[Any]:
    """Yield all entries of a list that comes in pages."""
    offset = 0
    for _ in range(_MOST_PAGES):
        answer = await ask(connection, settings, call, {"offset": offset})
        page = answer.get(name) or []
        for entry in page:
            yield entry
        offset += len(page)
        if not page or offset >= int(answer.get("total") or 0):
            return
