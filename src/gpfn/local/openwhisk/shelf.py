"""Where entities lie in the state: all kinds in one table, by their paths.

A path names one entity, whatever its kind: a trigger cannot be called as an action is. Code lies
in a table of its own, so that lists and calls do not read it. A revision is given once, also
over restarts, and the last changed has the highest.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any, NamedTuple

from gpfn import json_exact
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.refusing import misplaced
from gpfn.local.state import State

__all__ = ["EntityShelf", "Shelved", "now_ms"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS whisk_entities (
        path TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        folder TEXT NOT NULL,
        revision INTEGER NOT NULL,
        trigger TEXT,
        document TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS whisk_kinds ON whisk_entities (kind, revision)",
    "CREATE INDEX IF NOT EXISTS whisk_folders ON whisk_entities (folder, revision)",
    """CREATE INDEX IF NOT EXISTS whisk_links ON whisk_entities (trigger)
        WHERE trigger IS NOT NULL""",
    "CREATE TABLE IF NOT EXISTS whisk_code (path TEXT PRIMARY KEY, code TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS whisk_revisions (last INTEGER NOT NULL)",
    """INSERT INTO whisk_revisions (last)
        SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM whisk_revisions)""",
)

_ALL_LISTED = """SELECT document, revision FROM whisk_entities WHERE kind = ?
    ORDER BY revision DESC LIMIT ? OFFSET ?"""
_FOLDER_LISTED = """SELECT document, revision FROM whisk_entities WHERE kind = ? AND folder = ?
    ORDER BY revision DESC LIMIT ? OFFSET ?"""
_ALL_COUNTED = "SELECT count(*) FROM whisk_entities WHERE kind = ?"
_FOLDER_COUNTED = "SELECT count(*) FROM whisk_entities WHERE kind = ? AND folder = ?"


class Shelved(NamedTuple):
    """An entity as it is kept: its document, and its revision."""

    document: dict[str, Any]
    revision: int


class EntityShelf:
    """The tables of entities."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.create(_TABLES)

    def get(self, kind: str, ref: EntityRef) -> Shelved | None:
        """Return an entity. Raises WhiskRefusal (409) for one of another kind."""
        row = self._execute(
            "SELECT kind, document, revision FROM whisk_entities WHERE path = ?", (str(ref),)
        ).fetchone()
        if row is not None and row[0] != kind:
            raise misplaced()
        return None if row is None else Shelved(_loads(row[1]), row[2])

    def put(
        self, kind: str, ref: EntityRef, document: dict[str, Any], *, trigger: str | None = None
    ) -> int:
        """Keep an entity; ``trigger`` is the path of a rule's. Returns its new revision."""
        text = json_exact.dumps(document).decode()
        with self._state.transaction():
            revision = self._next_revision()
            self._execute(
                "INSERT OR REPLACE INTO whisk_entities VALUES (?, ?, ?, ?, ?, ?)",
                (str(ref), kind, ref.path, revision, trigger, text),
            )
        return revision

    def rewrite(self, ref: EntityRef, document: dict[str, Any], *, trigger: str | None) -> None:
        """Keep a change that is none of the version: an entity's place in lists stays too."""
        text = json_exact.dumps(document).decode()
        change = "UPDATE whisk_entities SET document = ?, trigger = ? WHERE path = ?"
        self._execute(change, (text, trigger, str(ref)))

    def delete(self, ref: EntityRef) -> None:
        """Remove an entity and its code."""
        with self._state.transaction():
            self._execute("DELETE FROM whisk_entities WHERE path = ?", (str(ref),))
            self._execute("DELETE FROM whisk_code WHERE path = ?", (str(ref),))

    def newest(self, kind: str, folder: str | None, skip: int, limit: int) -> list[Shelved]:
        """Return entities of a kind, of one folder if it is named, the last changed first."""
        if folder is None:
            rows = self._execute(_ALL_LISTED, (kind, limit, skip))
        else:
            rows = self._execute(_FOLDER_LISTED, (kind, folder, limit, skip))
        return [Shelved(_loads(document), revision) for document, revision in rows]

    def count(self, kind: str, folder: str | None) -> int:
        """Return how many there are."""
        if folder is None:
            return int(self._execute(_ALL_COUNTED, (kind,)).fetchone()[0])
        return int(self._execute(_FOLDER_COUNTED, (kind, folder)).fetchone()[0])

    def linked(self, trigger: EntityRef) -> list[Shelved]:
        """Return a trigger's rules by their names."""
        query = "SELECT document, revision FROM whisk_entities WHERE trigger = ? ORDER BY path"
        rows = self._execute(query, (str(trigger),))
        return [Shelved(_loads(document), revision) for document, revision in rows]

    def code(self, ref: EntityRef) -> str:
        """Return the code that lies at a path; "" without any."""
        query = "SELECT code FROM whisk_code WHERE path = ?"
        row = self._execute(query, (str(ref),)).fetchone()
        return "" if row is None else str(row[0])

    def put_code(self, ref: EntityRef, code: str) -> None:
        """Keep the code of an action."""
        self._execute("INSERT OR REPLACE INTO whisk_code VALUES (?, ?)", (str(ref), code))

    def _next_revision(self) -> int:
        change = "UPDATE whisk_revisions SET last = last + 1 RETURNING last"
        return int(self._execute(change).fetchone()[0])

    def _execute(self, query: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self._state.connection.execute(query, values)


def now_ms() -> int:
    """Return the time in ms since the epoch, as ``updated`` has it."""
    return time.time_ns() // 1_000_000


def _loads(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json_exact.loads(text.encode())  # type: ignore[assignment]
    return document
