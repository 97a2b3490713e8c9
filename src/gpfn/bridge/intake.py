"""What was taken from each partition and is not finished, and when no more is to be taken.

A partition is paused when too many of its records are unfinished, when too much was finished
beyond an unfinished one (all of which would come again after a crash), or when all partitions
together hold too many bytes; it is resumed when half of that is gone, so that it is not paused
and resumed for every record.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.bridge.lanes import Lanes, Task
    from gpfn.bridge.record import Partition, Record
    from gpfn.bridge.spec import Delivery

__all__ = ["Intake", "Work"]


class Work:
    """One record that is not finished: its tasks, one for each route that takes it."""

    __slots__ = (
        *("answered", "buried", "busy", "dropped", "left", "number", "parked", "partition"),
        *("record", "size", "tasks"),
    )

    def __init__(self, record: Record, number: int) -> None:
        self.record = record
        self.partition: Partition = (record.topic, record.partition)
        self.number = number
        """How many records of its partition were taken before it."""
        self.size = record.size
        self.tasks: list[Task] = []
        self.left = 0
        """Tasks, replies and dead letters that are not done with."""
        self.busy = 0
        """Those of them that are under way: being called, or being sent."""
        self.dropped = False
        """Its partition went to somebody else, or it is left out: nothing of it is called."""
        self.answered = self.buried = False
        """Whether a function was done with it, and whether a dead letter was made of it."""
        self.parked: list[tuple[Lanes, Task]] | None = None
        """Tasks whose turn came while it waits for another one of its event; None: it does not."""


class _Account:
    """A partition's unfinished records, in their order."""

    __slots__ = ("taken", "unfinished")

    def __init__(self) -> None:
        self.unfinished: OrderedDict[int, Work] = OrderedDict()
        self.taken = 0

    def gap(self) -> int:
        """Return how many were finished beyond the first that is not."""
        if not self.unfinished:
            return 0
        first = next(iter(self.unfinished.values()))
        return self.taken - first.number - len(self.unfinished)


class Intake:
    """The partitions that are ours."""

    def __init__(self, delivery: Delivery) -> None:
        self._held = delivery.held
        self._gap = delivery.gap
        self._most_bytes = delivery.held_bytes
        self._accounts: dict[Partition, _Account] = {}
        self.bytes = 0
        """What the unfinished records of all partitions hold."""
        self.paused: set[Partition] = set()

    @property
    def partitions(self) -> list[Partition]:
        """The partitions that are ours."""
        return [*self._accounts]

    def assign(self, partition: Partition) -> None:
        """A partition is ours from now on, unless it was."""
        if partition not in self._accounts:
            self._accounts[partition] = _Account()
            self.paused.discard(partition)

    def take(self, record: Record) -> Work | None:
        """Take a record; None when its partition is not ours, or it is unfinished already."""
        account = self._accounts.get((record.topic, record.partition))
        if account is None or record.offset in account.unfinished:
            return None
        work = account.unfinished[record.offset] = Work(record, account.taken)
        account.taken += 1
        self.bytes += work.size
        return work

    def finish(self, work: Work) -> bool:
        """Forget a record that is done with; False when its partition is not ours any more."""
        account = self._accounts.get(work.partition)
        if account is None or account.unfinished.get(work.record.offset) is not work:
            return False
        del account.unfinished[work.record.offset]
        self.bytes -= work.size
        return True

    def release(self, partition: Partition) -> list[Work]:
        """Give a partition up, and return what of it was not finished."""
        account = self._accounts.pop(partition, None)
        self.paused.discard(partition)
        if account is None:
            return []
        left = [*account.unfinished.values()]
        self.bytes -= sum(work.size for work in left)
        return left

    def unfinished(self, partition: Partition) -> list[Work]:
        """Return what of a partition is not finished, in its order."""
        account = self._accounts.get(partition)
        return [] if account is None else [*account.unfinished.values()]

    def counted(self) -> int:
        """Return how many records are unfinished."""
        return sum(len(account.unfinished) for account in self._accounts.values())

    def gap(self) -> int:
        """Return the largest number of records finished beyond one that is not."""
        return max((account.gap() for account in self._accounts.values()), default=0)

    def oldest(self) -> int:
        """Return when the oldest unfinished record was written: ms since 1970, -1 if unknown."""
        heads = [next(iter(a.unfinished.values())) for a in self._accounts.values() if a.unfinished]
        return min((work.record.time for work in heads), default=-1)

    def to_pause(self) -> list[Partition]:
        """Return the partitions that nothing more is to be taken from, and mark them."""
        full = [part for part, account in self._open() if self._is_full(account, 1.0)]
        self.paused.update(full)
        return full

    def to_resume(self) -> list[Partition]:
        """Return the paused partitions that may give records again, and unmark them."""
        room = [part for part in self.paused if not self._is_full(self._accounts[part], 0.5)]
        self.paused.difference_update(room)
        return room

    def _open(self) -> Iterator[tuple[Partition, _Account]]:
        for partition, account in self._accounts.items():
            if partition not in self.paused:
                yield partition, account

    def _is_full(self, account: _Account, share: float) -> bool:
        return (
            len(account.unfinished) >= self._held * share
            or self.bytes >= self._most_bytes * share
            or account.gap() >= self._gap * share
        )
