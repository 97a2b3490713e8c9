"""A bounded key-value file for computed rows, on SQLite."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from gpfn.log import Log

__all__ = ["RowStore"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB NOT NULL, used REAL NOT NULL)
WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_used ON rows (used);
"""
_KEYS_PER_QUERY = 500  # SQLite's oldest default for variables in a statement is 999


class RowStore:
    """Keeps at most ``max_bytes`` of values and drops those unused longest.

    A cache must never be why a request fails: any trouble with the file is logged and
    looks like an empty cache. Safe for several threads; several processes may share a
    file.
    """

    def __init__(self, path: Path, max_bytes: int, log: Log | None = None) -> None:
        self._log = log or Log("serve")
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._database = _open(path, self._log)
        self._size = self._measure()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the values that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, bytes] = {}
        with self._lock:
            try:
                for start in range(0, len(wanted), _KEYS_PER_QUERY):
                    found |= self._get_some(wanted[start : start + _KEYS_PER_QUERY])
            except sqlite3.Error as error:
                self._log.warning(f"row cache not read: {error}")
        return found

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep the values; a single one over the limit is not kept."""
        now = time.time()
        fitting = [
            (key, value, now) for key, value in rows.items() if len(value) <= self._max_bytes
        ]
        with self._lock:
            try:
                with self._database:
                    self._database.executemany(
                        "INSERT OR REPLACE INTO rows VALUES (?,?,?)", fitting
                    )
                self._size += sum(len(value) for _, value, _ in fitting)
                if self._size > self._max_bytes:
                    self._evict()
            except sqlite3.Error as error:
                self._log.warning(f"row cache not written: {error}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _get_some(self, keys: list[bytes]) -> dict[bytes, bytes]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM rows WHERE key IN ({marks})"  # noqa: S608 - only marks
        found = dict(self._database.execute(query, keys).fetchall())
        with self._database:
            self._database.executemany(
                "UPDATE rows SET used = ? WHERE key = ?", [(time.time(), key) for key in found]
            )
        return found

    def _evict(self) -> None:
        """Drop the oldest rows until a tenth of the limit is free.

        The size is measured first: replaced rows and other processes make the running
        figure an estimate.
        """
        self._size = self._measure()
        target = self._max_bytes * 9 // 10
        with self._database:
            for key, size in self._database.execute(
                "SELECT key, length(value) FROM rows ORDER BY used"
            ).fetchall():
                if self._size <= target:
                    break
                self._database.execute("DELETE FROM rows WHERE key = ?", (key,))
                self._size -= size

    def _measure(self) -> int:
        query = "SELECT coalesce(sum(length(value)), 0) FROM rows"
        return int(self._database.execute(query).fetchone()[0])


def _open(path: Path, log: Log) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        log.warning(f"row cache {path.name} is unreadable ({error}): starting an empty one")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    _keep_from_others(path)
    database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=OFF")  # a lost cache costs time, nothing else
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _keep_from_others(path: Path) -> None:
    """Let only this user read the file and those that SQLite makes beside it.

    SQLite gives those the mode of the file itself, so that has to be right before it is opened.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):  # only a store in use has all three
            os.chmod(f"{path}{suffix}", 0o600)
