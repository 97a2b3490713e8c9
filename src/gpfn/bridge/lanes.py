"""Which of a route's events may be called now, so that an order is kept.

Events of one lane are called one after the other, in the order in which they came, and one
that is to be tried again holds the others of its lane until then. A lane is a key (the default: the
record's, else the event's ``partitionkey``; without one an event is a lane of its own), a
partition, or each event by itself. What waits for its time or for its turn takes no place
among those that are under way, so that no lane can keep others from being called.

Sans-IO: it is told the time, and says which call is to be made.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Literal, TypeAlias

from gpfn.deadline import NEVER
from gpfn.media import EVENT_FAMILY

if TYPE_CHECKING:
    from gpfn.bridge.intake import Work
    from gpfn.bridge.record import Partition, Record
    from gpfn.events.event import Event

__all__ = ["ORDERS", "Lanes", "Order", "Task"]

Order: TypeAlias = Literal["key", "partition", "none"]
ORDERS: tuple[Order, ...] = ("key", "partition", "none")

_Lane: TypeAlias = Hashable


class Task:
    """An event on its way through one route."""

    __slots__ = (
        "attempts",
        "content_type",
        "event",
        "lane",
        "late_at",
        "record",
        "started",
        "work",
    )

    def __init__(self, work: Work, event: Event, late_at: float = NEVER.at) -> None:
        self.work = work
        self.record: Record = work.record
        self.content_type = _content_type(work.record)
        self.event = event
        self.attempts = work.record.attempts
        self.late_at = late_at
        """The time on the monotonic clock after which nobody wants it any more."""
        self.lane: _Lane = None
        self.started = 0.0

    @property
    def is_structured(self) -> bool:
        """Whether the record's value is a whole event, not its data alone."""
        return self.content_type[: len(EVENT_FAMILY)].lower() == EVENT_FAMILY


class Lanes:
    """The tasks of one route that are not finished."""

    def __init__(self, order: Order = "key") -> None:
        self._lane_of = _LANES[order]
        self._queues: dict[_Lane, deque[Task]] = {}
        """The tasks behind the first one of each lane that has a task."""
        self._ready: deque[Task] = deque()
        self._due: list[tuple[float, int, Task]] = []
        self._number = 0

    def add(self, task: Task) -> None:
        """Take a task, behind those of its lane."""
        lane = self._lane_of(task)
        if lane is None:
            self._ready.append(task)
            return
        task.lane = lane
        queue = self._queues.get(lane)
        if queue is None:
            self._queues[lane] = _NOTHING
            self._ready.append(task)
        elif queue is _NOTHING:
            self._queues[lane] = deque((task,))
        else:
            queue.append(task)

    def ready(self, now: float) -> int:
        """Return how many tasks may be called now."""
        due = self._due
        while due and due[0][0] <= now:
            self._ready.append(heapq.heappop(due)[2])
        return len(self._ready)

    def take(self) -> Task | None:
        """Return a task that is called now; None when there is none."""
        ready = self._ready
        while ready:
            task = ready.popleft()
            if not task.work.dropped:
                return task
            self.finish(task)
        return None

    def finish(self, task: Task) -> None:
        """A task is done with: the next of its lane may be called."""
        lane = task.lane
        if lane is None:
            return
        queue = self._queues[lane]
        while queue:
            following = queue.popleft()
            if not following.work.dropped:
                self._ready.append(following)
                return
        del self._queues[lane]

    def again(self, task: Task, due: float) -> None:
        """A task is to be called again at a time, and its lane waits for it."""
        self._number += 1
        heapq.heappush(self._due, (due, self._number, task))

    def back(self, task: Task) -> None:
        """A task that was taken, and is not called yet, may be taken again: its lane is held."""
        self._ready.append(task)

    def next_due(self) -> float | None:
        """Return the time at which the next waiting task may be called; None without one."""
        return self._due[0][0] if self._due else None

    @property
    def waiting(self) -> int:
        """How many tasks wait for the time of their next call."""
        return len(self._due)

    def forget(self) -> None:
        """Let go of what was dropped and waits for its time; the rest goes when its turn comes."""
        gone = [task for _, _, task in self._due if task.work.dropped]
        if gone:
            self._due = [item for item in self._due if not item[2].work.dropped]
            heapq.heapify(self._due)
        for task in gone:
            self.finish(task)


def _content_type(record: Record) -> str:
    """Return the media type that a record's headers tell; empty when none does."""
    for name, value in record.headers:
        if name == "content-type" or name.lower() == "content-type":
            return (value or b"").decode("latin-1")
    return ""


def _partition(task: Task) -> Partition:
    return (task.record.topic, task.record.partition)


def _key_lane(task: Task) -> _Lane:
    record = task.record
    key: object = record.key
    if key is None:
        key = task.event.attribute("partitionkey")
    return None if key is None else (record.topic, record.partition, key)


_NOTHING: deque[Task] = deque(maxlen=0)
"""The queue of a lane with one task, which most have: it costs no deque of its own."""

_LANES: dict[Order, Callable[[Task], _Lane]] = {
    "key": _key_lane,
    "partition": _partition,
    "none": lambda _: None,
}
