"""Which records of a topic are looked at: by offset, by time, or the newest ones."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from gpfn.bridge.record import Record

__all__ = ["Batches", "Span", "last_of", "newest_from", "without"]

Batches: TypeAlias = "Generator[Sequence[Record], None, None]"
"""Records as they come, some at a time; none now and then while nothing comes."""

_WIDER = 4


class Span(NamedTuple):
    """Which records of a topic: those within every bound that is not None.

    ``first`` and ``last`` are offsets, both included, in the ``partition``. ``since`` is
    included and ``until`` is not: milliseconds since 1970. Of what is there when it begins,
    ``newest`` are the last so many records of each partition (in Kafka: so many offsets).
    """

    first: int | None = None
    last: int | None = None
    since: int | None = None
    until: int | None = None
    partition: int | None = None
    newest: int | None = None

    def holds(self, record: Record) -> bool:
        """Say whether a record is within the bounds; how new it is does not matter."""
        return (
            (self.first is None or record.offset >= self.first)
            and (self.last is None or record.offset <= self.last)
            and (self.since is None or record.time >= self.since)
            and (self.until is None or record.time < self.until)
            and (self.partition is None or record.partition == self.partition)
        )


def newest_from(
    count: int, low: int, end: int, records_from: Callable[[int], int]
) -> tuple[int, int]:
    """Return an offset from which the newest records come, and how many too many they are.

    Offsets have gaps, so one looks further back until there are enough. That costs no more than
    some times as many records as are wanted, however many the topic has.
    """
    width = max(count, 1)
    while True:
        first = max(low, end - width)
        found = records_from(first)
        if first == low or found >= count:
            return first, max(0, found - count)
        width *= _WIDER


def without(count: int, batches: Batches) -> Batches:
    """Yield what comes after the first so many records."""
    with closing(batches):
        for records in batches:
            left = records[count:] if count else records
            count = max(0, count - len(records))
            if left or not records:
                yield left


def last_of(batches: Batches, count: int) -> Batches:
    """Yield the last so many of what is there now, and then all that comes."""
    kept: list[Record] = []
    for records in batches:
        if not records:
            break
        kept = [*kept, *records][-count:] if count else []
    yield kept
    yield from batches  # goes on where it was
