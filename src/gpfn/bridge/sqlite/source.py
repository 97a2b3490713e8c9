"""Records from a durable queue of one machine.

    queue = Queue(Path(".gpfn/queue.db"))
    source = QueueSource(queue, ["readings"], "forecasts")
    sink = QueueSink(queue)

Processes of one group share its records; each topic is one partition. Records are leased: who
has been given one has it for as long as the process lives and renews its lease. Those of one
key are with one process at a time (`queue_leases`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from gpfn.bridge.record import Partition, Record
from gpfn.bridge.seam import Listener
from gpfn.bridge.sqlite.leases import Subscription
from gpfn.bridge.sqlite.queue import Change, Queue
from gpfn.bridge.sqlite.store import QueueStore, check_name
from gpfn.bridge.sqlite.topic import Settled, TopicReader, Window, find_news, settle
from gpfn.errors import BackendError, GpfnError

__all__ = ["QueueSource"]

_SOONEST, _LATEST = 0.002, 0.1
"""Seconds between two looks for records of other processes: while there is work, and without."""
_ROUND = 1.0
"""Seconds between two looks for owners that have ended."""
_PATIENCE = 30.0
"""So long a source goes on although its file cannot be written to."""
_PAUSE = 0.5

_Entered = tuple[int, list[Subscription]]


class QueueSource:
    """The seam `gpfn.bridge.seam.Source`, on topics of a queue."""

    def __init__(
        self,
        queue: Queue,
        topics: Sequence[str],
        group: str,
        *,
        window: int = 1000,
        window_bytes: int = 64 << 20,
        lease: float = 30.0,
        keep: float | None = None,
    ) -> None:
        """At most ``window`` records of a topic, of so many bytes, are given and not done.

        A process that stands still for ``lease`` seconds loses what it has to others. ``keep``
        is how many seconds records stay in the file although all groups are done with them;
        None leaves that as it is, which is 0 at first.
        """
        self._queue = queue
        self._names = list(dict.fromkeys(topics))
        self._group = group
        self._window = Window(window, window_bytes)
        self._lease = lease
        self._keep = keep
        self._topics: dict[str, TopicReader] = {}
        self._listener: Listener | None = None
        self._owner = 0
        self._entering = False
        self._renew_at = 0.0
        self._bury = False
        self._seen = (0, 0)
        self._delay = _SOONEST
        self._look_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble_since: float | None = None
        self._held_back = False

    async def start(self, listener: Listener) -> None:
        """Begin to receive. Raises SetupError or BackendError with topic or path as field."""
        check_name(self._group, "group")
        for name in self._names:
            check_name(name, name)
        await self._queue.open()
        try:
            entered = await self._queue.write(self._enter)
        except BaseException:
            await self._queue.close()
            raise
        self._listener = listener
        self._queue.join(self)
        self._run(self._rounds())
        self._entered(entered, None)

    def done(self, record: Record) -> None:
        """Strike the record's claim with the next transaction."""
        topic = self._topics.get(record.topic)
        if topic is not None and topic.done(record.offset):
            self._queue.wake()

    def tried(self, record: Record, attempts: int) -> None:
        """Keep the count with the next transaction."""
        topic = self._topics.get(record.topic)
        if topic is not None and topic.tried(record.offset, attempts):
            self._queue.wake()

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Lease no more records of these topics for now."""
        for topic in filter(None, [self._topics.get(name) for name, _ in partitions]):
            topic.paused = True

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Lease records of these topics again."""
        for topic in filter(None, [self._topics.get(name) for name, _ in partitions]):
            topic.paused = False
        self._queue.wake()

    async def lag(self) -> Mapping[Partition, int]:
        """Return how many records of each topic the group has not done. Raises BackendError."""
        topics = [topic.of for topic in self._topics.values()]
        counts = await self._queue.read(lambda store: [store.leases.lag(of) for of in topics])
        return {(of.topic, 0): count for of, count in zip(topics, counts, strict=True)}

    async def stop(self) -> None:
        """Write down what is done, free the rest, and close the queue."""
        if self._listener is None:
            return
        self._listener = None
        self._queue.leave(self)
        if self._look_timer is not None:
            self._look_timer.cancel()
        for task in self._tasks:
            task.cancel()
        topics = [(topic.of, topic.settled()) for topic in self._forget()]
        try:
            await self._queue.write(partial(_leave, topics, self._owner))
        except GpfnError as error:
            self._queue.warn(f"what was done last comes again: {error}")
        await self._queue.close()

    # What the queue asks for, once for each transaction.

    def wants(self) -> Iterable[Change]:
        """Return what is to be written down, and leases for as many records as there is room."""
        if self._held_back or self._entering:
            return []
        if not self._owner:
            self._entering = True
            return [Change(self._enter, self._entered)]
        changes = [change for topic in self._topics.values() for change in topic.wants()]
        if self._bury:
            self._bury = False
            changes.append(Change(lambda store: store.owners.bury(), self._freed))
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._lease / 3
            renew = partial(_renew, self._owner, self._lease)
            changes.append(Change(renew, partial(self._renewed, self._owner)))
        return changes

    def stirred(self, topics: Collection[str]) -> None:
        """Look at once for what was written in this process."""
        for name in self._topics.keys() & topics:
            self._topics[name].quiet = False
            self._queue.wake()

    def _enter(self, store: QueueStore) -> _Entered:
        """Become an owner, after those that have ended are buried."""
        store.owners.bury()
        subscriptions = [store.subscribe(name, self._group, self._keep) for name in self._names]
        return store.owners.add(self._lease), subscriptions

    def _entered(self, entered: _Entered | None, error: GpfnError | None) -> None:
        self._entering = False
        if error is not None:
            self.troubled(error)
        elif entered is not None and self._listener is not None:
            self._trouble_since = None
            self._owner, subscriptions = entered
            self._renew_at = time.monotonic() + self._lease / 3
            for of in subscriptions:
                self._topics[of.topic] = TopicReader(of, self._owner, self._window, self)
            self._listener.assigned([(name, 0) for name in self._names])
            self._queue.wake()

    def _renewed(self, owner: int, renewed: bool | None, error: GpfnError | None) -> None:
        if error is not None:
            self._renew_at = 0.0
            self.troubled(error)
        elif owner == self._owner and not renewed:
            self.buried()

    def _freed(self, _: object, error: GpfnError | None) -> None:
        if error is not None:
            self.troubled(error)
        self.stirred(self._names)

    def _forget(self) -> list[TopicReader]:
        topics, self._topics = [*self._topics.values()], {}
        for topic in topics:
            topic.over = True
        return topics

    # What topics tell.

    def came(self, records: list[Record]) -> None:
        """Hand records on; when there are none, look again soon."""
        self._trouble_since = None
        if not records:
            self._look_in(_SOONEST)
        elif self._listener is not None:
            self._listener.received(records)
            self._queue.wake()

    def buried(self) -> None:
        """Forget everything: it went to others while this process stood still. Begin anew."""
        if self._owner and self._listener is not None:
            self._owner = 0
            self._forget()
            self._listener.lost([(name, 0) for name in self._names])
            self._queue.wake()

    def troubled(self, error: GpfnError) -> None:
        """Try again after a pause; give up when that cannot help, or has not for long."""
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        if isinstance(error, BackendError) and now - self._trouble_since < _PATIENCE:
            if not self._held_back:
                self._held_back = True
                asyncio.get_running_loop().call_later(_PAUSE, self._go_on)
        elif self._listener is not None:
            self._held_back = True
            self._listener.failed(error)

    def _go_on(self) -> None:
        self._held_back = False
        self._queue.wake()

    # What other processes do is seen by looking.

    def _look_in(self, seconds: float) -> None:
        self._delay = seconds
        if self._look_timer is not None:
            self._look_timer.cancel()
        loop = asyncio.get_running_loop()
        self._look_timer = loop.call_later(seconds, lambda: self._run(self._look()))

    async def _look(self) -> None:
        """Look whether there is something for topics that had nothing before."""
        quiet = [topic for topic in self._topics.values() if topic.quiet]
        if not quiet:
            return
        look = partial(find_news, [topic.of for topic in quiet], self._owner, self._seen)
        found: list[Subscription] = []
        try:
            self._seen, found = await self._queue.read(look)
        except GpfnError as error:
            self.troubled(error)
        for topic in quiet:
            topic.quiet = topic.quiet and topic.of not in found
        if found:
            self._queue.wake()
        if len(found) < len(quiet):
            self._look_in(min(2 * self._delay, _LATEST))

    async def _rounds(self) -> None:
        """Look for owners that have ended, and renew the lease in time."""
        while True:
            await asyncio.sleep(min(_ROUND, self._lease / 6))
            try:
                self._bury = bool(await self._queue.read(lambda store: store.owners.dead()))
            except GpfnError as error:
                self.troubled(error)
            if self._bury or time.monotonic() >= self._renew_at:
                self._queue.wake()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _renew(owner: int, seconds: float, store: QueueStore) -> bool:
    return store.owners.renew(owner, seconds)


def _leave(topics: Sequence[tuple[Subscription, Settled]], owner: int, store: QueueStore) -> None:
    for of, settled in topics:
        settle(of, owner, settled, store)
    store.owners.remove(owner)
