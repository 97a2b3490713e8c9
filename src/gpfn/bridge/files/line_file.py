"""The end of a file that lines are written to, by one process at a time. For one thread.

What cannot be written whole is taken back, so that no line is torn. A file that was renamed,
as log files are, is not written to any more: the next lines go into a new one. A pipe gets its
lines in pieces that it has room for, so that nobody waits for its reader who is not to:
:meth:`LineFile.interrupt`.
"""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress

from gpfn.errors import BackendError, SetupError

__all__ = ["LineFile"]

_FLAGS = os.O_CLOEXEC | os.O_APPEND


class LineFile:
    """One file, or standard output for the path ``-``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._regular = False
        self._inside, self._outside = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def open(self) -> None:
        """Open the file, made if need be, and mend its end. Raises SetupError with the path."""
        try:
            self._open()
        except OSError as error:
            self.close()
            reason = error.strerror
            if isinstance(error, BlockingIOError):
                reason = "another process writes to it"
            raise SetupError(f"cannot be written to: {reason}", field=self._path) from error

    def write(self, lines: bytes) -> None:
        """Write whole lines, all or none, and have them on the disk. Raises OSError.

        Raises BackendError when it was interrupted, which only what is no file may be.
        """
        if not self._regular:
            self._write_stream(lines)
            return
        if self._was_moved():
            moved, self._file = self._file, -1
            os.close(moved)
        if self._file < 0:
            self._open()
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, lines)
            os.fdatasync(self._file)
        except OSError:
            with suppress(OSError):  # then the disk is beyond help: the first error says so
                os.ftruncate(self._file, size)
            raise

    def interrupt(self) -> None:
        """Let :meth:`write` end, from another thread, although a pipe's reader does not read."""
        os.write(self._outside, b"!")

    def close(self) -> None:
        """Close everything."""
        for handle in (self._file, self._inside, self._outside):
            if handle >= 0:
                os.close(handle)
        self._file = self._inside = self._outside = -1

    def _open(self) -> None:
        if self._path == "-":
            self._file = os.dup(1)
            return
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            # of a pipe that nobody reads from this is an error, and does not wait
            self._file = os.open(self._path, _FLAGS | os.O_WRONLY | os.O_NONBLOCK)
            return
        self._regular = True
        file = os.open(self._path, _FLAGS | os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        self._file = file
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            _write_all(self._file, b"\n")
        folder = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)  # or a new file's name may be gone after a power cut
        finally:
            os.close(folder)

    def _was_moved(self) -> bool:
        if self._file < 0:
            return False
        mine = os.fstat(self._file)
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)

    def _write_stream(self, lines: bytes) -> None:
        """Write in pieces that do not make this wait for a reader."""
        poll = select.poll()
        poll.register(self._file, select.POLLOUT)
        poll.register(self._inside, select.POLLIN)
        at = 0
        while at < len(lines):
            ready = [file for file, _ in poll.poll()]
            if self._inside in ready:
                raise BackendError("closed before all was written", field=self._path)
            at += os.write(self._file, lines[at : at + select.PIPE_BUF])


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
