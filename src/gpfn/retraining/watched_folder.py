"""Which files a watched folder has, whether they are whole, and a digest of all of them.

Nobody tells when a copy is complete. So a file counts as whole when its size and its time have
stayed the same for a while, and the folder is given when all of its files have. Names that are
hidden, or that programs give to what they still write, are left alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError

__all__ = ["Snapshot", "WatchedFolder"]

_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
_HIDDEN = (".", "~", "#")
_Stamp = tuple[int, int, int]
"""What of a file tells that it has changed: its size, its time and which one it is."""


class Snapshot(NamedTuple):
    """The files of a folder at one moment, in the order of their names, and their digest."""

    files: tuple[Path, ...]
    digest: str
    stamps: tuple[_Stamp, ...]


class WatchedFolder:
    """A folder that is looked at now and then."""

    def __init__(
        self,
        folder: Path,
        suffixes: Sequence[str],
        *,
        deep: bool = False,
        settle: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take files with these suffixes, in the folders below as well if ``deep``.

        ``settle`` is for how many seconds a file has to have stayed the same.
        """
        self.folder = folder
        self._suffixes = tuple(suffix.lower() for suffix in suffixes)
        self._deep = deep
        self._settle = settle
        self._clock = clock
        self._since: dict[Path, tuple[_Stamp, float]] = {}
        self._digests: dict[Path, tuple[_Stamp, bytes]] = {}

    def look(self) -> Snapshot | None:
        """Return what is there; None while there is nothing, or something is being written.

        Raises SetupError when the folder, or a file in it, cannot be read.
        """
        try:
            found = dict(self._stamped())
            return self._snapshot(found) if self._are_steady(found) else None
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise SetupError("no such folder", field=str(self.folder)) from error
            return None  # a file went while it was looked at: there is a next time
        except OSError as error:
            told = f"cannot be read: {error.strerror}"
            raise SetupError(told, field=str(error.filename or self.folder)) from error

    def is_empty(self) -> bool:
        """Say whether the last look has found no file that counts."""
        return not self._since

    def is_still(self, snapshot: Snapshot) -> bool:
        """Say whether the folder has the files of a snapshot, as they were then."""
        try:
            found = dict(self._stamped())
        except OSError:
            return False
        return found == dict(zip(snapshot.files, snapshot.stamps, strict=True))

    def _stamped(self) -> Iterator[tuple[Path, _Stamp]]:
        for path in sorted(self._named()):
            try:
                told = path.stat()
            except FileNotFoundError:  # a link to nothing, or it has gone by now
                continue
            if stat.S_ISREG(told.st_mode):  # a pipe may never end
                yield path, (told.st_size, told.st_mtime_ns, told.st_ino)

    def _named(self) -> Iterator[Path]:
        if not self.folder.is_dir():
            raise FileNotFoundError(2, "No such file or directory", str(self.folder))
        for at, folders, names in os.walk(self.folder, onerror=_refuse):
            folders[:] = [each for each in folders if self._deep and not each.startswith(_HIDDEN)]
            for name in names:
                low = name.lower()
                if low.startswith(_HIDDEN) or low.endswith(_UNFINISHED):
                    continue
                if low.endswith(self._suffixes):
                    yield Path(at, name)

    def _are_steady(self, found: dict[Path, _Stamp]) -> bool:
        """Note since when each file is as it is; say whether that is long enough for all."""
        now = self._clock()
        before, self._since = self._since, {}
        for path, stamp in found.items():
            known = before.get(path)
            began = known[1] if known and known[0] == stamp else now
            self._since[path] = (stamp, began)
        gone = before.keys() - found.keys()
        ends = [began for _, began in self._since.values()]
        return bool(ends) and not gone and now - max(ends) >= self._settle

    def _snapshot(self, found: dict[Path, _Stamp]) -> Snapshot:
        """Return the digest over the names and the bytes; bytes are read when they are new."""
        whole = hashlib.sha256()
        digests = {}
        for path, stamp in found.items():
            known = self._digests.get(path)
            read = known[1] if known and known[0] == stamp else _hashed(path)
            digests[path] = (stamp, read)
            name = os.fsencode(path.relative_to(self.folder))
            whole.update(b"%d:%s" % (len(name), name) + read)
        self._digests = digests
        return Snapshot(tuple(found), whole.hexdigest(), tuple(found.values()))


def _refuse(error: OSError) -> None:
    raise error


def _hashed(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
