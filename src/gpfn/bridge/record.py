"""A record: what a queue holds and hands over, whichever queue it is.

Key, headers and value are bytes as they came, so that a dead letter is byte for byte what the
producer sent. Header names are text: every queue that has headers names them so.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Header", "Outgoing", "Partition", "Record"]

Header: TypeAlias = tuple[str, bytes | None]
"""A header; its value may be null in Kafka. A name may occur more than once."""

Partition: TypeAlias = tuple[str, int]
"""A topic and the number of one of its partitions: within it records have an order."""


class Record(NamedTuple):
    """A record that came from a source.

    ``offset`` grows within its partition and names the record there. ``value`` is None in a
    tombstone. ``time`` is when it was written, in milliseconds since 1970, or -1.
    ``attempts`` are the calls that were made for it before it came this time.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    time: int = -1
    attempts: int = 0

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"")
        return size


class Outgoing(NamedTuple):
    """A record that is to be written to a topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
