"""A queue that is open in this process: one thread works on its file, and commits in groups.

Sources and sinks share it. Whoever wants something of the file is asked what, once for each
transaction: so all that was sent, done and wanted in one turn of the event loop, and while the
transaction before was written, goes into one, and is told to those who asked when it is on the
disk. That is why a queue that waits for the disk at each commit takes thousands of records a
second.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from gpfn.bridge.sqlite.file import explained
from gpfn.bridge.sqlite.store import QueueStore
from gpfn.errors import BackendError, GpfnError

__all__ = ["Change", "Queue", "QueueClient"]

_T = TypeVar("_T")
_IDLE_SECONDS = 1.0
"""After so long without a change the write-ahead file is emptied."""
_ALARM_BYTES = 64 << 20
"""A write-ahead file beyond this is told of, once in so many seconds:"""
_ALARM_SECONDS = 60.0


class Change(NamedTuple):
    """What somebody wants of the file, in a transaction with others.

    ``do`` is called in the queue's thread; ``told`` afterwards in the event loop's, with what
    it returned, or with None and why nothing of the transaction was done.
    """

    do: Callable[[QueueStore], object]
    told: Callable[[Any, GpfnError | None], None]


class QueueClient(Protocol):
    """Who shares a queue."""

    def wants(self) -> Iterable[Change]:
        """Return what is wanted now; it is taken as asked for, and not asked for again."""

    def stirred(self, topics: Collection[str]) -> None:
        """Records were written to these topics in this process."""


class Queue:
    """A queue's file, and who shares it in this process."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "full",
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is opened yet; see `file.connect` for ``synchronous``."""
        self.path = path
        self._synchronous = synchronous
        self.warn = warn
        self._clients: list[QueueClient] = []
        self._users = 0
        self._store: QueueStore | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._opening = asyncio.Lock()
        self._writing = False
        self._begin_due = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._changed = 0.0
        self._quiet_until = 0.0

    async def open(self) -> None:
        """Open the file, unless that was done. Raises SetupError and BackendError."""
        async with self._opening:
            if self._store is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue")
                make = partial(QueueStore, self.path, synchronous=self._synchronous)
                try:
                    self._store = await self._in_thread(make)
                except BaseException:
                    self._thread.shutdown(wait=False)
                    self._thread = None
                    raise
            self._users += 1

    async def close(self) -> None:
        """Close the file, when this was the last one who has it open."""
        async with self._opening:
            self._users -= 1
            if self._users or self._store is None or self._thread is None:
                return
            store, self._store = self._store, None
            thread, self._thread = self._thread, None
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            try:
                await asyncio.get_running_loop().run_in_executor(thread, store.close)
            except sqlite3.Error as error:
                self.warn(str(explained(error, self.path)))
            thread.shutdown(wait=False)

    def join(self, client: QueueClient) -> None:
        """Ask this one as well, from now on, what it wants."""
        self._clients.append(client)

    def leave(self, client: QueueClient) -> None:
        """Do not ask this one any more."""
        if client in self._clients:
            self._clients.remove(client)

    async def read(self, look: Callable[[QueueStore], _T]) -> _T:
        """Return what ``look`` finds. Raises SetupError or BackendError."""
        store = self._store
        if store is None:
            raise BackendError("the queue is closed", field=str(self.path))
        try:
            return await self._in_thread(partial(look, store))
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    async def write(self, change: Callable[[QueueStore], _T]) -> _T:
        """Return what ``change`` returns, once it is on the disk. Raises as :meth:`read`."""

        def apart(store: QueueStore) -> _T:
            with store.transaction():
                return change(store)

        return await self.read(apart)

    def wake(self) -> None:
        """Say that somebody wants something: all are asked when this turn of the loop ends."""
        if not self._begin_due and not self._writing:
            self._begin_due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def stir(self, topics: Collection[str]) -> None:
        """Say that records were written to these topics."""
        for client in tuple(self._clients):
            client.stirred(topics)

    def _begin(self) -> None:
        self._begin_due = False
        if self._writing or self._store is None or self._thread is None:
            return
        changes = [change for client in tuple(self._clients) for change in client.wants()]
        if changes:
            self._writing = True
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, _write, self._store, changes)
            work.add_done_callback(partial(self._end, changes))

    def _end(self, changes: Sequence[Change], work: asyncio.Future[list[object]]) -> None:
        self._writing = False
        error = None if work.cancelled() else work.exception()
        if work.cancelled() or error is not None:
            failure = self._failure(error)
            for change in changes:
                change.told(None, failure)
        else:
            for change, result in zip(changes, work.result(), strict=True):
                change.told(result, None)
        self.wake()
        self._watch_log()

    def _failure(self, error: BaseException | None) -> GpfnError:
        if isinstance(error, sqlite3.Error):
            return explained(error, self.path)
        if isinstance(error, GpfnError):
            return error
        self.warn(f"unexpected {error!r} in the queue's thread")
        return GpfnError(f"unexpected {type(error).__name__}", field=str(self.path))

    def _watch_log(self) -> None:
        """Have the write-ahead file emptied when nothing happens for a while."""
        loop = asyncio.get_running_loop()
        self._changed = loop.time()
        if self._idle_timer is None:
            self._idle_timer = loop.call_later(_IDLE_SECONDS, self._look_idle)
        size = 0 if self._store is None else self._store.log_bytes
        if size > _ALARM_BYTES and self._changed > self._quiet_until:
            self._quiet_until = self._changed + _ALARM_SECONDS
            self.warn(f"{self.path}-wal has {size} bytes: somebody keeps on reading from it")

    def _look_idle(self) -> None:
        self._idle_timer = None
        if self._store is None or self._thread is None:
            return
        loop = asyncio.get_running_loop()
        left = self._changed + _IDLE_SECONDS - loop.time()
        if left > 0:
            self._idle_timer = loop.call_later(left, self._look_idle)
        else:
            shrinking = loop.run_in_executor(self._thread, self._store.shrink)
            shrinking.add_done_callback(self._shrunk)

    def _shrunk(self, work: asyncio.Future[bool]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self.warn(str(self._failure(error)))
        elif not work.cancelled() and work.result():
            self._watch_log()

    async def _in_thread(self, do: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)


def _write(store: QueueStore, changes: Sequence[Change]) -> list[object]:
    """Do all changes in one transaction."""
    with store.transaction():
        results = [change.do(store) for change in changes]
    store.bound_log()
    return results
