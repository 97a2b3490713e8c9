"""How often calls for a record have failed, kept in JetStream so that no crash resets it.

JetStream counts deliveries, not calls: a record that waited for its turn in three members that
were stopped was delivered four times and never tried. So the count stands in a key-value bucket
(https://docs.nats.io/nats-concepts/jetstream/key-value-store), which all groups share: the key
is consumer, when that was made, and the record's offset; the value is the count in digits. It is
asked for when a record comes that was delivered before. Counts leave after a week, or when the
bucket has 64 MiB of them, the oldest first.

Without a bucket (``tries = "none"``, for who may make no stream) all deliveries before this one
count as calls that failed.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Sequence

from gpfn.bridge.nats.client import NatsConnection
from gpfn.bridge.nats.link import JetStreamRefused, ask, publish
from gpfn.bridge.nats.settings import NatsSettings, setting_field
from gpfn.bridge.nats.streams import Consumer
from gpfn.errors import GpfnError, SetupError
from gpfn.settings import read_digits

__all__ = ["Tries"]

_BYTES = 64 << 20
_WEEK_NS = 7 * 86400 * 1_000_000_000
_WRITTEN_WITHIN = 2.0
_PAUSE = 0.2


class Tries:
    """The counts of one source's records."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._unwritten: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._written = asyncio.Event()

    async def open(self, connection: NatsConnection, consumers: Sequence[Consumer]) -> None:
        """Make the bucket, if it is not there, and see that counts can be written and read.

        Raises SetupError or BackendError.
        """
        bucket = self._settings.tries
        if not bucket:
            return
        await self._make(connection, f"KV_{bucket}")
        for consumer in consumers:
            subject = self._subject(consumer, 0)  # no record has this offset
            await publish(connection, self._settings, subject, b"0")
            call = f"STREAM.MSG.GET.KV_{bucket}"
            await ask(connection, self._settings, call, {"last_by_subj": subject})

    async def _make(self, connection: NatsConnection, stream: str) -> None:
        try:
            await ask(connection, self._settings, f"STREAM.INFO.{stream}")
        except JetStreamRefused as error:
            if error.code != 404:
                raise
        else:
            return
        config = {
            "name": stream,
            "subjects": [f"$KV.{self._settings.tries}.>"],
            "max_msgs_per_subject": 1,
            "discard": "old",
            "storage": "file",
            "max_bytes": _BYTES,
            "max_age": _WEEK_NS,
            "num_replicas": self._settings.replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
        }
        try:
            await ask(connection, self._settings, f"STREAM.CREATE.{stream}", config)
        except JetStreamRefused as error:
            raise SetupError(
                f"the bucket {self._settings.tries} cannot be made: {error}",
                field=setting_field(self._settings.side, "tries"),
            ) from None

    def note(self, consumer: Consumer, offset: int, attempts: int) -> None:
        """Write a count, soon."""
        if self._settings.tries:
            self._unwritten[self._subject(consumer, offset)] = attempts
            self._written.clear()
            self._changed.set()

    async def written(self) -> None:
        """Return when the server has every count."""
        if self._unwritten:
            await self._written.wait()

    async def write(self, connection: NatsConnection) -> None:
        """Write the counts, for as long as the connection lasts."""
        from nats.errors import NoRespondersError

        while True:
            for subject, attempts in list(self._unwritten.items()):
                try:
                    await connection.client.request(
                        subject, str(attempts).encode(), timeout=_WRITTEN_WITHIN
                    )
                except (TimeoutError, NoRespondersError):
                    await asyncio.sleep(_PAUSE)
                    break
                if self._unwritten.get(subject) == attempts:
                    del self._unwritten[subject]
            if self._unwritten:
                continue
            self._written.set()
            self._changed.clear()
            await self._changed.wait()

    async def count(
        self, connection: NatsConnection, consumer: Consumer, offset: int, deliveries: int
    ) -> int:
        """Return how often calls for a record failed that was delivered so often, now included."""
        if deliveries < 2 or not self._settings.tries:
            return deliveries - 1
        subject = self._subject(consumer, offset)
        if subject in self._unwritten:
            return self._unwritten[subject]
        try:
            call = f"STREAM.MSG.GET.KV_{self._settings.tries}"
            found = await ask(connection, self._settings, call, {"last_by_subj": subject})
            digits = b64decode(found["message"]["data"]).decode("ascii")
        except JetStreamRefused as error:
            return 0 if error.code == 404 else deliveries - 1
        except (GpfnError, KeyError, TypeError, ValueError):
            return deliveries - 1  # it cannot be told now, and not above this
        return read_digits(digits) or 0

    def _subject(self, consumer: Consumer, offset: int) -> str:
        return f"$KV.{self._settings.tries}.{consumer.name}.{consumer.made}.{offset}"
