"""Pictures on disk, by the address they came from, for a while and within a size.

A file is called as the SHA-256 of its address and has the SHA-256 of its picture before the
picture: one that is damaged is not there. It appears by a rename, so that several processes may
share the folder and none ever sees a part. Its time of change is when it was fetched, its time
of access when it was last wanted: what was wanted longest ago makes room.

What is kept is answered to every caller, so nobody else may put anything there: the folder has
to be ours alone to write to, and so has each file, which is read only if it is a plain one.

No failure of the disk costs a call: what cannot be read is fetched, what cannot be written is
not kept.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from gpfn.errors import SetupError

__all__ = ["ImageCache"]

_DIGEST = 32
_NAME = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"\.[0-9]+-[0-9a-f]{16}")
"""What files are called here, whole ones and those that are being written; no other is touched."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""A pipe that somebody has put there must not hold us up, nor a link lead elsewhere."""
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_PUTS = 64
"""After so many files of ours the others' are counted again: other processes write, too."""
_KEPT = 0.9
"""What is left of the size after making room, so that not every file has to make some."""
_ABANDONED = 600.0
"""Seconds after which a file without a name is one that nobody will finish."""
_AHEAD = 60.0


class _Entry(NamedTuple):
    """A file as it lies there; sorted, what was wanted longest ago comes first."""

    used: int
    bytes: int
    path: str


class ImageCache:
    """Pictures in a folder: at most ``most_bytes`` of them, each for ``seconds``."""

    def __init__(self, folder: str, most_bytes: int, seconds: float = 3600.0) -> None:
        self._folder = folder
        self._most = most_bytes
        self._seconds = seconds
        self._lock = Lock()
        self._size = 0
        self._puts = _PUTS  # nobody knows yet what lies there

    def open(self, field: str) -> None:
        """Make the folder.

        Raises SetupError with ``field`` when it cannot be written to, or by others as well.
        """
        try:
            Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            wrong = self._refusal()
            if not wrong:
                os.unlink(self._written(b""))
        except OSError as error:
            detail = f"cannot be written to: {error.strerror or type(error).__name__}"
            raise SetupError(detail, field=field) from error
        if wrong:
            told = f"{wrong}, who could put pictures there: chmod 700 a folder of one's own"
            raise SetupError(f"{told}, or name one that is not there yet", field=field)

    def _refusal(self) -> str:
        """Say why the folder is not ours alone; "" when it is."""
        named, found = os.lstat(self._folder), os.stat(self._folder)
        if stat.S_ISLNK(named.st_mode) and named.st_uid not in (0, os.geteuid()):
            return f"is a link of user {named.st_uid}"
        if found.st_uid != os.geteuid():
            return f"belongs to user {found.st_uid}"
        return "may be written to by others" if found.st_mode & _OTHERS else ""

    def get(self, url: str, most: int) -> bytes | None:
        """Return the picture of an address; None when there is none, or one over ``most``."""
        try:
            handle = os.open(self._path(url), _READ)
            try:
                content = self._content(handle, most + _DIGEST)
            finally:
                os.close(handle)
        except OSError:
            return None
        digest, picture = content[:_DIGEST], content[_DIGEST:]
        return picture if digest == _sha256(picture) else None

    def _content(self, handle: int, most: int) -> bytes:
        """Return what an open file has, and note that it was wanted; nothing of a wrong one."""
        status = os.fstat(handle)
        ours = status.st_uid == os.geteuid() and not status.st_mode & _OTHERS
        age = time.time() - status.st_mtime
        fresh = -_AHEAD < age < self._seconds
        if not (stat.S_ISREG(status.st_mode) and ours and fresh) or status.st_size > most:
            return b""
        os.utime(handle, ns=(time.time_ns(), status.st_mtime_ns))
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)

    def put(self, url: str, picture: bytes) -> None:
        """Keep the picture of an address, and make room for it."""
        size = len(picture) + _DIGEST
        if size > self._most:
            return
        with self._lock:
            self._make_room(size)
            try:
                part = self._written(_sha256(picture), picture)
                _move(part, self._path(url))
            except OSError:
                self._puts = _PUTS  # what lies there now is not known
                return
            self._size += size
            self._puts += 1

    def _path(self, url: str) -> str:
        return os.path.join(self._folder, _sha256(url.encode("utf-8", "surrogateescape")).hex())

    def _written(self, *parts: bytes) -> str:
        """Return the path of a new file with these bytes, which only we may read."""
        path = os.path.join(self._folder, f".{os.getpid()}-{os.urandom(8).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:
            try:
                for part in parts:
                    file.write(part)
                file.flush()
            except OSError:
                os.unlink(path)
                raise
        return path

    def _make_room(self, size: int) -> None:
        """Delete what is old, and what was wanted longest ago as long as there is too much."""
        if self._puts < _PUTS and self._size + size <= self._most:
            return
        entries = sorted(self._entries())
        self._size, self._puts = sum(entry.bytes for entry in entries), 0
        if self._size + size <= self._most:
            return
        for entry in entries:
            if self._size + size <= self._most * _KEPT:
                break
            if _deleted(entry.path):
                self._size -= entry.bytes

    def _entries(self) -> Iterator[_Entry]:
        """Yield what lies there; what has expired or was never finished is deleted."""
        now = time.time()
        try:
            found = list(os.scandir(self._folder))
        except OSError:
            return  # the folder has gone: there is nothing
        for file in found:
            is_ours = _NAME.fullmatch(file.name) is not None
            if not is_ours and not _PART.fullmatch(file.name):
                continue
            try:
                status = file.stat(follow_symlinks=False)
            except OSError:
                continue  # another process has deleted it
            age = now - status.st_mtime
            if age < (self._seconds if is_ours else _ABANDONED) or not _deleted(file.path):
                yield _Entry(status.st_atime_ns, status.st_size, file.path)


def _move(part: str, path: str) -> None:
    try:
        os.rename(part, path)
    except OSError:  # a folder is in the way
        os.unlink(part)
        raise


def _deleted(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True  # another process was faster
    except OSError:
        return False
    return True


def _sha256(data: bytes) -> bytes:
    import hashlib  # only where it is used: loading OpenSSL costs 3 ms

    return hashlib.sha256(data).digest()
