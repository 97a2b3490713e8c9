"""Writes a flatbuffer from front to back, with every offset pointing forward.

The usual builders write from back to front, so the data comes last in memory and has to be
copied there. Written forward, all that describes the data comes before it, and the data can
stay where it is: it is sent after the description.
"""

import struct
from collections.abc import Sequence
from functools import cache

__all__ = ["Writer"]

_word = struct.Struct("<I")
_back = struct.Struct("<i")


class Writer:
    """The bytes so far, and the vtables in them; the offset to the root is at position 0.

    A ``position`` is where the offset or the value of a field, an element or the root is
    stored. What the offset leads to is written at the end.
    """

    __slots__ = ("_vtables", "out")

    def __init__(self) -> None:
        self.out = bytearray(4)
        self._vtables: dict[tuple[int, ...], int] = {}

    def table(self, position: int, *sizes: int) -> list[int]:
        """Write a table with fields of these sizes, in vtable order; 0 leaves one out.

        Returns the fields' positions, 0 for those left out; their values are zero.
        """
        fields, vtable_words = _plan(sizes)
        vtable = self._vtable(vtable_words)
        # The first field is the largest: 4 bytes after the start, where 8 may be needed.
        self._pad(8 if 8 in sizes else 4, after=4)
        start = len(self.out)
        self.point(position, start)
        self.out += _back.pack(start - vtable) + bytes(vtable_words[1] - 4)
        return [field and start + field for field in fields]

    def _vtable(self, words: tuple[int, ...]) -> int:
        position = self._vtables.get(words)
        if position is None:
            self._pad(4)
            position = self._vtables[words] = len(self.out)
            self.out += struct.pack(f"<{len(words)}H", *words)
        return position

    def point(self, position: int, target: int) -> None:
        """Set the offset at ``position`` so that it leads to ``target``."""
        _word.pack_into(self.out, position, target - position)

    def byte(self, position: int, value: int) -> None:
        """Set a field of one byte."""
        self.out[position] = value

    def long(self, position: int, value: int) -> None:
        """Set a field of eight bytes."""
        struct.pack_into("<q", self.out, position, value)

    def string(self, position: int, value: bytes) -> None:
        """Write a string."""
        self._vector(position, len(value))
        self.out += value + b"\0"

    def longs(self, position: int, values: Sequence[int]) -> None:
        """Write a vector of int64 numbers."""
        self._pad(8, after=4)
        self._vector(position, len(values))
        self.out += struct.pack(f"<{len(values)}q", *values)

    def offsets(self, position: int, count: int) -> range:
        """Write a vector of offsets and return their positions."""
        self._vector(position, count)
        start = len(self.out)
        self.out += bytes(4 * count)
        return range(start, start + 4 * count, 4)

    def _vector(self, position: int, count: int) -> None:
        self._pad(4)
        self.point(position, len(self.out))
        self.out += _word.pack(count)

    def _pad(self, to: int, *, after: int = 0) -> None:
        """Pad so that what is ``after`` bytes from here is at a multiple of ``to``."""
        self.out += bytes(-(len(self.out) + after) % to)


@cache
def _plan(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the positions of the fields in their table, 0 for none, and its vtable."""
    fields, end = [0] * len(sizes), 4
    for slot in sorted(range(len(sizes)), key=lambda slot: -sizes[slot]):
        if sizes[slot]:
            fields[slot], end = end, end + sizes[slot]
    return tuple(fields), (4 + 2 * len(sizes), end, *fields)
