"""One after the other: changes of one model, and looks at the store, within a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.serving.wanted import Wanted

__all__ = ["Looks", "Turns"]


class Turns:
    """Gives each name its turns; a name that nobody waits for takes no memory."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}  # and how many wait or have it

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Let what is done for one name come one after the other."""
        lock, waiting = self._locks.get(name, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[name] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            waiting = self._locks[name][1] - 1
            if waiting:
                self._locks[name] = lock, waiting
            else:
                del self._locks[name]


class Looks:
    """Knows whether a store may have changed since this process has looked at it.

    What other processes of the server change is in their common list; what other servers change
    is not, so after a while everything may have changed.
    """

    def __init__(self, wanted: Wanted, look: Callable[[], Awaitable[object]]) -> None:
        self._wanted = wanted
        self._look = look
        self._seen = -1  # the number of the last change that was looked at
        self._late = True
        self._lock = asyncio.Lock()

    @property
    def behind(self) -> bool:
        """Whether another process has changed something since the last look."""
        return self._seen != self._wanted.wishes

    @property
    def old(self) -> bool:
        """Whether anybody may have changed something since the last look."""
        return self._late or self.behind

    def grow_old(self) -> None:
        """Hear that a while is over."""
        self._late = True

    async def look(self) -> None:
        """Look, if anything may have changed."""
        async with self._lock:
            if self.old:
                seen = self._wanted.wishes
                await self._look()
                self._seen, self._late = seen, False
