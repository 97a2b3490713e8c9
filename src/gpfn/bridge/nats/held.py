"""What became of each record that JetStream has given and has not forgotten yet.

A record is held until it is done, then done until the server has confirmed that it knows, and
remembered for a while after that: a server that was killed may have lost what it confirmed
last, and gives such a record again, behind newer ones. Whatever comes again while it is known
here is not given a second time; it is held on, or acknowledged again.

The server gives a record to somebody else when it hears nothing of it for ``ack_wait``. So it
is told every third of that time that each held record is being worked on.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["Held"]

_REMEMBERED = 8192
_AT_ONCE = 500
_CONFIRMED_WITHIN = 2.0
_PAUSE = 0.2
_NOT_DONE = b"-NAK"
_IN_PROGRESS = b"+WPI"


class Held:
    """The records of one consumer by their offset, with the subject that answers for each."""

    def __init__(self) -> None:
        self.working: dict[int, str] = {}
        self.finished: dict[int, str] = {}
        self._confirmed: dict[int, None] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    def take(self, offset: int, reply: str) -> bool:
        """Take a record that came; return whether it is one to be worked on."""
        if offset in self.working:
            self.working[offset] = reply  # the server heard nothing of it for too long
            return False
        if offset in self.finished or offset in self._confirmed:
            self._confirmed.pop(offset, None)
            self._finish(offset, reply)
            return False
        self.working[offset] = reply
        return True

    def done(self, offset: int) -> None:
        """A record is dealt with for good."""
        reply = self.working.pop(offset, None)
        if reply is not None:
            self._finish(offset, reply)

    def _finish(self, offset: int, reply: str) -> None:
        self.finished[offset] = reply
        self._settled.clear()
        self._changed.set()

    async def settled(self) -> None:
        """Return when the server has confirmed all that is done."""
        if self.finished:
            await self._settled.wait()

    async def acknowledge(self, client: Client) -> None:
        """Tell the server what is done, for as long as the connection lasts.

        All that came together goes together, and the last of it asks for a confirmation, which
        the server gives when it has dealt with those before as well.
        """
        while True:
            while self.finished:
                await self._confirm(client)
            self._settled.set()
            self._changed.clear()
            await self._changed.wait()

    async def _confirm(self, client: Client) -> None:
        from nats.errors import NoRespondersError

        batch = list(islice(self.finished.items(), _AT_ONCE))
        for _, reply in batch[:-1]:
            await client.publish(reply)
        try:
            await client.request(batch[-1][1], timeout=_CONFIRMED_WITHIN)
        except (TimeoutError, NoRespondersError):
            await asyncio.sleep(_PAUSE)  # a server that comes up; then all are told again
            return
        for offset, reply in batch:
            if self.finished.get(offset) == reply:
                del self.finished[offset]
                self._confirmed[offset] = None
        for offset in list(islice(self._confirmed, max(0, len(self._confirmed) - _REMEMBERED))):
            del self._confirmed[offset]

    async def keep(self, client: Client, every: float) -> None:
        """Tell the server, every so many seconds, that what is held is being worked on."""
        while True:
            await asyncio.sleep(every)
            for reply in list(self.working.values()):
                await client.publish(reply, _IN_PROGRESS)

    async def give_back(self, client: Client) -> None:
        """Let others have at once what is held, the oldest first."""
        replies = [reply for _, reply in sorted(self.working.items())]
        for reply in replies[:-1]:
            await client.publish(reply, _NOT_DONE)
        if replies:
            await client.request(replies[-1], _NOT_DONE, timeout=_CONFIRMED_WITHIN)
        self.working.clear()
