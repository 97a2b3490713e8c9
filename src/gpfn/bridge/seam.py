"""The seam between the bridge and a queue: `Source` gives records, `Sink` takes them.

Kafka, NATS JetStream, a SQLite queue and files are siblings behind it, and one conformance
test (``tests/bridge/conformance.py``) holds for all of them. Everything here is called in the
thread of the event loop, and a source calls its listener there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.errors import GpfnError

__all__ = ["Delivered", "Listener", "Sink", "Source"]

Delivered: TypeAlias = Callable[[GpfnError | None], None]
"""Told once of each record that was sent: None when the queue has it for good."""


class Listener(Protocol):
    """Whom a source tells what happens."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Records of these partitions may come from now on."""

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """These partitions are about to go to somebody else.

        Returns when nothing of them is being worked on, or when the time for that is up; what
        is ``done`` until then is committed by the source before it lets go.
        """

    def lost(self, partitions: Sequence[Partition]) -> None:
        """These partitions are somebody else's already: nothing of them may be committed."""

    def received(self, records: Sequence[Record]) -> None:
        """Records came, those of a partition in their order."""

    def ended(self) -> None:
        """No more records will ever come: a file that is not followed was read to its end."""

    def failed(self, error: GpfnError) -> None:
        """The source cannot go on."""


class Source(Protocol):
    """Where records come from: each comes again, after a crash too, until it is done."""

    async def start(self, listener: Listener) -> None:
        """Begin to receive. Raises SetupError or BackendError when that cannot be."""

    def done(self, record: Record) -> None:
        """The record was dealt with for good: it must not come again.

        Written down soon, not at once; a crash before that gives the record once more.
        """

    def tried(self, record: Record, attempts: int) -> None:
        """A call for the record failed and will be made again: keep the count over a crash."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Give no more records of these for now; those under way may still come."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Give records of these again."""

    async def lag(self) -> Mapping[Partition, int]:
        """Return how many records of each partition are not done yet. Raises BackendError."""

    async def stop(self) -> None:
        """Write down what is done, and let go of everything. Raises nothing.

        The listener is not asked for anything any more: who stops a source has drained it.
        """


class Sink(Protocol):
    """Where records go."""

    async def start(self, topics: Sequence[str]) -> None:
        """Begin, and check that these topics can be written to.

        Raises SetupError with the topic as its field, or BackendError.
        """

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        """Send a record; ``delivered`` is called once, later or at once, with what became of it.

        Records of one key to one topic keep their order. Never raises, and never drops a record
        because a buffer is full: it waits for room.
        """

    async def stop(self, seconds: float) -> None:
        """Wait at most so long until everything sent is delivered, then let go."""
