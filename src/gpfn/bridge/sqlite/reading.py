"""What people ask of a queue beside its bridge: what is in it, who is behind, and clearing up.

Every function takes a `QueueStore` that is open in the same thread and may raise
sqlite3.Error, which :func:`open_queue` tells in our words. Nothing here leases a record or
moves a group; records are read in short steps, so that nobody has to wait for a reader.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gpfn.bridge.record import Record
from gpfn.bridge.sqlite.file import OFFSET_BITS, explained
from gpfn.bridge.sqlite.leases import read_row
from gpfn.bridge.sqlite.store import QueueStore
from gpfn.errors import SetupError

__all__ = [
    "GroupLag",
    "TopicState",
    "drop_records",
    "forget_group",
    "list_groups",
    "list_topics",
    "open_queue",
    "read_records",
]

_STEP = 100
_LAST = (1 << OFFSET_BITS) - 1


class TopicState(NamedTuple):
    """A topic: the offset of its oldest record, the one that the next gets, and the keeping.

    ``keep`` is how many seconds a record stays although all groups are done with it.
    """

    name: str
    first: int
    next: int
    keep: float


class GroupLag(NamedTuple):
    """A group's place in a topic: how many records it has not done, and how many are leased."""

    group: str
    topic: str
    lag: int
    leased: int


@contextmanager
def open_queue(path: Path) -> Iterator[QueueStore]:
    """Open a queue that is there. Raises SetupError or BackendError, in the block as well."""
    store = QueueStore(path, create=False)
    try:
        yield store
    except sqlite3.Error as error:
        raise explained(error, path) from error
    finally:
        store.close()


def list_topics(store: QueueStore) -> list[TopicState]:
    """Return the topics, by name."""
    rows = store.database.execute("SELECT id, name, next, keep FROM topics ORDER BY name")
    found = []
    for number, name, following, keep in rows.fetchall():
        base = number << OFFSET_BITS
        query = "SELECT min(id) FROM records WHERE id >= ? AND id < ?"
        oldest = store.database.execute(query, (base, base + following)).fetchone()[0]
        first = following if oldest is None else oldest - base
        found.append(TopicState(name, first, following, keep))
    return found


def list_groups(store: QueueStore) -> list[GroupLag]:
    """Return how far every group is in each of its topics."""
    query = """SELECT subscriptions.name, topics.name,
        topics.next - subscriptions.next - holes + count(claims.offset), count(claims.owner)
        FROM subscriptions JOIN topics ON topics.id = subscriptions.topic
        LEFT JOIN claims ON claims.subscription = subscriptions.id
        GROUP BY subscriptions.id ORDER BY 1, 2"""
    return [GroupLag(*row) for row in store.database.execute(query).fetchall()]


def read_records(
    store: QueueStore,
    topic: str,
    *,
    first: int = 0,
    last: int | None = None,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[Record]:
    """Yield the records of a topic, from offset ``first`` to ``last`` with both of them.

    ``since`` and ``until`` are milliseconds since 1970: records from the one on and before the
    other. Their ``attempts`` are 0. Raises SetupError for a topic that is not there.
    """
    number = _topic_id(store, topic)
    base = number << OFFSET_BITS
    at = base + min(max(first, 0), _LAST)
    end = base + (_LAST if last is None else min(last, _LAST))
    query = """SELECT id, size, time, key, headers, value FROM records
        WHERE id >= ? AND id <= ? AND time >= ? AND time < ? ORDER BY id LIMIT ?"""
    times = (-1 if since is None else since, 1 << 62 if until is None else until)
    while rows := store.database.execute(query, (at, end, *times, _STEP)).fetchall():
        yield from [read_row(topic, base, row, 0) for row in rows]
        at = rows[-1][0] + 1


def drop_records(store: QueueStore, topic: str, offsets: Iterable[int]) -> int:
    """Delete records for every group, whoever has leased them; returns how many there were."""
    dropped = 0
    with store.transaction():
        number = _topic_id(store, topic)
        for offset in offsets:
            if not 0 <= offset <= _LAST:
                continue  # there is no such record
            identity = number << OFFSET_BITS | offset
            gone = store.database.execute("DELETE FROM records WHERE id = ?", (identity,))
            if gone.rowcount:
                dropped += 1
                store.leases.forget(number, offset)
    return dropped


def forget_group(store: QueueStore, group: str) -> int:
    """Forget a group, which no records are kept for any more; returns how many topics it read.

    A source of it that runs receives nothing more.
    """
    with store.transaction():
        query = "SELECT id, topic FROM subscriptions WHERE name = ?"
        found = store.database.execute(query, (group,)).fetchall()
        for subscription, _ in found:
            store.database.execute("DELETE FROM claims WHERE subscription = ?", (subscription,))
            store.database.execute("DELETE FROM subscriptions WHERE id = ?", (subscription,))
    return len(found)


def _topic_id(store: QueueStore, topic: str) -> int:
    row = store.database.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
    if row is None:
        raise SetupError("the queue has no such topic", field=topic)
    return int(row[0])
