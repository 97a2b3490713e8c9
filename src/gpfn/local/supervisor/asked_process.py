"""What both contracts have in common: a process that is asked over a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from gpfn.local.calling import CallFailure
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.asked import AskedConnection
from gpfn.local.supervisor.failure import ProcessFailure
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.surroundings import Surroundings

__all__ = ["AskedProcess"]

_LAST_WORDS_SECONDS = 0.05
_DYING_SECONDS = 0.5  # between the end of its connections and its own


class AskedProcess:
    """One process and its connection.

    ``keep`` says after a call whether there may be another one, ``init_seconds`` how long it
    took in the last call to initialise it.
    """

    def __init__(
        self,
        deployed: Deployed,
        settings: SupervisorSettings,
        words: Sequence[str],
        around: Surroundings,
    ) -> None:
        """``words`` start ``gpfn``."""
        self.deployed = deployed
        self._settings = settings
        self._words = words
        self.process = around.process
        self._connection = AskedConnection()
        self.keep = True
        self.init_seconds = 0.0
        self.process.gone = self._gone

    async def _wait_until(
        self, listens: Callable[[], Awaitable[bool]], seconds: float, pause: float
    ) -> None:
        """Ask every ``pause`` seconds whether it listens. Raises ProcessFailure."""
        process, late = self.process, monotonic() + seconds
        while not await listens():
            if not process.running:
                told = f"it ended with {process.code()} before it listened"
                raise process.failure("start failed", told)
            if monotonic() > late:
                told = f"it did not listen within {seconds:g} s"
                raise process.failure("start timed out", told)
            await asyncio.sleep(pause)

    async def _broken(
        self, detail: str, where: str, ended: CallFailure, otherwise: CallFailure
    ) -> ProcessFailure:
        """Tell a process that has ``ended`` from one that answers what is no answer."""
        self.keep = False
        await self.process.ends_within(_DYING_SECONDS if self._connection.lost else 0.0)
        if self.process.running:
            return ProcessFailure(otherwise, detail)
        return self.process.failure(ended, f"it ended with {self.process.code()} in {where}")

    def _gone(self) -> None:
        """It has ended; what it has sent before is still to be read."""
        loop = asyncio.get_running_loop()
        loop.call_later(_LAST_WORDS_SECONDS, self._connection.fail, "the process has ended")

    async def end(self) -> None:
        """End the process and everything of it."""
        self._connection.fail("the process was ended")
        self._connection.abort()
        await self.process.end()
