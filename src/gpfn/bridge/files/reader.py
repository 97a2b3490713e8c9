"""The lines of a path, over what happens to its file: it grows, is renamed, or cut off.

For one thread, which it may keep waiting: only a pipe does, until :meth:`FileReader.interrupt`.
Offsets grow over all of that. What a file was read to before it was renamed or cut off counts
as the ``base`` of what comes next.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable
from typing import Literal, NamedTuple

from gpfn.bridge.files.cursor import HEAD, Cursor, FileMark
from gpfn.bridge.files.lines import LineSplitter, TextLine
from gpfn.errors import SetupError

__all__ = ["FileReader", "Piece"]

_CHUNK = 256 << 10
_COUNTED = 256 << 20
"""Bytes whose lines are counted in one call."""

_State = Literal["more", "nothing", "moved", "ended"]


class Piece(NamedTuple):
    """What was read, and what comes next.

    ``more`` may be there, ``nothing`` is there now, another file has taken this one's place
    (``moved``; :meth:`FileReader.move_on` goes there), or nothing comes any more (``ended``).
    ``end`` is the offset where the next line begins.
    """

    lines: list[TextLine]
    state: _State
    end: int


class FileReader:
    """Reads one path; ``-`` is standard input."""

    def __init__(self, path: str, *, follow: bool, limit: int, warn: Callable[[str], None]) -> None:
        self._path = path
        self._follow = follow
        self._limit = limit
        self._warn = warn
        self._file = -1
        self._inside, self._outside = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._base = 0
        self._head = b""
        self._idle = False
        """There was nothing more at the last look."""
        self._moved = False
        """The file that is read had the path once."""
        self._lines = LineSplitter(0, limit, beginning=True)
        self._counted = 0
        self._counted_lines = 0
        """Lines before that position, of those that are read since :meth:`_go_to`."""
        self.regular = False
        """Whether it is a file that has its bytes for good, and not a pipe or a terminal."""

    @property
    def offset(self) -> int:
        """Where the next line begins."""
        return self._lines.offset

    @property
    def base(self) -> int:
        """The offset of the first byte of the file that is read."""
        return self._base

    def open(self, cursor: Cursor | None) -> None:
        """Open the file where the cursor says. Raises SetupError with the path as field."""
        try:
            self._file = self._opened()
            if cursor is None or not self.regular:
                return
            if _has_mark(self._file, cursor):
                self._go_to(cursor.base, cursor.low - cursor.base)
            elif not self._find_moved(cursor):
                self._warn(f"{self._path} is another file than before, or was cut: all is read")
                self._go_to(max([cursor.low, *cursor.done]) + 1, 0)
        except OSError as error:
            raise SetupError(f"cannot be read: {error.strerror}", field=self._path) from error

    def close(self) -> None:
        """Close everything."""
        for handle in (self._file, self._inside, self._outside):
            if handle >= 0:
                os.close(handle)

    def interrupt(self) -> None:
        """Let :meth:`read` return, from another thread."""
        os.write(self._outside, b"!")

    def read(self) -> Piece:
        """Return what comes next. Raises OSError."""
        if not self.regular:
            return self._read_stream()
        if self._follow and self._was_cut():
            return self._begin_again()
        at = self._lines.end - self._base
        data = os.pread(self._file, _CHUNK, at)
        if data:
            if at <= len(self._head) < HEAD:
                self._head = (self._head[:at] + data)[:HEAD]
            self._idle = False
            return self._piece(self._lines.feed(data), "more")
        self._idle = True
        if self._is_moved():
            return self._piece(self._lines.finish(), "moved")
        if self._follow:
            return self._piece([], "nothing")
        return self._piece(self._lines.finish(), "ended")

    def count_ahead(self) -> int:
        """Return how many lines come after those that were read. Raises OSError.

        Each call counts on for a fraction of a second; the rest is estimated by then.
        """
        position, lines = self._lines.end - self._base, self._lines.count
        if position > self._counted:
            self._counted, self._counted_lines = position, lines
        until = self._counted + _COUNTED
        while self._counted < until and (data := os.pread(self._file, _CHUNK, self._counted)):
            self._counted += len(data)
            self._counted_lines += data.count(b"\n")
        size = os.fstat(self._file).st_size
        ahead = self._counted_lines - lines
        if self._counted < size and self._counted > position:
            ahead = ahead * (size - position) // (self._counted - position)
        at_end = os.pread(self._file, 1, size - 1) if size else b"\n"
        torn = at_end != b"\n" and self._lines.offset - self._base < size
        return ahead + (torn and not self._follow)

    def move_on(self) -> None:
        """Go on with the file that has the path now, if there is one. Raises OSError."""
        try:
            after = self._opened()
        except FileNotFoundError:
            return  # it went again: the next look will tell
        os.close(self._file)
        self._file = after
        self._moved = False
        self._go_to(self._lines.end, 0)

    def mark(self) -> FileMark:
        """Return what the file that is read is known by."""
        return FileMark.of(os.fstat(self._file), self._head)

    def _opened(self) -> int:
        if self._path == "-":
            return os.dup(0)
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            os.close(file)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.regular = stat.S_ISREG(mode)
        return file

    def _go_to(self, base: int, position: int) -> None:
        """Read on at a position of the file, whose first byte has the offset ``base``."""
        position = max(position, 0)
        self._base = base
        self._head = os.pread(self._file, min(position, HEAD), 0)
        self._idle = False
        self._counted, self._counted_lines = position, 0
        self._lines = LineSplitter(base + position, self._limit, beginning=not position)

    def _piece(self, lines: list[TextLine], state: _State) -> Piece:
        return Piece(lines, state, self._lines.offset)

    def _was_cut(self) -> bool:
        """Say whether what was read is not there any more.

        The file is shorter than that; or it has grown since the last look, and begins with
        something else.
        """
        at = self._lines.end - self._base
        size = os.fstat(self._file).st_size
        if size < at:
            return True
        return self._idle and size > at and os.pread(self._file, len(self._head), 0) != self._head

    def _begin_again(self) -> Piece:
        """Go on with the copy that was made before the file was cut, or with the file itself."""
        if self._find_moved(Cursor(self.mark(), self._base, self._lines.offset, [], {})):
            return self._piece([], "more")
        self._warn(f"{self._path} was cut: what is in it now is read from its start")
        lines = self._lines.finish()
        self._go_to(self._lines.offset, 0)
        return self._piece(lines, "more")

    def _is_moved(self) -> bool:
        """Say whether another file has the path now."""
        if not self._follow and not self._moved:
            return False
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False  # it was renamed, and there is no new one yet
        mine = os.fstat(self._file)
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)

    def _find_moved(self, cursor: Cursor) -> bool:
        """Read on in the file that had the path before, if it has another name in its folder.

        It was renamed, or copied and then cut. A copy is known by its beginning alone.
        """
        folder, own = os.path.split(self._path)
        with os.scandir(folder or ".") as entries:
            found = [entry for entry in entries if entry.name != own and entry.is_file()]
        found.sort(key=lambda entry: entry.inode() != cursor.file.inode)
        for entry in found:
            if entry.stat().st_size < max(cursor.low - cursor.base, cursor.file.head_bytes, 1):
                continue
            file = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
            if _has_mark(file, cursor, copied=entry.inode() != cursor.file.inode):
                os.close(self._file)
                self._file = file
                self._moved = True
                self._warn(f"{entry.path} was {self._path} before: its rest is read first")
                self._go_to(cursor.base, cursor.low - cursor.base)
                return True
            os.close(file)
        return False

    def _read_stream(self) -> Piece:
        """Wait for what a pipe or a terminal gives."""
        poll = select.poll()
        poll.register(self._file, select.POLLIN)
        poll.register(self._inside, select.POLLIN)
        ready = [file for file, _ in poll.poll()]
        if self._inside in ready:
            os.read(self._inside, _CHUNK)
            return self._piece([], "nothing")
        try:
            data = os.read(self._file, _CHUNK)
        except BlockingIOError:
            return self._piece([], "nothing")  # somebody else was faster
        if data:
            return self._piece(self._lines.feed(data), "more")
        lines = self._lines.finish()
        if not self._follow or self._path == "-":
            return self._piece(lines, "ended")
        before, self._file = self._file, self._opened()  # which waits for the next writer
        os.close(before)
        return self._piece(lines, "more")


def _has_mark(file: int, cursor: Cursor, *, copied: bool = False) -> bool:
    """Say whether a file is the one that a cursor is about, or a copy of it."""
    size = cursor.file.head_bytes
    stat_now = os.fstat(file)
    mark = FileMark.of(stat_now, os.pread(file, size, 0))
    if copied:
        return size > 0 and mark[2:] == cursor.file[2:]
    return mark == cursor.file and stat_now.st_size >= cursor.low - cursor.base
