"""An app, a function, a trigger: what is known of each, and its row in the state."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any, NamedTuple, TypeVar

from gpfn import json_exact
from gpfn.hosts.fn import call_id
from gpfn.local.fn.errors import FnError
from gpfn.local.state import State
from gpfn.log import timestamp

__all__ = ["App", "EntityRows", "Fn", "Trigger"]


class App(NamedTuple):
    """An app; times are RFC 3339 in UTC with milliseconds, as they are sent."""

    id: str
    name: str
    config: Mapping[str, str]
    annotations: Mapping[str, Any]
    syslog_url: str
    shape: str
    created_at: str
    updated_at: str


class Fn(NamedTuple):
    """A function of an app; ``memory`` is in MB, ``timeout`` and ``idle_timeout`` in seconds."""

    id: str
    name: str
    app_id: str
    image: str
    memory: int
    timeout: int
    idle_timeout: int
    config: Mapping[str, str]
    annotations: Mapping[str, Any]
    shape: str
    created_at: str
    updated_at: str


class Trigger(NamedTuple):
    """A way to a function: ``/t/APP`` and its ``source``, which begins with a slash."""

    id: str
    name: str
    app_id: str
    fn_id: str
    type: str
    source: str
    annotations: Mapping[str, Any]
    created_at: str
    updated_at: str


_TABLES = (
    """CREATE TABLE IF NOT EXISTS fn_apps (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL,
    annotations TEXT NOT NULL, syslog_url TEXT NOT NULL, shape TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS fn_fns (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, app_id TEXT NOT NULL, image TEXT NOT NULL,
    memory INTEGER NOT NULL, timeout INTEGER NOT NULL, idle_timeout INTEGER NOT NULL,
    config TEXT NOT NULL, annotations TEXT NOT NULL, shape TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, UNIQUE (app_id, name))""",
    """CREATE TABLE IF NOT EXISTS fn_triggers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, app_id TEXT NOT NULL, fn_id TEXT NOT NULL,
    type TEXT NOT NULL, source TEXT NOT NULL, annotations TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, UNIQUE (app_id, fn_id, name))""",
    "CREATE INDEX IF NOT EXISTS fn_trigger_names ON fn_triggers (app_id, name)",
    "CREATE INDEX IF NOT EXISTS fn_trigger_sources ON fn_triggers (app_id, source)",
)
_KINDS: Mapping[type, tuple[str, str]] = {
    App: ("fn_apps", "app"),
    Fn: ("fn_fns", "fn"),
    Trigger: ("fn_triggers", "trigger"),
}
_JSON = ("config", "annotations")
_JSON_AT = {
    kind: [at for at, name in enumerate(kind._fields) if name in _JSON]
    for kind in (App, Fn, Trigger)
}

_Entity = TypeVar("_Entity", App, Fn, Trigger)


class EntityRows:
    """The rows of all entities; names of tables and columns are those above, never a caller's."""

    def __init__(self, state: State) -> None:
        state.create(_TABLES)
        self.state = state

    def get(self, kind: type[_Entity], identifier: str) -> _Entity:
        """Return the one with an id. Raises FnError (404)."""
        found = self.find(kind, id=identifier)
        if found is None:
            raise FnError(f"{_KINDS[kind][1]} unknown")
        return found

    def find(self, kind: type[_Entity], **values: str) -> _Entity | None:
        """Return the first whose columns have these values."""
        where = " AND ".join(f"{column} = ?" for column in values)
        row = self._rows(kind, f"WHERE {where} LIMIT 1", [*values.values()]).fetchone()
        return None if row is None else _entity(kind, row)

    def list(
        self, kind: type[_Entity], values: Mapping[str, str], name: str, after: str, limit: int
    ) -> Sequence[_Entity]:
        """Return those with these values by their names: those behind ``after``, or one name."""
        wanted: dict[str, object] = {f"{column} = ?": value for column, value in values.items()}
        if after:
            wanted["name > ?"] = after
        if name:
            wanted["name = ?"] = name
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        rows = self._rows(kind, f"{where} ORDER BY name LIMIT ?", [*wanted.values(), limit])
        return [_entity(kind, row) for row in rows]

    def insert(self, kind: type[_Entity], values: Mapping[str, Any], taken: str) -> _Entity:
        """Keep a new one, with an id and times. Raises FnError of the kind ``taken``."""
        now = timestamp(time_ns())
        made = kind(**values, id=call_id(), created_at=now, updated_at=now)
        table = _KINDS[kind][0]
        marks = ", ".join("?" * len(made))
        query = f"INSERT INTO {table} ({', '.join(kind._fields)}) VALUES ({marks})"  # noqa: S608
        try:
            with self.state.transaction() as connection:
                connection.execute(query, _row(made))
        except sqlite3.IntegrityError:
            raise FnError(taken) from None
        return made

    def write(self, old: _Entity, new: _Entity) -> _Entity:
        """Keep what has changed, with the time. Raises FnError (500) for a name that is taken."""
        if new == old:
            return old
        new = new._replace(updated_at=timestamp(time_ns()))
        columns = ", ".join(f"{column} = ?" for column in new._fields)
        query = f"UPDATE {_KINDS[type(new)][0]} SET {columns} WHERE id = ?"  # noqa: S608
        try:
            with self.state.transaction() as connection:
                connection.execute(query, (*_row(new), new.id))
        except sqlite3.IntegrityError:
            raise FnError("internal") from None
        return new

    def _rows(self, kind: type[_Entity], rest: str, values: Sequence[object]) -> sqlite3.Cursor:
        query = f"SELECT {', '.join(kind._fields)} FROM {_KINDS[kind][0]} {rest}"  # noqa: S608
        return self.state.connection.execute(query, values)


def _row(entity: App | Fn | Trigger) -> tuple[object, ...]:
    return tuple(
        json_exact.dumps(value).decode() if name in _JSON else value
        for name, value in zip(entity._fields, entity, strict=True)
    )


def _entity(kind: type[_Entity], row: Sequence[Any]) -> _Entity:
    values = list(row)
    for at in _JSON_AT[kind]:
        values[at] = {} if values[at] == "{}" else json_exact.loads(values[at].encode())
    return kind._make(values)
