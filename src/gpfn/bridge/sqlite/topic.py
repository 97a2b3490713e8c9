"""A topic of a queue as one source reads it: what it was given, and what it wants written down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from gpfn.bridge.record import Record
from gpfn.bridge.sqlite.leases import Subscription
from gpfn.bridge.sqlite.queue import Change
from gpfn.bridge.sqlite.store import QueueStore
from gpfn.errors import GpfnError

__all__ = ["Settled", "TopicReader", "Window", "find_news", "settle"]

_BATCH = 512
"""Most records that are leased in one transaction."""


class Window(NamedTuple):
    """How many records of a topic, and of how many bytes, are given and not done at most."""

    records: int
    size: int


class Settled(NamedTuple):
    """What is to be written down: offsets that are done, and how often others were tried."""

    finished: list[int]
    tried: dict[int, int]


class _Told(Protocol):
    """Who is told what became of that."""

    def came(self, records: list[Record]) -> None:
        """Records were leased, perhaps none."""

    def buried(self) -> None:
        """The owner is none any more."""

    def troubled(self, error: GpfnError) -> None:
        """Nothing could be written."""


class TopicReader:
    """One topic for one owner; another owner begins with another reader."""

    def __init__(self, of: Subscription, owner: int, window: Window, told: _Told) -> None:
        self.of = of
        self.paused = False
        self.quiet = False
        """Nothing was there at the last look."""
        self.over = False
        """Nobody is interested any more."""
        self._owner = owner
        self._window = window
        self._told = told
        self._held: dict[int, int] = {}
        """The sizes of the records that are not done, by their offsets."""
        self._bytes = 0
        self._settled = Settled([], {})
        self._asked = False

    def done(self, offset: int) -> bool:
        """Note that a record is done; False when it was not given, or that was noted."""
        size = self._held.pop(offset, None)
        if size is None:
            return False
        self._bytes -= size
        self._settled.tried.pop(offset, None)
        self._settled.finished.append(offset)
        return True

    def tried(self, offset: int, attempts: int) -> bool:
        """Note how often a record was tried; False when it was not given."""
        if offset not in self._held:
            return False
        self._settled.tried[offset] = attempts
        return True

    def settled(self) -> Settled:
        """Return what is to be written down, and forget it."""
        settled, self._settled = self._settled, Settled([], {})
        return settled

    def wants(self) -> list[Change]:
        """Return what is to be written down, and a lease for what there is room for."""
        changes = []
        if any(self._settled):
            settled = self.settled()
            do = partial(settle, self.of, self._owner, settled)
            changes.append(Change(do, partial(self._was_settled, settled)))
        room = self._room()
        if room:
            self._asked = True
            left = self._window.size - self._bytes
            lease = partial(_take, self.of, self._owner, room, left)
            changes.append(Change(lease, self._taken))
        return changes

    def _room(self) -> int:
        if self.paused or self.quiet or self._asked or self._bytes >= self._window.size:
            return 0
        return max(0, min(self._window.records - len(self._held), _BATCH))

    def _was_settled(self, settled: Settled, _: object, error: GpfnError | None) -> None:
        if error is not None and not self.over:
            self._settled.finished[:0] = settled.finished
            held = {offset: n for offset, n in settled.tried.items() if offset in self._held}
            self._settled = self._settled._replace(tried=held | self._settled.tried)
            self._told.troubled(error)

    def _taken(self, records: list[Record] | None, error: GpfnError | None) -> None:
        self._asked = False
        if self.over:
            return  # what was leased is free: its owner is none any more
        if error is not None:
            self._told.troubled(error)
        elif records is None:
            self._told.buried()
        else:
            self.quiet = not records
            for record in records:
                self._held[record.offset] = record.size
                self._bytes += record.size
            self._told.came(records)


def settle(of: Subscription, owner: int, settled: Settled, store: QueueStore) -> None:
    """Write down what is settled, and delete what all groups are done with."""
    if settled.tried:
        store.leases.note(of, owner, settled.tried)
    if settled.finished:
        store.leases.finish(of, owner, settled.finished)
        store.sweep(of.topic_id)


def _take(
    of: Subscription, owner: int, most: int, most_bytes: int, store: QueueStore
) -> list[Record] | None:
    """Lease records, unless the owner was buried meanwhile."""
    return store.leases.take(of, owner, most, most_bytes) if store.owners.has(owner) else None


def find_news(
    topics: Sequence[Subscription], owner: int, seen: tuple[int, int], store: QueueStore
) -> tuple[tuple[int, int], list[Subscription]]:
    """Return the queue's version, and the topics that have something to lease.

    When the version is the one that was ``seen``, there are none.
    """
    version = store.version()
    if version == seen:
        return version, []
    return version, [of for of in topics if store.leases.has_more(of, owner)]
