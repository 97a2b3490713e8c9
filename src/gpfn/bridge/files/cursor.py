"""Where a source is in its file, written down so that it goes on there after a crash.

The cursor is a file of JSON, which is replaced as a whole: what is done is the offsets below
``low`` and those in ``done``. ``tries`` are the calls for records that are not done. Offsets
are byte positions in the file, plus ``base``: how long the files were that were read to their
end before this one had the name.

The ``file`` is known again by its inode and by what it begins with: a file that was renamed is
found by them, and another one in its place is not taken for it.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import orjson

from gpfn.errors import BackendError, SetupError

__all__ = ["HEAD", "Cursor", "FileMark", "Progress", "lock_file", "read_cursor", "write_cursor"]

HEAD = 1024
"""Bytes of a file's beginning that it is known by."""
_VERSION = 1
_LONGEST = 16 << 20


class FileMark(NamedTuple):
    """What a file is known by: device and inode, and a hash of so many first bytes."""

    device: int
    inode: int
    head_bytes: int
    head: str

    @classmethod
    def of(cls, stat: os.stat_result, head: bytes) -> FileMark:
        """Return the mark of a file that begins with ``head``."""
        return cls(stat.st_dev, stat.st_ino, len(head), blake2b(head, digest_size=16).hexdigest())


class Cursor(NamedTuple):
    """What is written down."""

    file: FileMark
    base: int
    low: int
    done: list[int]
    tries: dict[int, int]


class Progress:
    """What was given and what of it is done, in the order of offsets."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._open: dict[int, int] = {}
        """The sizes of records that are not done."""
        self.tries: dict[int, int] = {}
        self.bytes = 0
        """Of the records that are not done."""

    @property
    def unfinished(self) -> int:
        """How many records were given and are not done."""
        return len(self._open)

    @property
    def span(self) -> int:
        """How many records were given since the oldest that is not done."""
        return len(self._order)

    def give(self, offset: int, size: int) -> None:
        """A record was given."""
        self._order.append(offset)
        self._open[offset] = size
        self.bytes += size

    def skip(self, offset: int) -> None:
        """A record comes by that was done before."""
        if self._order:
            self._order.append(offset)

    def finish(self, offset: int) -> bool:
        """A record is done; False when it was not given, or was done already."""
        size = self._open.pop(offset, None)
        if size is None:
            return False
        self.bytes -= size
        self.tries.pop(offset, None)
        while self._order and self._order[0] not in self._open:
            self._order.popleft()
        return True

    def is_open(self, offset: int) -> bool:
        """Say whether a record was given and is not done."""
        return offset in self._open

    def low(self, at: int) -> int:
        """Return the lowest offset that is not done; ``at`` is what will be given next."""
        return self._order[0] if self._order else at

    def done(self) -> list[int]:
        """Return the offsets beyond the lowest that are done."""
        return [offset for offset in self._order if offset not in self._open]


def read_cursor(path: Path) -> Cursor | None:
    """Return what was written down last, None when nothing was.

    Raises SetupError with the path as field when it cannot be read, or is no cursor: to begin
    anew then would give everything again.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(path)) from error
    try:
        return _decoded(text)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SetupError(f"is no cursor, or a damaged one: {error!r}", field=str(path)) from error


def _decoded(text: bytes) -> Cursor:
    found = orjson.loads(text)
    if found["version"] != _VERSION:
        raise ValueError(f"version {found['version']!r}")
    device, inode, size, head = found["file"]
    return Cursor(
        FileMark(int(device), int(inode), int(size), str(head)),
        int(found["base"]),
        int(found["low"]),
        [int(offset) for offset in found["done"]],
        {int(offset): int(count) for offset, count in found["tries"].items()},
    )


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Replace what was written down: whole, and on the disk. Raises BackendError."""
    text = orjson.dumps(
        {
            "version": _VERSION,
            "file": list(cursor.file),  # orjson writes no named tuples
            "base": cursor.base,
            "low": cursor.low,
            "done": cursor.done,
            "tries": {str(offset): count for offset, count in cursor.tries.items()},
        }
    )
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BackendError(f"cannot be written: {error.strerror}", field=str(path)) from error


def lock_file(path: Path, what: str) -> int:
    """Return a handle that keeps others out as long as it is open.

    Raises SetupError with the path as field when another one has it; ``what`` says what for.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SetupError(f"cannot be opened: {error.strerror}", field=str(path)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise SetupError(f"another process {what}: {error.strerror}", field=str(path)) from error
    return handle
