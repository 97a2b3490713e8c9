"""The state of ``gpfn dev``: one SQLite file in write-ahead mode, or one in memory.

Every area (Fn's entities, OpenWhisk's, the calls) has tables of its own, which it makes with
`State.create`. All of it is used on one thread. What was committed outlives the process,
however it ends; only a power cut may take the last of it. The file is locked for as long as it
is open: two servers that change the same entities would not know of each other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gpfn.errors import GpfnError, SetupError
from gpfn.sqlite_file import connect_file, explained, is_busy, make_file

__all__ = ["State"]

_APPLICATION = 0x67706476
_VERSION = 2
_BUSY_SECONDS = 0.5
_CHECKPOINT_PAGES = 1000
_SETTINGS = (
    "PRAGMA locking_mode = EXCLUSIVE",  # before the first look at the file: no shared memory
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    "PRAGMA journal_size_limit = 0",
)


class State:
    """An open state; ``connection`` commits each statement by itself outside a transaction."""

    def __init__(self, place: Path | None = None) -> None:
        """Open the file ``place``, made if need be; None keeps everything in memory.

        Raises SetupError with the path as field: another version's, no state, not to be
        written, damaged, no room, or held by another ``gpfn dev``.
        """
        self.place = place
        self._last: list[Callable[[], object]] = []
        self.connection = _in_memory() if place is None else _in_file(place)

    def create(self, tables: Sequence[str]) -> None:
        """Make an area's tables and indexes: statements that do nothing when they are there.

        Raises SetupError as the state itself does.
        """
        with self.transaction():
            for statement in tables:
                self.connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of the block or nothing; a transaction in a transaction is part of it.

        What SQLite says of the file (full, damaged) is raised as BackendError or SetupError; what
        it says of the values (`sqlite3.IntegrityError`) as it is.
        """
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError) and not _of_values(error):
                raise self.explained(error) from None  # one line says all of it
            raise

    def before_close(self, work: Callable[[], object]) -> None:
        """Do some work when the state is closed in order, before that."""
        self._last.append(work)

    def explained(self, error: sqlite3.Error) -> GpfnError:
        """Return what SQLite says of the file, in our words."""
        return _told(error, self.place or Path(":memory:"))

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        while self._last:
            self._last.pop()()
        self.connection.close()


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def _in_file(place: Path) -> sqlite3.Connection:
    make_file(place)
    if not os.access(place, os.R_OK | os.W_OK):
        raise SetupError("cannot be written to; is it yours?", field=str(place))
    try:
        connection = connect_file(place, _BUSY_SECONDS)
    except sqlite3.Error as error:
        raise _told(error, place) from None
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        _take(connection, place)
    except sqlite3.Error as error:
        connection.close()
        raise _told(error, place) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _take(connection: sqlite3.Connection, place: Path) -> None:
    """See that the file is a state of this version, and lock it."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    fresh = not (tables or application or version)
    if not fresh and application != _APPLICATION:
        raise SetupError("is a SQLite database, but no state of gpfn dev", field=str(place))
    if not fresh and version != _VERSION:
        raise SetupError(
            f"is of version {version}, this gpfn reads version {_VERSION}: "
            "remove the file, or use --memory",
            field=str(place),
        )
    connection.execute("BEGIN IMMEDIATE")  # with locking_mode EXCLUSIVE the lock stays
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _told(error: sqlite3.Error, place: Path) -> GpfnError:
    if is_busy(error):
        return SetupError(
            "another gpfn dev has it open: end that one, or use --memory", field=str(place)
        )
    told = explained(error, place, "state of gpfn dev", _BUSY_SECONDS)
    return told if isinstance(told, SetupError) else SetupError(told.detail, field=str(place))


def _of_values(error: sqlite3.DatabaseError) -> bool:
    return isinstance(error, sqlite3.IntegrityError | sqlite3.DataError)
