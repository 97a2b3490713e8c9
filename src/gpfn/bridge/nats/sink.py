"""NATS JetStream as a sink: each record is published until the server has confirmed that it has it.

A topic is a subject; keys, headers and nulls are in :mod:`gpfn.bridge.nats.message`. Each record
has an id of its own (``Nats-Msg-Id``), so that one which is sent again, because its confirmation
was lost with a connection, is stored once, within the stream's ``duplicate_window`` (2 minutes,
unless the stream says otherwise). While there is no server, records wait. Those of a key keep
their order, and at a single server all of a topic do (:mod:`gpfn.bridge.nats.outbox`).

A record is refused, and the error told, when it is larger than the server or the stream takes
(TooLarge), when no stream takes its subject for some seconds, when the stream is full and
discards new records, or when the bridge may not publish there (BackendError with the topic as
its field).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from gpfn.bridge.nats.client import NatsConnection
from gpfn.bridge.nats.link import NatsLink, together
from gpfn.bridge.nats.message import HeaderLines
from gpfn.bridge.nats.outbox import Outbox, Posted
from gpfn.bridge.nats.settings import read_nats_settings
from gpfn.bridge.nats.streams import check_topic, open_stream
from gpfn.bridge.record import Outgoing
from gpfn.bridge.seam import Delivered
from gpfn.errors import BackendError, BackendTimeout, GpfnError, SetupError, TooLarge

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["NatsSink"]

_SILENT_FOR = 10.0
_LOOK_EVERY = 0.2
_NO_STREAM = "503"
_COMES_BACK = frozenset({10008, 10009, 10023, 10114})
"""JetStream is not there for now, has no leader, or is short of resources for a moment."""
_TOO_LARGE = frozenset({10054, 10097})


class NatsSink:
    """Writes records to topics. See the seam's ``Sink`` for what the methods do."""

    def __init__(
        self,
        address: str,
        *,
        settings: Mapping[str, str] | None = None,
        log: Callable[[str], object] | None = None,
    ) -> None:
        """Check the settings. Raises SetupError with the field; nothing is connected yet.

        ``log`` takes a line when the connection ends, and when it is back.
        """
        self._settings = read_nats_settings(address, settings or {}, "sink")
        self._link = NatsLink(
            self._settings,
            self._session,
            failed=self._give_up,
            refused=self._forbidden,
            patient=True,
            log=log,
        )
        self._name = f"gpfn-{token_hex(8)}"
        self._number = 0
        self._outbox = Outbox()
        self._largest = 0
        self._changed = asyncio.Event()
        self._emptied = asyncio.Event()
        self._over: GpfnError | None = None

    async def start(self, topics: Sequence[str]) -> None:
        """Connect, and check that each topic has a stream, or make one when that is asked for."""

        async def prepare(connection: NatsConnection) -> None:
            self._largest = connection.client.max_payload
            for topic in topics:
                await open_stream(connection, self._settings, check_topic(topic))

        await self._link.start(prepare)

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        """Send a record, behind those of its topic that came before."""
        self._number += 1
        posted = Posted(self._number, outgoing, delivered, f"{self._name}-{self._number}")
        error = self._over
        try:
            check_topic(outgoing.topic)
        except SetupError as wrong:
            error = error or wrong
        if error is None and posted.size > self._largest:
            error = self._too_large(posted)
        if error is not None:
            delivered(error)
            return
        self._outbox.add(posted)
        self._changed.set()

    async def stop(self, seconds: float) -> None:
        """Wait until all is confirmed, or the time is up; what is not is told to be unknown."""
        if self._link.is_running:
            try:
                async with asyncio.timeout(seconds):
                    while len(self._outbox):
                        self._emptied.clear()
                        await self._emptied.wait()
            except TimeoutError:
                self._over = BackendError("the time to stop in was up")
        await self._link.stop()
        self._give_up(self._over or BackendError("stopped before the server confirmed it"))
        await asyncio.sleep(0)  # until all are told

    async def _session(self, connection: NatsConnection) -> None:
        client = connection.client
        self._largest = client.max_payload
        inbox = client.new_inbox()
        await client.subscribe(f"{inbox}.*", cb=self._answered)
        self._outbox.clustered = self._outbox.clustered or connection.is_clustered
        self._outbox.restart()
        await together(self._publish(client, inbox), self._look_after())

    async def _publish(self, client: Client, inbox: str) -> None:
        """Send what there is to send, for as long as the connection lasts."""
        while True:
            self._changed.clear()
            while (posted := self._outbox.take()) is not None:
                if posted.size > self._largest:  # another server, with another limit
                    self._finish(posted, self._too_large(posted))
                    continue
                posted.sent = asyncio.get_running_loop().time()
                lines: Any = HeaderLines(posted.lines)
                reply = f"{inbox}.{posted.number}"
                await client.publish(posted.topic, posted.value, reply=reply, headers=lines)
            await self._changed.wait()

    async def _look_after(self) -> None:
        """Let what was refused go again; end a connection over which no answers come."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            for posted in self._outbox.retry(now()):
                reason = "no stream takes this subject"
                self._finish(posted, BackendError(reason, field=posted.topic))
            self._changed.set()
            if self._outbox.silent_since(now() - _SILENT_FOR):
                raise BackendTimeout(f"no answer for {_SILENT_FOR:g} s")

    async def _answered(self, message: Msg) -> None:
        """Take what the server says of a record."""
        posted = self._outbox.flying.get(int(message.subject.rpartition(".")[2]))
        if posted is None:
            return  # it was sent twice, and is answered twice
        if (message.headers or {}).get("Status") == _NO_STREAM:
            self._outbox.refuse(posted, asyncio.get_running_loop().time())
            return
        error = _error_in(message.data)
        if error is None:
            overtaken = self._outbox.overtaken(posted)
            self._finish(posted, None)
            for earlier in overtaken:
                reason = "a later record of its key was stored before it"
                self._finish(earlier, BackendError(reason, field=earlier.topic))
        elif error[0] in _COMES_BACK:
            self._outbox.refuse(posted, asyncio.get_running_loop().time())
        else:
            kind = TooLarge if error[0] in _TOO_LARGE else BackendError
            self._finish(posted, kind(error[1], field=posted.topic))

    def _forbidden(self, text: str) -> None:
        """Fail what is on its way to a subject that the bridge may not publish to.

        There is no answer to such a record; the server tells the subject, in small letters as
        nats-py hands it on.
        """
        if "publish" in text:
            for posted in list(self._outbox.flying.values()):
                if f'"{posted.topic.lower()}"' in text:
                    reason = "the bridge may not publish to it"
                    self._finish(posted, BackendError(reason, field=posted.topic))

    def _too_large(self, posted: Posted) -> TooLarge:
        return TooLarge(
            f"{posted.size} bytes with its headers; the server takes {self._largest} (max_payload)",
            field=posted.topic,
        )

    def _finish(self, posted: Posted, error: GpfnError | None) -> None:
        self._outbox.finish(posted)
        self._changed.set()
        self._tell(posted, error)

    def _tell(self, posted: Posted, error: GpfnError | None) -> None:
        """Tell what became of a record; a fault of who is told is the loop's handler's."""
        asyncio.get_running_loop().call_soon(posted.delivered, error)
        if not len(self._outbox):
            self._emptied.set()

    def _give_up(self, error: GpfnError) -> None:
        """Nothing will be sent any more: tell so of all that is left."""
        self._over = error
        for posted in self._outbox.empty():
            self._tell(posted, error)


def _error_in(answer: bytes) -> tuple[int, str] | None:
    """Return number and text of the error that JetStream answers with; None without one."""
    try:
        error = json.loads(answer).get("error")
        if error is None:
            return None
        return int(error.get("err_code") or 0), str(error.get("description") or "refused")
    except (ValueError, TypeError, AttributeError):
        return 0, "an answer that is none of JetStream"
