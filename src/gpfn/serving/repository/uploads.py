"""Uploads on their way: who may send one, what takes it, and the process that tries its model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from gpfn.deadline import NEVER
from gpfn.errors import CallerError, GpfnError
from gpfn.http.loop.pool import WorkPool
from gpfn.repository.documents import Manifest
from gpfn.serving.repository.intake import Arrived, examine_upload
from gpfn.serving.repository.receiving import RawReceiver, ReceivedUpload, receiver_of

if TYPE_CHECKING:
    from gpfn.http.loop.exchange import Exchange
    from gpfn.serving.repository.settings import RepositorySettings

__all__ = ["StoredVersion", "TooManyUploads", "Uploads"]

_THREADS, _WAITING = 4, 256
_EXAMINERS = 2
"""Uploads that are looked into at once: each of them runs a process."""


class TooManyUploads(CallerError):
    """One user sends more at once than one may."""

    status = 429
    type = "too-many-uploads"
    title = "Too many uploads"


class StoredVersion(NamedTuple):
    """What became of an upload: its version, whether it was the latest one already, its tags."""

    manifest: Manifest
    existed: bool
    tags: Mapping[str, int]


class Uploads:
    """The uploads of a server; methods are for the loop's thread."""

    def __init__(self, settings: RepositorySettings, make_folder: Callable[[], Path]) -> None:
        """``make_folder`` returns a new folder for files, in a thread."""
        self._settings = settings
        self._make_folder = make_folder
        self._pool = WorkPool(_THREADS, _WAITING, patient=False)
        self._examiners = WorkPool(_EXAMINERS, _WAITING, patient=False)
        self._sending: Counter[str] = Counter()

    def receiver(self, media_type: str, who: str) -> RawReceiver:
        """Return what takes an upload of a media type. Raises TooManyUploads.

        Who shows no token, which a server may allow on loopback, is not counted.
        """
        most = self._settings.uploads_each
        if who and self._sending[who] >= most:
            told = f"{most} uploads of yours are on their way; try again when one is done"
            raise TooManyUploads(told)
        receiver = receiver_of(
            media_type, self._make_folder, self._settings.max_upload, self._settings.upload_seconds
        )
        self._sending[who] += 1
        loop = asyncio.get_running_loop()
        receiver.on_end = lambda: loop.call_soon_threadsafe(self._ended, who)
        return receiver

    async def receive(self, exchange: Exchange, body: bytes | memoryview) -> ReceivedUpload:
        """Return an upload whose body has come, in memory or on the disk."""
        incoming = exchange.incoming
        if incoming is None:
            receiver = self.receiver(exchange.fields.by_name.get("content-type", ""), "")
            work = partial(_receive_whole, receiver, bytes(body))
        else:
            receiver = cast("RawReceiver", incoming.receiver)
            work = partial(_receive_whole, receiver)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            incoming.when_received(partial(_settle, done))
            await done
        received: ReceivedUpload = await self._pool.run(work, NEVER)
        exchange.incoming = None  # what has come is the caller's from here on
        return received

    async def examine(self, arrived: Arrived) -> Manifest:
        """Return what the files of an upload are; raises what is wrong with them."""
        work = partial(examine_upload, arrived, self._settings.vet)
        manifest: Manifest = await self._examiners.run(work, NEVER)
        return manifest

    def _ended(self, who: str) -> None:
        self._sending[who] -= 1
        if not self._sending[who]:
            del self._sending[who]


def _receive_whole(receiver: RawReceiver, *bodies: bytes) -> ReceivedUpload:
    try:
        for body in bodies:
            receiver.feed(body)
        return receiver.received()
    except BaseException:
        receiver.abandon()
        raise


def _settle(future: asyncio.Future[None], error: GpfnError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
