"""Writes a flatbuffer from front to back, with every offset pointing forward.

The usual builders write from back to front, so that the data comes to lie last in memory
and has to be copied there. Written forward, all that describes the data comes before it,
and the data itself can stay where it is: it is sent after the description.
"""

import struct
from collections.abc import Sequence
from functools import cache

__all__ = ["Writer"]

_word = struct.Struct("<I")
_back = struct.Struct("<i")


class Writer:
    """The bytes so far, and the vtables in them; an offset to the root is at place 0.

    A field, an element or the root is named by its *place*: where its offset or its
    value is to be. What is written for a place is written at the end.
    """

    __slots__ = ("_vtables", "out")

    def __init__(self) -> None:
        self.out = bytearray(4)
        self._vtables: dict[tuple[int, ...], int] = {}

    def table(self, place: int, *sizes: int) -> list[int]:
        """Write a table with fields of these sizes, in vtable order; 0 leaves one out.

        Returns the fields' places, 0 for those left out; their values are zero.
        """
        fields, vtable_words = _plan(sizes)
        vtable = self._vtable(vtable_words)
        # The first field is the largest: 4 bytes after the start, where 8 may be needed.
        self._pad(8 if 8 in sizes else 4, after=4)
        start = len(self.out)
        self.point(place, start)
        self.out += _back.pack(start - vtable) + bytes(vtable_words[1] - 4)
        return [field and start + field for field in fields]

    def _vtable(self, words: tuple[int, ...]) -> int:
        place = self._vtables.get(words)
        if place is None:
            self._pad(4)
            place = self._vtables[words] = len(self.out)
            self.out += struct.pack(f"<{len(words)}H", *words)
        return place

    def point(self, place: int, target: int) -> None:
        """Let the offset at ``place`` lead to ``target``."""
        _word.pack_into(self.out, place, target - place)

    def byte(self, place: int, value: int) -> None:
        """Set a field of one byte."""
        self.out[place] = value

    def long(self, place: int, value: int) -> None:
        """Set a field of eight bytes."""
        struct.pack_into("<q", self.out, place, value)

    def string(self, place: int, value: bytes) -> None:
        """Write a string."""
        self._vector(place, len(value))
        self.out += value + b"\0"

    def longs(self, place: int, values: Sequence[int]) -> None:
        """Write a vector of int64 numbers."""
        self._pad(8, after=4)
        self._vector(place, len(values))
        self.out += struct.pack(f"<{len(values)}q", *values)

    def offsets(self, place: int, count: int) -> range:
        """Write a vector of offsets and return their places."""
        self._vector(place, count)
        start = len(self.out)
        self.out += bytes(4 * count)
        return range(start, start + 4 * count, 4)

    def _vector(self, place: int, count: int) -> None:
        self._pad(4)
        self.point(place, len(self.out))
        self.out += _word.pack(count)

    def _pad(self, to: int, *, after: int = 0) -> None:
        """Pad so that what is ``after`` bytes from here is at a multiple of ``to``."""
        self.out += bytes(-(len(self.out) + after) % to)


@cache
def _plan(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where the fields are in their table, 0 for none, and the vtable for that."""
    fields, end = [0] * len(sizes), 4
    for slot in sorted(range(len(sizes)), key=lambda slot: -sizes[slot]):
        if sizes[slot]:
            fields[slot], end = end, end + sizes[slot]
    return tuple(fields), (4 + 2 * len(sizes), end, *fields)
