"""Who has leased records of a queue, and whether it is still alive.

Every source that runs is an owner: a row that says until when its lease lasts, which it renews
while it runs, and a lock on one byte of a file beside the queue. The kernel lets go of the lock
when the process ends, however it ends, so that what a killed process had is free at once; the
lease ends for one that stands still. Times are of the clock that is the same for all processes
of a machine and never set, so that no lease hangs on the time of day.

The locks are of the kind that belongs to an open file and not to a process (``F_OFD_SETLK`` of
Linux): two queues in one process do not take each other's.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import struct
import time
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["Owners"]

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, process; padded as C does
_NUMBER_BITS = 60


class Owners:
    """The owners of one queue, seen from one process. For one thread, inside transactions."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        """``path`` is the queue's; raises SetupError when nothing can be locked there."""
        self._database = database
        self._ours: set[int] = set()
        place = Path(f"{path}-owners")
        try:
            self._file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(f"cannot be opened: {error.strerror}", field=str(place)) from error
        try:
            self._is_held(0)
        except OSError as error:
            os.close(self._file)
            raise SetupError(f"cannot be locked: {error.strerror}", field=str(place)) from error

    def close(self) -> None:
        """Let go of every lock."""
        os.close(self._file)

    def add(self, seconds: float) -> int:
        """Return a new owner, whose lease lasts so long."""
        owner = 1 + secrets.randbits(_NUMBER_BITS)  # none is used again, whatever is rolled back
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _one_byte(fcntl.F_WRLCK, owner))
        self._ours.add(owner)
        until = time.monotonic() + seconds
        self._database.execute("INSERT INTO owners VALUES (?, ?)", (owner, until))
        return owner

    def has(self, owner: int) -> bool:
        """Say whether an owner is one still: others may have buried it."""
        query = "SELECT 1 FROM owners WHERE id = ?"
        return self._database.execute(query, (owner,)).fetchone() is not None

    def renew(self, owner: int, seconds: float) -> bool:
        """Make the lease last so long from now; False when others have taken what it had."""
        renewed = self._database.execute(
            "UPDATE owners SET until = ? WHERE id = ?", (time.monotonic() + seconds, owner)
        )
        return renewed.rowcount > 0

    def remove(self, owner: int) -> None:
        """Free all that an owner has."""
        self._database.execute("DELETE FROM owners WHERE id = ?", (owner,))
        self._database.execute("UPDATE claims SET owner = NULL WHERE owner = ?", (owner,))
        if owner in self._ours:
            self._ours.remove(owner)
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _one_byte(fcntl.F_UNLCK, owner))

    def dead(self) -> list[int]:
        """Return the owners that have ended, or whose lease has."""
        now = time.monotonic()
        rows = self._database.execute("SELECT id, until FROM owners").fetchall()
        return [
            owner
            for owner, until in rows
            if until < now or (owner not in self._ours and not self._is_held(owner))
        ]

    def bury(self) -> int:
        """Free what dead owners had; returns how many there were."""
        dead = self.dead()
        for owner in dead:
            self.remove(owner)
        return len(dead)

    def _is_held(self, owner: int) -> bool:
        found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _one_byte(fcntl.F_WRLCK, owner))
        kind: int = struct.unpack(_FLOCK, found)[0]
        return kind != fcntl.F_UNLCK


def _one_byte(kind: int, at: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, at, 1, 0)
