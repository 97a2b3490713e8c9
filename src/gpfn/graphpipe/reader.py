"""A checked reader of flatbuffers: nothing is followed that was not looked at first.

A flatbuffer is a graph of little-endian structures connected by offsets:

    message   uint32 offset to the root table, then everything else
    table     int32 back to its vtable, then the fields that are present
    vtable    uint16 its own size, uint16 the table's size, uint16 where each field is (0: absent)
    vector    uint32 number of elements, then the elements
    string    a vector of bytes, then a NUL that is not counted
    offset    uint32, from its own place forward

An offset can point anywhere, so each one is checked against the end of the message and
for alignment, and each vector against the bytes that are left. Two vectors may share
their bytes: what is copied out of the message is counted, so that a small message cannot
ask for much memory. Every fault is an InvalidMessage whose ``field`` begins at the
structure at hand; callers put the path before it with :func:`inside`.

Two rules of the format are not asked for, because clients in the wild break them:
graphpipe-go writes no NUL after the strings of a tensor, and flatbuffers 1.9 for Python,
which PyPI's graphpipe needs, aligns int64 to 4 bytes only.

The good case is kept short, since it is most of what a small call costs: reading beyond
the end raises struct.error, all other conditions are one expression, and only when
something is wrong does anybody ask what.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from gpfn.errors import CallerError, InvalidMessage, TooLarge
from gpfn.limits import Limits

__all__ = ["MAX_MESSAGE", "MAX_RANK", "Body", "Kind", "inside"]

MAX_MESSAGE = (1 << 31) - 1
"""Bytes in a flatbuffer: offsets back to a vtable have 31 bits and a sign."""

MAX_RANK = 32
"""Dimensions of one tensor, whatever the limits say: every NumPy can hold as many."""

_COPIES = 16
"""Strings may be shared by several places, but not so that they grow more than this."""

_word = struct.Struct("<I").unpack_from
_back = struct.Struct("<i").unpack_from
_longs = tuple(struct.Struct(f"<{count}q").unpack_from for count in range(MAX_RANK + 1))

_Layout = tuple[int, ...]
_Error = TypeVar("_Error", bound=CallerError)


class Kind:
    """A kind of table: how large its fields are in the table itself, in vtable order."""

    __slots__ = ("fields", "layout", "slots")

    def __init__(self, *sizes: int) -> None:
        self.fields = struct.Struct(f"<{2 + len(sizes)}H")
        self.slots = self.fields.unpack_from

        def check(raw: _Layout) -> _Layout:
            return _check_layout(raw, sizes)

        # A program meets a handful of layouts; each is checked once and then known.
        self.layout: Callable[[_Layout], _Layout] = lru_cache(maxsize=64)(check)


def _check_layout(raw: _Layout, sizes: tuple[int, ...]) -> _Layout:
    """Return the table's size and where its fields are, zero for those that are absent."""
    vtable_size, table_size = raw[:2]
    if vtable_size < 4 or vtable_size & 1 or table_size < 4:
        raise InvalidMessage(f"a vtable of {vtable_size} bytes for a table of {table_size}")
    present = (vtable_size - 4) // 2
    places = [place if slot < present else 0 for slot, place in enumerate(raw[2:])]
    for place, size in zip(places, sizes, strict=True):
        if place and (place < 4 or place + size > table_size or place % min(size, 4)):
            raise InvalidMessage(f"a field of {size} bytes at {place} in a table of {table_size}")
    return table_size, *places


