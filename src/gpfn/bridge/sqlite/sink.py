"""Records into a durable queue of one machine; they are told of when they are on the disk."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from gpfn.bridge.record import Outgoing
from gpfn.bridge.seam import Delivered
from gpfn.bridge.sqlite.file import pack_headers
from gpfn.bridge.sqlite.queue import Change, Queue
from gpfn.bridge.sqlite.store import QueueRow, QueueStore, check_name
from gpfn.errors import BackendError, BackendTimeout, CallerError, GpfnError, TooLarge

__all__ = ["QueueSink"]

_LARGEST = 512 << 20
"""Bytes of a record; SQLite itself takes just under 1 GB."""
_RECORDS, _BYTES = 2000, 16 << 20
"""Most that is written in one transaction."""

_Sent = tuple[QueueRow, Delivered]


class QueueSink:
    """The seam `gpfn.bridge.seam.Sink`, on a queue. A topic is made when it is first written to."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: deque[_Sent] = deque()
        self._writing: list[_Sent] = []
        self._open = False
        self._empty = asyncio.Event()

    async def start(self, topics: Sequence[str]) -> None:
        """Begin. Raises SetupError or BackendError with the topic or the path as field."""
        for topic in topics:
            check_name(topic, topic)
        await self._queue.open()
        try:
            await self._queue.write(partial(_make_topics, topics))
        except BaseException:
            await self._queue.close()
            raise
        self._queue.join(self)
        self._open = True

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        """Write the record with the next transaction."""
        try:
            row = self._row(outgoing)
        except GpfnError as error:
            delivered(error)
            return
        self._waiting.append((row, delivered))
        self._queue.wake()

    async def stop(self, seconds: float) -> None:
        """Wait until all is written, or the time is up, and close the queue."""
        if not self._open:
            return
        self._open = False
        try:
            async with asyncio.timeout(seconds):
                while self._waiting or self._writing:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            late = BackendTimeout(f"not written within {seconds:g} s", field=str(self._queue.path))
            self._tell(late)
        self._queue.leave(self)
        await self._queue.close()

    def wants(self) -> Iterable[Change]:
        """Return the oldest records that wait, as one change."""
        size = 0
        while self._waiting and len(self._writing) < _RECORDS and size < _BYTES:
            sent = self._waiting.popleft()
            self._writing.append(sent)
            size += sum([len(part) for part in sent[0][1:4] if part is not None])
        if not self._writing:
            return []
        sending = self._writing
        rows = [row for row, _ in sending]
        return [Change(lambda store: store.append(rows), partial(self._written, sending))]

    def stirred(self, topics: Collection[str]) -> None:
        """Do nothing: a sink waits for nobody's records."""

    def _row(self, outgoing: Outgoing) -> QueueRow:
        if not self._open:
            raise BackendError("the queue is closed", field=str(self._queue.path))
        topic, key, value, headers = outgoing
        check_name(topic, topic)
        size = len(key or b"") + len(value or b"") + sum([len(v or b"") for _, v in headers])
        if size > _LARGEST:
            raise TooLarge(f"a record of {size} bytes; a queue takes {_LARGEST}", field=topic)
        try:
            packed = pack_headers(headers)
        except ValueError as error:
            raise CallerError(str(error), field=topic) from None
        return QueueRow(topic, key, value, packed, time.time_ns() // 1_000_000)

    def _written(self, sending: list[_Sent], _: object, error: GpfnError | None) -> None:
        if sending is not self._writing:
            return  # their time was up
        self._writing = []
        for _row, delivered in sending:
            delivered(error)
        if error is None:
            self._queue.stir({row.topic for row, _ in sending})
        if not self._waiting:
            self._empty.set()

    def _tell(self, error: GpfnError) -> None:
        left = [*self._writing, *self._waiting]
        self._writing = []
        self._waiting.clear()
        for _, delivered in left:
            delivered(error)


def _make_topics(topics: Sequence[str], store: QueueStore) -> None:
    for topic in topics:
        store.topic(topic)
