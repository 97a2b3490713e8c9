"""The file of a queue: how it is opened and what is in it, and its errors in our words.

A queue is one SQLite database in write-ahead mode, for the processes of one machine.

    topics          a name, the offset that its next record gets, and how long records are kept
    records         the records; ``id`` is the topic's number << 40 | the offset, so that a topic
                    lies in one piece and is read in its order without an index
    subscriptions   a group's place in a topic: what is before ``next`` was given to somebody
    claims          of what was given, what is not done: who has it, how often it was tried
    owners          the sources that run now, and until when each says so (see `owners`)

A claim without an owner is free. ``lane`` is a checksum of the key: records of one key have
one lane. Headers are a line of JSON, which says names and lengths, and then their values.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from gpfn import sqlite_file
from gpfn.bridge.record import Header
from gpfn.errors import GpfnError, SetupError
from gpfn.sqlite_file import connect_file, is_busy, make_file

__all__ = [
    "BUSY_SECONDS",
    "OFFSET_BITS",
    "connect",
    "explained",
    "pack_headers",
    "unpack_headers",
]

BUSY_SECONDS = 20.0
"""How long to wait for another process that is writing."""

OFFSET_BITS = 40

_APPLICATION = 0x67704551
_VERSION = 1
_OLDEST = (3, 35)
"""The first SQLite that has ``RETURNING``."""
_CHECKPOINT_PAGES = 4000
_SHORTEST_WAIT = 0.01

_SCHEMA = f"""
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next INTEGER NOT NULL DEFAULT 0,
    keep REAL NOT NULL DEFAULT 0);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    lane INTEGER,
    time INTEGER NOT NULL,
    key BLOB,
    headers BLOB,
    value BLOB);
CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL REFERENCES topics,
    name TEXT NOT NULL,
    next INTEGER NOT NULL DEFAULT 0,
    holes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, name));
CREATE TABLE claims (
    subscription INTEGER NOT NULL REFERENCES subscriptions,
    offset INTEGER NOT NULL,
    lane INTEGER,
    owner INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, offset)) WITHOUT ROWID;
CREATE INDEX free_claims ON claims (subscription, offset) WHERE owner IS NULL;
CREATE INDEX held_lanes ON claims (subscription, lane, owner) WHERE lane IS NOT NULL;
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    until REAL NOT NULL);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""


def connect(path: Path, *, create: bool = True, synchronous: str = "full") -> sqlite3.Connection:
    """Open the queue in a file, made if need be, for the thread that calls this.

    ``synchronous`` is ``full`` (what was committed outlives a power cut) or ``normal`` (it
    outlives the process alone). Raises SetupError with the path as field for what is no queue
    of ours or cannot be written to, BackendError when another process is in the way.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise SetupError(f"SQLite {sqlite3.sqlite_version} is too old: a queue needs 3.35")
    if create:
        make_file(path)
    elif not path.is_file():
        raise SetupError("there is no such queue", field=str(path))
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _opened(path, synchronous)
        except sqlite3.Error as error:
            # SQLite does not wait by itself while the mode of a file is changed
            if not is_busy(error) or time.monotonic() > until:
                raise explained(error, path) from error
        time.sleep(_SHORTEST_WAIT)


def _opened(path: Path, synchronous: str) -> sqlite3.Connection:
    database = connect_file(path, BUSY_SECONDS)
    try:
        if not _is_ours(database, path):
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _set_mode(database, path)
            database.execute("BEGIN IMMEDIATE")
            if not _is_ours(database, path):  # another process may have been faster
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
            database.execute("COMMIT")
        _set_mode(database, path)
        database.execute(f"PRAGMA synchronous = {'FULL' if synchronous == 'full' else 'NORMAL'}")
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute("PRAGMA journal_size_limit = 0")
        database.execute("PRAGMA secure_delete = OFF")
    except BaseException:
        database.close()
        raise
    return database


def _is_ours(database: sqlite3.Connection, path: Path) -> bool:
    """Say whether the tables are there; raises SetupError when they are somebody else's."""
    tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if not (tables or application or version):
        return False
    if application != _APPLICATION:
        raise SetupError("is a SQLite database, but no queue of gpfn", field=str(path))
    if version != _VERSION:
        raise SetupError(
            f"is a queue of version {version}; this gpfn reads version {_VERSION}", field=str(path)
        )
    return True


def _set_mode(database: sqlite3.Connection, path: Path) -> None:
    mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise SetupError("lies where processes cannot share memory", field=str(path))


def explained(error: sqlite3.Error, path: Path) -> GpfnError:
    """Return an error of SQLite as one of ours, with the path as its field.

    A BackendError may pass by itself; a SetupError does not.
    """
    return sqlite_file.explained(error, path, "queue", BUSY_SECONDS)


def pack_headers(headers: Sequence[Header]) -> bytes | None:
    """Return headers as one value of a column; raises ValueError for a name that is no text."""
    if not headers:
        return None
    lengths = [(name, None if value is None else len(value)) for name, value in headers]
    try:
        line = orjson.dumps(lengths)
    except TypeError as error:
        raise ValueError(f"a header's name: {error}") from None
    return b"\n".join([line, b"".join([value for _, value in headers if value is not None])])


def unpack_headers(packed: bytes | None) -> tuple[Header, ...]:
    """Return the headers that a column holds; raises ValueError when it is damaged."""
    if packed is None:
        return ()
    end = packed.index(b"\n")
    at = end + 1
    headers: list[Header] = []
    try:
        for name, length in orjson.loads(packed[:end]):
            stop = at if length is None else at + length
            headers.append((str(name), None if length is None else packed[at:stop]))
            at = stop
    except TypeError as error:
        raise ValueError(f"headers that cannot be read: {error}") from None
    return tuple(headers)