class Body:
    """The bytes of a message, and how many were copied out of them."""

    __slots__ = ("bytes", "copied", "limits", "size")

    def __init__(self, data: "bytes | bytearray | memoryview", limits: Limits) -> None:
        if type(data) is not bytes:
            data = memoryview(data).toreadonly().cast("B")
        self.bytes: bytes | memoryview = data
        self.size = size = len(data)
        self.limits = limits
        self.copied = 0
        if size > limits.body_bytes or size > MAX_MESSAGE:
            limit = min(limits.body_bytes, MAX_MESSAGE)
            raise TooLarge(f"{size} bytes; the limit is {limit} (GPFN_MAX_BODY_BYTES)")

    def table(self, place: int, kind: Kind, field: str = "") -> tuple[int, _Layout]:
        """Return where the table is that is pointed to from ``place``, and its layout."""
        data = self.bytes
        try:
            target: int = place + _word(data, place)[0]
            vtable: int = target - _back(data, target)[0]
            raw = kind.slots(data, vtable)
        except struct.error:
            vtable, raw = self._vtable_at_the_end(place, kind, field)
        try:
            layout = kind.layout(raw)
        except InvalidMessage as error:
            raise inside(field, error) from None
        if (
            vtable < 0
            or vtable + raw[0] > self.size
            or target + layout[0] > self.size
            or (target | vtable << 1) & 3
            or target == place
        ):
            raise self._astray(place, target, field, f"a vtable at byte {vtable}")
        return target, layout

    def _vtable_at_the_end(self, place: int, kind: Kind, field: str) -> tuple[int, _Layout]:
        """Read a vtable that is too near the end to hold all fields: it may be short."""
        target = place
        try:
            target += _word(self.bytes, place)[0]
            vtable = target - _back(self.bytes, target)[0]
        except struct.error:
            raise self._astray(place, target, field, "a table") from None
        tail = bytes(self.bytes[vtable:]) if vtable >= 0 else b""
        raw: _Layout = kind.fields.unpack(tail.ljust(kind.fields.size, b"\0"))
        return vtable, raw

    def vector(self, place: int, width: int, field: str) -> tuple[int, int]:
        """Return where the elements are that are pointed to from ``place``, and how many."""
        data = self.bytes
        target = place
        try:
            target += _word(data, place)[0]
            count: int = _word(data, target)[0]
        except struct.error:
            raise self._astray(place, target, field, "a vector") from None
        start = target + 4
        if start + count * width > self.size or target & 3 or target == place:
            raise self._astray(place, target, field, f"{count} elements of {width} bytes")
        return start, count

    def numbers(self, place: int, field: str) -> tuple[int, int]:
        """Return where the bytes are that nobody reads: they are the numbers of a tensor."""
        return self.vector(place, 1, field)

    def offsets(self, place: int, field: str, limit: int, setting: str) -> range:
        """Return the places of the offsets in the vector that is pointed to from ``place``."""
        start, count = self.vector(place, 4, field)
        if count > limit:
            raise TooLarge(f"{count} of them; the limit is {limit} ({setting})", field=field)
        return range(start, start + 4 * count, 4)

    def tables(self, place: int, field: str) -> range:
        """Return the places of the offsets in a vector of tables, each its own table."""
        start, count = self.vector(place, 4, field)
        if 8 * count > self.size:
            raise InvalidMessage(
                f"{count} tables cannot be in a message of {self.size} bytes", field=field
            )
        return range(start, start + 4 * count, 4)

    def longs(self, place: int, field: str) -> tuple[int, ...]:
        """Return the int64 numbers of a shape, at most ``limits.rank`` of them."""
        start, count = self.vector(place, 8, field)
        if count > self.limits.rank or count > MAX_RANK:
            limit = min(self.limits.rank, MAX_RANK)
            raise TooLarge(f"{count} dimensions; the limit is {limit} (GPFN_MAX_RANK)", field=field)
        shape: tuple[int, ...] = _longs[count](self.bytes, start)
        return shape

    def string(self, place: int, field: str) -> bytes:
        """Return a copy of the string that is pointed to from ``place``."""
        start, count = self.vector(place, 1, field)
        self.copied += count
        if self.copied > self.limits.string_bytes:
            limit = self.limits.string_bytes
            raise TooLarge(f"over {limit} bytes in strings (GPFN_MAX_STRING_BYTES)", field=field)
        if self.copied > _COPIES * self.size:
            raise InvalidMessage("strings share their bytes too often", field=field)
        return bytes(self.bytes[start : start + count])

    def text(self, place: int, field: str) -> str:
        """Return the string that is pointed to from ``place``, which must be UTF-8."""
        raw = self.string(place, field)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidMessage(
                f"not UTF-8: {error.reason} at {error.start}", field=field
            ) from None

    def _astray(self, place: int, target: int, field: str, what: str) -> InvalidMessage:
        if place == target:
            return InvalidMessage(f"no offset at byte {place} of {self.size}", field=field)
        if target & 3:
            return InvalidMessage(f"{what} at byte {target}, not a multiple of 4", field=field)
        return InvalidMessage(f"{what} at byte {target} of {self.size}", field=field)


def inside(path: str, error: _Error) -> _Error:
    """Put ``path`` before the error's field, and return it."""
    field = error.field
    if not field:
        error.field = path
    else:
        error.field = f"{path}{field}" if field[0] == "[" else f"{path}.{field}"
    return error
