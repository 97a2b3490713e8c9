"""What a repository needs done again and again: following the store, emptying the trash."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError

if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.wanted import Wanted

__all__ = ["Upkeep"]

_COLLECT_SECONDS = 3600.0


class Upkeep:
    """Done by one of the processes of a server; the others know that they know nothing for sure."""

    def __init__(self, repository: Repository, wanted: Wanted, log: Log) -> None:
        self._repository = repository
        self._wanted = wanted
        self._log = log
        self._collects_at = monotonic() + _COLLECT_SECONDS
        self._failure = ""

    async def keep(self, poll: float) -> None:
        """Go on as long as the loop runs, every ``poll`` seconds; a failure ends nothing."""
        if self._repository.settings.preload and self._wanted.leads():
            await self._preload()
        while True:
            try:
                await self._look_after()
                self._failure = ""
            except Exception as error:  # noqa: BLE001 - such as a store that cannot be reached
                if str(error) != self._failure:
                    self._log.failure(error)
                self._failure = str(error)
            await asyncio.sleep(poll)

    async def _preload(self) -> None:
        repository = self._repository
        for shelf in repository.store.shelves()[: repository.settings.max_open]:
            try:
                await repository.wake(shelf.name)
            except GpfnError as error:
                self._log.failure(error)

    async def _look_after(self) -> None:
        """Follow what other servers change, and remove for good what is old in the trash."""
        repository = self._repository
        if not self._wanted.leads():
            await repository.catch_up()
            return
        await repository.follow()
        if monotonic() < self._collects_at:
            return
        self._collects_at = monotonic() + _COLLECT_SECONDS
        seconds = repository.settings.trash_days * 86400
        gone = await repository.in_thread(lambda store: store.collect(seconds))
        if gone:
            self._log.info(f"removed from the trash for good: {len(gone)} versions")
