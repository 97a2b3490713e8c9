"""Pulls the records of one consumer, and hands them over in their order.

One task asks for records, one batch after the other, and all that comes goes through one
subscription: a request that has run out takes nothing along with it. (nats-py's own ``fetch``
loses a message that comes while a wait is given up.) Requests end by themselves after some
seconds; a server that does not say so is asked whether the consumer is still there.

The order. New records come in it. What was given to a connection or a process that ended is
given again only after ``ack_wait``, and newer ones before it. So a session begins by waiting for
those: as long as no other member asks for records, nothing newer is handed over before they are
here, or that time has passed. Then they come in their order. With several members there is no
such order among what one of them has left; JetStream has no owner of a key or a partition.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.bridge.nats.client import NatsConnection, raw_headers
from gpfn.bridge.nats.held import Held
from gpfn.bridge.nats.link import JetStreamRefused, ask, subject_of, together
from gpfn.bridge.nats.message import record_of
from gpfn.bridge.nats.settings import NatsSettings
from gpfn.bridge.nats.streams import Consumer
from gpfn.bridge.nats.tries import Tries
from gpfn.bridge.record import Record
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

__all__ = ["Pull"]

_NANO = 1_000_000_000
_BYTES = 8 << 20
_MOST_BYTES = 256 << 20
_LATE = 0.25
_PAUSE = 0.2
_SOON = 0.1
_ENDED = ("404", "408")


class Pull:
    """The way of one consumer's records into this process."""

    def __init__(
        self,
        consumer: Consumer,
        settings: NatsSettings,
        tries: Tries,
        hand: Callable[[Sequence[Record]], None],
        expires: float,
    ) -> None:
        self.consumer = consumer
        self.held = Held()
        self._settings = settings
        self._tries = tries
        self._hand = hand
        self._expires = expires
        self._bytes = _BYTES
        self._came: list[Record] = []
        self._open = asyncio.Event()
        self._open.set()
        self._closing = False
        self._giving = False
        self._again: _Again | None = None
        self._connection: NatsConnection | None = None
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._requests = 0
        self._wanted = 0
        self._over = asyncio.Event()
        self._said = ("", "")

    def pause(self) -> None:
        """Ask for nothing more; what comes nevertheless is kept until later."""
        self._open.clear()

    def resume(self) -> None:
        """Go on."""
        if not self._closing:
            self._open.set()
            self._give_soon()

    async def session(self, connection: NatsConnection) -> None:
        """Pull over a connection for as long as it lasts. Raises SetupError when that is over."""
        client = connection.client
        self._connection = connection
        self._inbox = client.new_inbox()
        self._subscription = await client.subscribe(f"{self._inbox}.*", cb=self._take)
        await together(
            self.held.acknowledge(client),
            self.held.keep(client, self._settings.ack_wait / 3),
            self._pull(connection),
        )

    async def close(self) -> None:
        """Take nothing more, have confirmed what is done, and give back what is held."""
        self._closing = True
        self._open.clear()
        if self._subscription is not None:
            drain: Callable[[], Awaitable[None]] = self._subscription.drain
            await drain()
        await self.held.settled()
        if self._connection is not None:
            # Asked for a consumer, the server forgets requests of who is gone. Older servers
            # (2.9) lose a record given back while they have one, until ack_wait is over.
            await self.info(self._connection)
            await self.held.give_back(self._connection.client)

    async def _pull(self, connection: NatsConnection) -> None:
        await self._wait_for_earlier(connection)
        expires = int(self._expires * _NANO)
        while True:
            await self._open.wait()
            batch = self._settings.batch
            await self._request(connection, batch, {"expires": expires, "max_bytes": self._bytes})

    async def _request(self, connection: NatsConnection, batch: int, how: dict[str, Any]) -> None:
        """Ask for records and return when they are here, or no more of them will come."""
        if self._closing:
            await asyncio.get_running_loop().create_future()  # until the session ends
        self._requests += 1
        self._wanted, self._said = batch, ("", "")
        self._over.clear()
        call = f"CONSUMER.MSG.NEXT.{self.consumer.stream}.{self.consumer.name}"
        await connection.client.publish(
            subject_of(self._settings, call),
            json.dumps({"batch": batch, **how}).encode(),
            reply=f"{self._inbox}.{self._requests}",
        )
        try:
            async with asyncio.timeout(self._expires + _LATE):
                await self._over.wait()
        except TimeoutError:
            await self.info(connection)
        status, text = self._said
        if status == "409" and "maxbytes" in text.replace(" ", "").lower():
            if self._wanted == batch:
                self._bytes = min(self._bytes * 2, _MOST_BYTES)
        elif status and status not in _ENDED:
            await self.info(connection)
            await asyncio.sleep(_PAUSE)

    async def info(self, connection: NatsConnection) -> dict[str, Any]:
        """Return what the server knows of the consumer. Raises SetupError when that is gone."""
        call = f"CONSUMER.INFO.{self.consumer.stream}.{self.consumer.name}"
        try:
            return await ask(connection, self._settings, call)
        except JetStreamRefused as error:
            if error.code == 404:
                raise SetupError(
                    f"the group's consumer or its stream is gone: {error}",
                    field=self.consumer.topic,
                ) from None
            raise

    async def _take(self, message: Msg) -> None:
        """Take a message of the subscription: a record, or how a request has ended."""
        if message.subject.startswith(self._inbox):
            self._end_request(message)
            return
        told = _read_reply(message.reply)
        if told is None:
            return
        await self._accept(told, message)
        self._wanted -= 1
        if self._wanted == 0:
            self._over.set()

    async def _accept(self, told: _Told, message: Msg) -> None:
        attempts = 0
        if told.deliveries > 1 and self._connection is not None:
            # This may be cancelled with the connection: so it is not taken before.
            attempts = await self._tries.count(
                self._connection, self.consumer, told.offset, told.deliveries
            )
        if not self.held.take(told.offset, message.reply):
            return
        if self._again is not None:
            self._again.count(told.offset)
        raw = raw_headers(message.headers)
        topic, data = self.consumer.topic, message.data
        self._came.append(
            record_of(topic, told.offset, raw, data, time=told.time, attempts=attempts)
        )
        self._give_soon()

    def _end_request(self, message: Msg) -> None:
        request = message.subject.rpartition(".")[2]
        status = (message.headers or {}).get("Status", "")
        if request == str(self._requests) and status and status != "100":
            self._said = (status, (message.headers or {}).get("Description", ""))
            self._over.set()

    def _give_soon(self) -> None:
        """Hand over, with all else that comes in this turn of the loop."""
        if not self._giving:
            self._giving = True
            asyncio.get_running_loop().call_soon(self._give)

    def _give(self) -> None:
        self._giving = False
        if self._came and self._open.is_set() and self._again is None:
            records, self._came = self._came, []
            self._hand(records)

    async def _wait_for_earlier(self, connection: NatsConnection) -> None:
        """Hold newer records back until those are here that somebody had who is gone."""
        await self.held.settled()
        info = await self.info(connection)
        missing = int(info.get("num_ack_pending", 0)) - len(self.held.working)
        if missing > 0 and not info.get("num_waiting"):
            self._again = _Again(missing, int(info["delivered"]["stream_seq"]))
            await self._gather(connection, self._again)
        self._again = None  # it stays when the connection ends before: nothing is handed over then
        self._came.sort(key=lambda record: record.offset)
        self._give_soon()

    async def _gather(self, connection: NatsConnection, again: _Again) -> None:
        now = asyncio.get_running_loop().time
        until = now() + self._settings.ack_wait + 2 * _LATE
        while again.missing > 0:
            before = again.missing
            if not again.newer or now() >= until:  # else those that are missing are not due yet
                batch = min(again.missing, self._settings.batch)
                await self._request(connection, batch, {"no_wait": True})
            if again.missing < before:
                continue
            if now() >= until or (await self.info(connection)).get("num_waiting"):
                return
            await asyncio.sleep(_SOON)


class _Again:
    """How many records up to an offset have to come again, and how many newer ones came."""

    def __init__(self, missing: int, last: int) -> None:
        self.missing = missing
        self.newer = 0
        self._last = last

    def count(self, offset: int) -> None:
        if offset <= self._last:
            self.missing -= 1
        else:
            self.newer += 1


class _Told(NamedTuple):
    """What the subject of an acknowledgement tells of a message; the time is in milliseconds."""

    deliveries: int
    offset: int
    time: int


def _read_reply(reply: str) -> _Told | None:
    """Read ``$JS.ACK.stream.consumer.deliveries.offset.number.nanoseconds.pending``.

    There may be domain and account before the stream, and a token of chance at the end.
    """
    parts = reply.split(".")
    if parts[:2] != ["$JS", "ACK"] or len(parts) < 9:
        return None
    at = 4 if len(parts) == 9 else 6
    try:
        return _Told(int(parts[at]), int(parts[at + 1]), int(parts[at + 3]) // 1_000_000)
    except (ValueError, IndexError):
        return None
