"""Lines out of the bytes of a file, as they come, and where each begins.

A line ends with LF or CR LF. Blank lines and a byte order mark at the beginning of a file are
passed over. Of a line that is too long the beginning is kept and the reason told; the rest
costs no memory. What the bytes mean is not looked at.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LineSplitter", "TextLine"]

_MARK = b"\xef\xbb\xbf"
_SHOWN = 4096
"""Bytes that are kept of a line that is too long."""
_AROUND = len(_MARK) + len(b"\r")
"""Bytes of a line that may not count."""


class TextLine(NamedTuple):
    """A line without its end. ``offset`` is where it begins, ``problem`` why it is not whole."""

    offset: int
    value: bytes
    problem: str = ""


class LineSplitter:
    """Takes bytes, gives lines. Reads nothing itself."""

    def __init__(self, offset: int, limit: int, *, beginning: bool) -> None:
        """``offset`` is that of the first byte, ``limit`` the most bytes of a line.

        ``beginning`` says that the first byte is a file's: it may be a byte order mark's.
        """
        self.offset = offset
        """Where the line begins that has no end yet."""
        self.count = 0
        """Lines that had an end, blank ones with them."""
        self._limit = limit
        self._beginning = beginning
        self._parts: list[bytes] = []
        self._size = 0
        self._long = False

    @property
    def end(self) -> int:
        """The offset of the byte that comes next."""
        return self.offset + self._size

    def feed(self, data: bytes) -> list[TextLine]:
        """Return the lines that end in ``data``, which comes after what was fed before."""
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._add(piece)
            lines += self._line(ending=1)
        self.count += len(ended)
        self._add(rest)
        return lines

    def finish(self) -> list[TextLine]:
        """Return the last line as it is, if there is one without an end: nothing comes any more."""
        return self._line(ending=0)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._long:
            return
        self._parts.append(piece)
        if self._size > self._limit + _AROUND:
            self._long = True
            self._parts = [b"".join(self._parts)[: _SHOWN + len(_MARK)]]

    def _line(self, *, ending: int) -> list[TextLine]:
        offset, size = self.offset, self._size
        value = b"".join(self._parts)
        long = self._long
        self.offset += size + ending
        self._parts, self._size, self._long = [], 0, False
        if self._beginning:
            self._beginning = False
            value = value.removeprefix(_MARK)
        if not long:
            value = value.removesuffix(b"\r")
        if long or len(value) > self._limit:
            problem = f"the line at byte {offset} has {size} bytes; at most {self._limit} are read"
            return [TextLine(offset, value[: min(self._limit, _SHOWN)], problem)]
        return [] if not value or value.isspace() else [TextLine(offset, value)]
