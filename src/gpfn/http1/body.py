"""A body while it arrives: memory is taken for the bytes that came, not for those announced.

A body that comes in one piece is kept as it is, a small one is gathered, a large one goes
into anonymous private memory, which begins at a page and of which the kernel commits only
what is written. There it stays: :meth:`Body.finish` gives a view, not a copy.
"""

from __future__ import annotations

from gpfn.errors import TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["Body"]

_HUGE_PAGE = 2 << 20


class Body:
    """The bytes of one body, gathered; one longer than ``large`` becomes aligned."""

    __slots__ = ("_aligned", "_large", "_parts", "size")

    def __init__(self, large: int) -> None:
        self._large = large
        self._parts: bytes | bytearray = b""
        self._aligned: mmap | None = None
        self.size = 0

    def reserve(self, size: int) -> None:
        """Expect ``size`` bytes in all: a large body gets its address space at once.

        Raises TooLarge when the system has no such address space.
        """
        if size > self._large:
            self._aligned = _anonymous(size)

    def append(self, data: bytes | memoryview) -> None:
        """Add ``data`` at the end."""
        end = self.size + len(data)
        if self._aligned is None and end <= self._large:
            self._gather(data)
        else:
            self._room(end)[self.size : end] = data
        self.size = end

    def space(self, size: int) -> memoryview | None:
        """Return where the rest of ``size`` bytes may be received, for a reserved body."""
        if self._aligned is None:
            return None
        return memoryview(self._aligned)[self.size : size]

    def finish(self) -> bytes | memoryview:
        """Return all of it: bytes when small, a read-only view when large."""
        if self._aligned is None:
            return bytes(self._parts)  # of bytes: the same object
        return memoryview(self._aligned)[: self.size].toreadonly()

    def _gather(self, data: bytes | memoryview) -> None:
        if not self.size:
            self._parts = bytes(data)
            return
        if not isinstance(self._parts, bytearray):
            self._parts = bytearray(self._parts)
        self._parts += data

    def _room(self, end: int) -> mmap:
        if self._aligned is None:
            self._aligned = _anonymous(2 * end)
            self._aligned[: self.size] = bytes(self._parts)
            self._parts = b""
        elif end > len(self._aligned):
            self._aligned.resize(2 * end)  # the kernel moves pages, nothing is copied
        return self._aligned


def _anonymous(size: int) -> mmap:
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

    try:
        memory = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise TooLarge(f"no memory for {size} bytes: {error}", field="body") from error
    if size >= 2 * _HUGE_PAGE:
        _use_huge_pages(memory)
    return memory


def _use_huge_pages(memory: mmap) -> None:
    from contextlib import suppress
    from mmap import MADV_HUGEPAGE

    with suppress(OSError):  # a kernel without them; it only costs page faults
        memory.madvise(MADV_HUGEPAGE)
