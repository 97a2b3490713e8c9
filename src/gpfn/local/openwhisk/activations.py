"""Activations: what OpenWhisk remembers of every call, and for how long it is kept here.

A record appears when its activation is over, and never changes. Source: WhiskActivation.scala
and the views of its database (DocumentHandler.scala).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from gpfn.json_exact import dumps, loads
from gpfn.local.bounded_rows import BoundedRows, RowBounds
from gpfn.local.openwhisk.naming import GUEST
from gpfn.local.openwhisk.results import ActivationResponse, whisk_error
from gpfn.local.state import State

__all__ = ["WhiskActivation", "WhiskActivations"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS whisk_activations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
        start INTEGER NOT NULL, bytes INTEGER NOT NULL,
        summary BLOB NOT NULL, document BLOB NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS whisk_activations_start
        ON whisk_activations (start, number)""",
    """CREATE INDEX IF NOT EXISTS whisk_activations_path
        ON whisk_activations (path, start, number)""",
    """CREATE TABLE IF NOT EXISTS whisk_started (
        id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
        start INTEGER NOT NULL, annotations BLOB NOT NULL, cause TEXT NOT NULL) WITHOUT ROWID""",
)
_INTERRUPTED = "The platform ended while the action ran; it is not run again."
_NEWEST = " ORDER BY start DESC, number DESC"


class WhiskActivation(NamedTuple):
    """One activation; ``start``, ``end`` and ``duration`` are in ms, ``end`` since the epoch.

    ``end`` is 0 for a trigger's, which has none. ``path`` is what lists look for:
    ``PACKAGE/NAME``, or the name alone; called by a binding, its name is that of the package.
    ``cause`` is the id of the sequence that it is part of.
    """

    id: str
    path: str
    name: str
    version: str
    start: int
    response: ActivationResponse
    end: int = 0
    duration: int = 0
    annotations: tuple[tuple[str, Any], ...] = ()
    logs: tuple[str, ...] = ()
    cause: str = ""

    def document(self) -> dict[str, Any]:
        """Return all of it, as it is shown to people."""
        ended = {"end": self.end, "duration": self.duration} if self.end else {}
        return {
            **self._common(),
            "subject": GUEST,
            **ended,
            "response": self.response.document(),
            "logs": list(self.logs),
        }

    def summary(self) -> dict[str, Any]:
        """Return what lists have of it."""
        if not self.end:
            return self._common()
        duration = self.end - self.start
        return {
            **self._common(),
            "end": self.end,
            "duration": duration,
            "statusCode": self.response.code,
        }

    def _common(self) -> dict[str, Any]:
        return {
            "namespace": GUEST,
            "name": self.name,
            "version": self.version,
            "activationId": self.id,
            "start": self.start,
            "annotations": [{"key": key, "value": value} for key, value in self.annotations],
            "publish": False,
            **({"cause": self.cause} if self.cause else {}),
        }


class WhiskActivations:
    """The activations of a state, bounded by their number, their bytes and their age."""

    def __init__(
        self,
        state: State,
        *,
        most: int = 10_000,
        most_bytes: int = 256 << 20,
        age_seconds: float = 7 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        state.create(_TABLES)
        self._state = state
        self._age, self._clock = age_seconds, clock
        bounds = RowBounds("whisk_activations", "bytes", "start", most, most_bytes)
        self._rows = BoundedRows(state, bounds)
        self._settle_interrupted()

    def begin(self, activation: WhiskActivation) -> None:
        """Note that an activation was accepted: it gets a record, whatever becomes of us.

        Its ``response`` and times are not looked at; `put` of its id ends it.
        """
        one = activation
        row = (one.id, one.path, one.name, one.version, one.start, dumps(one.annotations))
        self._state.connection.execute(
            "INSERT INTO whisk_started VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, one.cause)
        )

    def forget(self, identifier: str) -> None:
        """Drop an activation that was not accepted after all."""
        self._state.connection.execute("DELETE FROM whisk_started WHERE id = ?", (identifier,))

    def put(self, activation: WhiskActivation) -> None:
        """Keep an activation that is over; the oldest go when there are too many."""
        summary, document = dumps(activation.summary()), dumps(activation.document())
        size = len(summary) + len(document)
        row = (activation.id, activation.path, activation.start, size, summary, document)
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO whisk_activations (id, path, start, bytes, summary, document)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
            self.forget(activation.id)
            self._rows.added(1, size)
            self._drop_old()

    def get(self, identifier: str) -> dict[str, Any] | None:
        """Return the document of one; None when it is not over, or no more there."""
        query = "SELECT document FROM whisk_activations WHERE id = ?"
        row = self._state.connection.execute(query, (identifier,)).fetchone()
        return None if row is None else cast("dict[str, Any]", loads(row[0]))

    def list(
        self,
        *,
        path: str = "",
        since: int | None = None,
        upto: int | None = None,
        skip: int = 0,
        limit: int = 30,
        documents: bool = False,
    ) -> Sequence[bytes]:
        """Return the JSON texts of the newest, summaries or all of them.

        ``since`` and ``upto`` bound their start, in ms since the epoch; both belong to it.
        """
        where, values = _where(path, since, upto)
        column = "document" if documents else "summary"
        query = f"SELECT {column} FROM whisk_activations{where}{_NEWEST} LIMIT ? OFFSET ?"  # noqa: S608
        rows = self._state.connection.execute(query, (*values, limit, skip))
        return [row[0] for row in rows]

    def count(
        self, *, path: str = "", since: int | None = None, upto: int | None = None, skip: int = 0
    ) -> int:
        """Return how many there are beyond the first ``skip``."""
        where, values = _where(path, since, upto)
        query = f"SELECT COUNT(*) FROM whisk_activations{where}"  # noqa: S608
        found: int = self._state.connection.execute(query, values).fetchone()[0]
        return max(0, found - skip)

    def _settle_interrupted(self) -> None:
        """Give what ran when the process before this one ended a record that says so."""
        now, response = int(1000 * self._clock()), whisk_error(_INTERRUPTED)
        rows = self._state.connection.execute("SELECT * FROM whisk_started ORDER BY start")
        for identifier, path, name, version, start, text, cause in rows.fetchall():
            known = tuple((key, value) for key, value in cast("list[Any]", loads(text)))
            end = max(now, start)
            one = WhiskActivation(
                identifier, path, name, version, start, response, end, end - start
            )
            self.put(one._replace(annotations=known, cause=cause))

    def _drop_old(self) -> None:
        self._rows.remove_before(int(1000 * (self._clock() - self._age)))
        self._rows.shorten()


def _where(path: str, since: int | None, upto: int | None) -> tuple[str, list[str | int]]:
    wanted: list[tuple[str, str | int]] = []
    if path:
        wanted.append(("path = ?", path))
    if since is not None:
        wanted.append(("start >= ?", since))
    if upto is not None:
        wanted.append(("start <= ?", upto))
    clauses = " AND ".join(clause for clause, _ in wanted)
    return (f" WHERE {clauses}" if clauses else ""), [value for _, value in wanted]
