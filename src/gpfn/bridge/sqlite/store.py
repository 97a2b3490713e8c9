"""A queue's file, open: records come in at the end of topics and go when all are done with them.

For one thread. What changes something is called inside of :meth:`QueueStore.transaction`, which
waits for other processes and is on the disk when it ends. `queue_leases` has what groups do.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gpfn.bridge.sqlite.file import BUSY_SECONDS, OFFSET_BITS, connect
from gpfn.bridge.sqlite.leases import Leases, Subscription
from gpfn.bridge.sqlite.owners import Owners
from gpfn.errors import SetupError

__all__ = ["QueueRow", "QueueStore", "check_name"]

_LONGEST_NAME = 249  # as in Kafka
_SWEPT = 5000
"""Most records that are deleted in one transaction."""
_LONG_LOG = 24 << 20
"""Bytes of the write-ahead file; SQLite begins to empty it at 16 MB."""
_LOOK_SECONDS = 1.0
_SHORT_WAIT = 0.2
_FREE_PAGES = 4096
"""Pages (of 4 KiB) without content that stay for what comes next."""

_LOWEST = """SELECT min(ifnull(
    (SELECT min(offset) FROM claims WHERE subscription = subscriptions.id), next))
    FROM subscriptions WHERE topic = ?"""


class QueueRow(NamedTuple):
    """A record that is to be written: ``headers`` are packed, ``time`` is ms since 1970."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes | None
    time: int


class QueueStore:
    """One queue's file, open. Every method may raise sqlite3.Error."""

    def __init__(self, path: Path, *, create: bool = True, synchronous: str = "full") -> None:
        """Open it; raises SetupError and BackendError as `queue_file.connect` does."""
        self.path = path
        self.database = connect(path, create=create, synchronous=synchronous)
        self._topics: dict[str, int] = {}
        self._commits = 0
        self._inode = self._number()
        self._log = f"{path}-wal"
        self._next_look = 0.0
        self.log_bytes = 0
        """How long the write-ahead file was when it was looked at last."""
        self.leases = Leases(self.database)
        try:
            self.owners = Owners(self.database, path)
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        """Close the files; SQLite empties the write-ahead file when nobody else has it open."""
        self.owners.close()
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of the block or nothing; it is on the disk when the block has ended.

        Raises SetupError when the file is not there any more: what is written would be nowhere.
        """
        if self._number() != self._inode:
            raise SetupError("was deleted or replaced while in use", field=str(self.path))
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            self._topics.clear()  # some may have been made just now
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise
        self._commits += 1

    def version(self) -> tuple[int, int]:
        """Return what is another value once anybody has changed the queue."""
        found: int = self.database.execute("PRAGMA data_version").fetchone()[0]
        return found, self._commits

    def topic(self, name: str) -> int:
        """Return a topic's number; it is made if need be."""
        number = self._topics.get(name)
        if number is None:
            add = "INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING"
            self.database.execute(add, (name,))
            query = "SELECT id FROM topics WHERE name = ?"
            number = self._topics[name] = int(self.database.execute(query, (name,)).fetchone()[0])
        return number

    def subscribe(self, topic: str, group: str, keep: float | None = None) -> Subscription:
        """Return a group's subscription; a new one begins with the oldest record.

        ``keep`` is how many seconds a record stays although all are done with it; None leaves
        that as it is.
        """
        number = self.topic(topic)
        if keep is not None:
            self.database.execute("UPDATE topics SET keep = ? WHERE id = ?", (keep, number))
        return self.leases.subscribe(topic, number, group)

    def append(self, rows: Sequence[QueueRow]) -> None:
        """Write records at the end of their topics, in the order given."""
        ends: dict[int, int] = {}
        values = []
        for row in rows:
            number = self.topic(row.topic)
            if number not in ends:
                query = "SELECT next FROM topics WHERE id = ?"
                ends[number] = self.database.execute(query, (number,)).fetchone()[0]
            identity = number << OFFSET_BITS | ends[number]
            ends[number] += 1
            lane = None if row.key is None else zlib.crc32(row.key)
            size = sum([len(part) for part in row[1:4] if part is not None])
            values.append((identity, size, lane, row.time, row.key, row.headers, row.value))
        self.database.executemany("INSERT INTO records VALUES (?,?,?,?,?,?,?)", values)
        moved = [(end, number) for number, end in ends.items()]
        self.database.executemany("UPDATE topics SET next = ? WHERE id = ?", moved)

    def sweep(self, topic: int) -> None:
        """Delete the oldest records of a topic that every group is done with."""
        lowest = self.database.execute(_LOWEST, (topic,)).fetchone()[0]
        base = topic << OFFSET_BITS
        first = self.database.execute("SELECT min(id) FROM records WHERE id >= ?", (base,))
        oldest = first.fetchone()[0]
        if lowest is None or oldest is None or oldest >= base + lowest:
            return
        end = min(base + lowest, oldest + _SWEPT)
        query = "SELECT keep FROM topics WHERE id = ?"
        keep = self.database.execute(query, (topic,)).fetchone()[0]
        if keep > 0:
            query = "SELECT id FROM records WHERE id >= ? AND id < ? AND time > ? ORDER BY id"
            young = (time.time() - keep) * 1000
            found = self.database.execute(f"{query} LIMIT 1", (oldest, end, young)).fetchone()
            end = found[0] if found else end
        self.database.execute("DELETE FROM records WHERE id >= ? AND id < ?", (oldest, end))

    def bound_log(self) -> None:
        """Empty the write-ahead file when it has grown long.

        SQLite does so by itself, but never while anybody reads: several processes that look
        for records would keep it growing.
        """
        self.log_bytes = self._measure_log()
        now = time.monotonic()
        if self.log_bytes > _LONG_LOG and now > self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._empty_log(_LOOK_SECONDS)

    def shrink(self) -> bool:
        """Give room back to the disk, as far as that goes in a moment; True when there is more.

        Not in a transaction.
        """
        free: int = self.database.execute("PRAGMA freelist_count").fetchone()[0]
        spare = free - _FREE_PAGES
        if spare > 0:
            much = min(spare, _FREE_PAGES)
            self.database.execute(f"PRAGMA incremental_vacuum({much})").fetchall()
        self._empty_log(_SHORT_WAIT)
        return spare > _FREE_PAGES

    def _empty_log(self, seconds: float) -> None:
        """Empty the write-ahead file; waits so long for others who read from it."""
        self.database.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.database.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        self.log_bytes = self._measure_log()

    def _measure_log(self) -> int:
        try:
            return os.path.getsize(self._log)
        except OSError:
            return 0

    def _number(self) -> int:
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return 0


def check_name(name: str, field: str) -> None:
    """Raise SetupError when ``name`` is none that a topic or a group may have."""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise SetupError(f"a name has 1 to {_LONGEST_NAME} printable characters", field=field)
