"""What became of each state of the data: a line of JSON each, written before anything follows.

A line that was cut off by a crash is passed over. So is one that says what no version of this
program has said: the worst that follows is a training more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gpfn.errors import SetupError

__all__ = ["FAILED", "PUSHED", "TRAINED", "JournalEntry", "TrainingJournal"]

TRAINED, PUSHED, FAILED = "trained", "pushed", "failed"
_STATES = (TRAINED, PUSHED, FAILED)


class JournalEntry(NamedTuple):
    """What became of the data with this digest, and what else is to be known of it."""

    digest: str
    state: str
    told: Mapping[str, Any]


class TrainingJournal:
    """A file that only grows; the last word on a digest counts."""

    def __init__(self, path: Path) -> None:
        """Read what is there. Raises SetupError when it cannot be."""
        self._path = path
        self._entries: dict[str, JournalEntry] = {}
        self.trained = ""
        """The digest of the data that the last good model was trained on."""
        self._torn = False
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise SetupError(f"cannot be read: {error.strerror}", field=str(path)) from error
        self._torn = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            self._take(line)

    def find(self, digest: str) -> JournalEntry | None:
        """Return the last word on a digest."""
        return self._entries.get(digest)

    def add(self, digest: str, state: str, **told: Any) -> JournalEntry:
        """Write what became of a digest. Raises SetupError when it cannot be written."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"digest": digest, "state": state, "when": when, **told}
        line = ("\n" if self._torn else "") + json.dumps(row, ensure_ascii=False) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._torn = True  # perhaps half of it is there
            told_text = f"cannot be written: {error.strerror}"
            raise SetupError(told_text, field=str(self._path)) from error
        self._torn = False
        return self._note(row)

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return  # a line that was cut off: what it said is done once more
        if not isinstance(row, dict) or row.get("state") not in _STATES:
            return
        if isinstance(row.get("digest"), str):
            self._note(row)

    def _note(self, row: Mapping[str, Any]) -> JournalEntry:
        told = {key: value for key, value in row.items() if key not in ("digest", "state")}
        before = self._entries.get(row["digest"])
        if row["state"] == PUSHED and before:
            told = {**before.told, **told}
        entry = self._entries[row["digest"]] = JournalEntry(row["digest"], row["state"], told)
        if entry.state == TRAINED:
            self.trained = entry.digest
        return entry
