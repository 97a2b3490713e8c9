"""Memory that a process and its child that computes share, for arrays that are large.

A socket copies in small pieces, four times slower than memory. New memory for each call would
be slower still: the system has to clear every page of it. So it is kept.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import suppress

__all__ = ["BrokenFrame", "SharedMemory"]


class BrokenFrame(Exception):
    """What came is no frame: the other end is not what it was."""


class SharedMemory:
    """Memory without a name, of a size that only grows; both ends of a link map it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._size = 0

    @classmethod
    def make(cls) -> SharedMemory | None:
        """Return new memory, or None where the system has none to give.

        It cannot be made smaller: who reads would be ended by SIGBUS.
        """
        try:
            descriptor = os.memfd_create("gpfn", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        except OSError:
            return None
        return cls(descriptor)

    def room(self, size: int) -> memoryview | None:
        """Return writable memory of that size; None when there is not that much.

        It is taken from the system now, since taking it when it is written to cannot fail
        in order.
        """
        if size > self._size:
            try:
                os.posix_fallocate(self.descriptor, 0, 1 << (size - 1).bit_length())
            except OSError:
                return None
        return self.view(size)

    def view(self, size: int) -> memoryview:
        """Return the memory's beginning; raises BrokenFrame when there is less."""
        if size > self._size:
            self._close_map()
            self._size = os.fstat(self.descriptor).st_size
            if self._size:
                self._map = mmap.mmap(self.descriptor, self._size)
        if self._map is None or size > self._size:
            raise BrokenFrame("more is said to be in the shared memory than there is")
        return memoryview(self._map)[:size]

    def close(self) -> None:
        """Give it back, as far as this end is concerned."""
        self._close_map()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _close_map(self) -> None:
        if self._map is not None:
            with suppress(BufferError):  # a view of it is alive in a trace; it goes with that
                self._map.close()
        self._map, self._size = None, 0
