"""A queue in memory and a function that does as it is told, for the engine alone.

Doubles, because here the order of what happens is the test's: the real queues have their own
tests, and the bridge with real brokers and functions is in ``tests/e2e``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gpfn.bridge.answers import Answer
from gpfn.bridge.destinations import Done
from gpfn.bridge.record import Header, Outgoing, Partition, Record
from gpfn.bridge.seam import Delivered, Listener
from gpfn.errors import GpfnError
from gpfn.events import Event
from gpfn.events.modes import write
from gpfn.message import Message

__all__ = ["MemoryQueue", "MemorySink", "MemorySource", "Scripted", "record_of", "replied"]


def record_of(
    number: int,
    *,
    topic: str = "in",
    partition: int = 0,
    key: bytes | None = None,
    value: bytes | None = b"1",
    **attributes: str,
) -> Record:
    """Return a record that holds the event of that number in binary mode."""
    stated = {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", **attributes}
    headers: tuple[Header, ...] = tuple((f"ce_{n}", v.encode()) for n, v in stated.items())
    content = (("content-type", b"application/json"),)
    return Record(topic, partition, number, key, value, (*headers, *content))


def replied(event: Event) -> Answer:
    """Return the answer of a function that replies."""
    return 200, write((event.reply([1]),), "binary")


class MemoryQueue:
    """What a broker knows: the records, which of them are done, and how often they were tried."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.done: set[tuple[str, int, int]] = set()
        self.attempts: dict[tuple[str, int, int], int] = {}

    def left(self) -> list[Record]:
        """Return what would come now: all that is not done."""
        return [
            record._replace(attempts=self.attempts.get(record[:3], 0))
            for record in self.records
            if record[:3] not in self.done
        ]


class MemorySource:
    """A source of such a queue; it ends when all was given."""

    def __init__(self, queue: MemoryQueue, *, at_once: int = 7) -> None:
        self.queue = queue
        self.paused: set[Partition] = set()
        self.ever_paused: set[Partition] = set()
        self.stopped = False
        self.given = 0
        self._at_once = at_once
        self._task: asyncio.Task[None] | None = None

    async def start(self, listener: Listener) -> None:
        listener.assigned(
            sorted({(record.topic, record.partition) for record in self.queue.left()})
        )
        self._task = asyncio.create_task(self._give(listener))

    async def _give(self, listener: Listener) -> None:
        left = self.queue.left()
        while left:
            batch = [record for record in left if record[:2] not in self.paused][: self._at_once]
            left = [record for record in left if record not in batch]
            self.given += len(batch)
            if batch:
                listener.received(batch)
            await asyncio.sleep(0)
        listener.ended()

    def done(self, record: Record) -> None:
        assert record[:3] not in self.queue.done, "done once"
        self.queue.done.add(record[:3])

    def tried(self, record: Record, attempts: int) -> None:
        assert record[:3] not in self.queue.done
        self.queue.attempts[record[:3]] = attempts

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.paused.update(partitions)
        self.ever_paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.paused.difference_update(partitions)

    async def lag(self) -> Mapping[Partition, int]:
        return {("in", 0): len(self.queue.left())}

    async def stop(self) -> None:
        self.stopped = True
        if self._task is not None:
            self._task.cancel()


class MemorySink:
    """A sink; ``refuse`` says what goes wrong with a record, None when nothing does."""

    def __init__(self, refuse: Callable[[Outgoing], GpfnError | None] = lambda _: None) -> None:
        self.sent: list[Outgoing] = []
        self.stopped = False
        self._refuse = refuse

    async def start(self, topics: Sequence[str]) -> None:
        self.topics = topics

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        error = self._refuse(outgoing)
        if error is None:
            self.sent.append(outgoing)
        asyncio.get_running_loop().call_soon(delivered, error)

    async def stop(self, seconds: float) -> None:
        self.stopped = True

    def of(self, topic: str) -> list[Outgoing]:
        """Return what was sent to a topic."""
        return [outgoing for outgoing in self.sent if outgoing.topic == topic]


class Scripted:
    """A function whose answers are made by the test, each after some turns of the loop."""

    shown = "scripted"

    def __init__(
        self,
        answer: Callable[[Event, int], Answer] = lambda event, _: replied(event),
        *,
        turns: Callable[[Event], int] = lambda _: 1,
    ) -> None:
        self.calls: list[str] = []
        """The ids of the events, in the order in which it was called."""
        self.messages: list[Message] = []
        self.active = 0
        self.most_active = 0
        self.closed = False
        self._answer = answer
        self._turns = turns
        self._counts: dict[str, int] = {}

    def call(self, message: Message, event: Event, seconds: float, done: Done) -> None:
        self.calls.append(event.id)
        self.messages.append(message)
        self._counts[event.id] = self._counts.get(event.id, 0) + 1
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        self._later(self._turns(event), event, self._counts[event.id], done)

    def _later(self, turns: int, event: Event, count: int, done: Done) -> None:
        if turns > 0:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._later, turns - 1, event, count, done)
        else:
            self.active -= 1
            done(self._answer(event, count))

    def close(self) -> None:
        self.closed = True
