"""The last good model on disk, in a folder that one program at a time may write.

current/        the files of the last training that went well
journal.jsonl   what became of each state of the data
lock            held while somebody trains into the folder
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gpfn.errors import SetupError

__all__ = ["ModelKeeper"]

_CURRENT, _JOURNAL, _LOCK = "current", "journal.jsonl", "lock"
_OLD, _NEW = ".old", ".new-"


class ModelKeeper:
    """The folder; it is used within ``with``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / _CURRENT
        self.journal = folder / _JOURNAL
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> ModelKeeper:
        """Take the lock, and mend what a crash has left. Raises SetupError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_ours()
            self._lock = (self.folder / _LOCK).open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._mend()
        except BlockingIOError:
            self._release()
            told = "another gpfn train --watch writes to it; give another folder with --out"
            raise SetupError(told, field=str(self.folder)) from None
        except OSError as error:
            self._release()
            told = f"cannot be written: {error.strerror}"
            raise SetupError(told, field=str(self.folder)) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_ours(self) -> None:
        """Refuse a folder of somebody else's, whose ``current`` would be replaced."""
        if (self.folder / _LOCK).exists() or (self.folder / _JOURNAL).exists():
            return
        for name in (_CURRENT, _OLD):
            if os.path.lexists(self.folder / name):
                told = (
                    f"has {name}, which is of no gpfn train --watch; give another folder by --out"
                )
                raise SetupError(told, field=str(self.folder))

    def _mend(self) -> None:
        old = self.folder / _OLD
        if old.exists() and not self.current.exists():
            old.rename(self.current)
        shutil.rmtree(old, ignore_errors=True)
        for left in self.folder.glob(f"{_NEW}*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def new(self) -> Iterator[Path]:
        """Give an empty folder for a training; it is gone afterwards, unless it was kept."""
        try:
            made = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.folder))
            made.chmod(0o755)  # as a folder usually is: a temporary one is for nobody else
        except OSError as error:
            told = f"cannot be written: {error.strerror}"
            raise SetupError(told, field=str(self.folder)) from error
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def keep(self, made: Path) -> None:
        """Put a folder in the place of the last good model, by renames. Raises SetupError."""
        old = self.folder / _OLD
        try:
            shutil.rmtree(old, ignore_errors=True)
            if self.current.exists():
                self.current.rename(old)
            os.rename(made, self.current)
        except OSError as error:
            if old.exists() and not self.current.exists():
                old.rename(self.current)
            told = f"cannot be written: {error.strerror}"
            raise SetupError(told, field=str(self.current)) from error
        shutil.rmtree(old, ignore_errors=True)
