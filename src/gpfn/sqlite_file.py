"""A SQLite file of ours: made for this user alone, and SQLite's errors in our words."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from gpfn.errors import BackendError, GpfnError, SetupError

__all__ = ["connect_file", "explained", "is_busy", "make_file"]

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_REASONS = {
    sqlite3.SQLITE_NOTADB: "is no {what}: not a SQLite database, or a damaged one",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_READONLY: "cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "cannot be opened: no right to",
    sqlite3.SQLITE_FULL: "cannot be written to: the disk is full",
    sqlite3.SQLITE_IOERR: "cannot be read or written: an error of the disk",
    sqlite3.SQLITE_TOOBIG: "takes no record that large",
}


def make_file(path: Path) -> None:
    """Make the file, for this user alone, and its folder.

    A file that is there is not opened: that would end SQLite's locks on it in this process.
    Raises SetupError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # then it is opened as it is
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SetupError(f"cannot be made: {error.strerror}", field=str(path)) from error


def connect_file(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Open a file that is there, without transactions of Python's own. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=busy_seconds, isolation_level=None
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another process was in the way."""
    return _code(error) in _BUSY


def explained(error: sqlite3.Error, path: Path, what: str, busy_seconds: float) -> GpfnError:
    """Return an error of SQLite as one of ours, with the path as its field.

    ``what`` is what the file should be. A BackendError may pass by itself; a SetupError does not.
    """
    code = _code(error)
    if code in _BUSY:
        reason = f"another process has kept it locked for {busy_seconds:g} s"
        return BackendError(reason, field=str(path))
    kind = BackendError if code in _PASSING or code not in _REASONS else SetupError
    return kind(_REASONS.get(code, str(error)).format(what=what), field=str(path))


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more than we tell
