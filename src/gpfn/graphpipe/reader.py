"""A reader of flatbuffers that checks every offset before it follows it.

A flatbuffer is a graph of little-endian structures connected by offsets
(flatbuffers.dev/internals):

    message   uint32 offset to the root table, then everything else
    table     int32 back to its vtable, then the fields that are present
    vtable    uint16 its own size, uint16 the table's size, uint16 where each field is (0: absent)
    vector    uint32 number of elements, then the elements
    string    a vector of bytes, then a NUL that is not counted
    offset    uint32, from its own position forward

An offset can point anywhere, so each is checked against the end of the message and for
alignment, and each vector against the bytes that are left. Two vectors may share their
bytes: what is copied out of the message is counted, so that a small message cannot ask for
much memory. Every fault is an InvalidMessage whose ``field`` begins at the structure that
is being read; callers put the path before it with :func:`inside`.

Two rules of the format are not checked, because clients in use break them: graphpipe-go
writes no NUL after the strings of a tensor, and flatbuffers 1.9 for Python, which PyPI's
graphpipe needs, aligns int64 to 4 bytes only.

A valid message takes the short way, since reading is most of what a small call costs:
reading beyond the end raises struct.error, all other conditions are one expression, and
which one failed is found out only when one has.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from gpfn.errors import CallerError, InvalidMessage, TooLarge
from gpfn.limits import Limits

__all__ = ["MAX_MESSAGE", "MAX_RANK", "Flatbuffer", "TableKind", "inside"]

MAX_MESSAGE = (1 << 31) - 1
"""Bytes in a flatbuffer: offsets back to a vtable have 31 bits and a sign."""

MAX_RANK = 32
"""Most dimensions of one tensor, whatever the limits say: every NumPy has as many."""

_COPIES = 16
"""Several offsets may lead to one string; the copies may be this many times the message."""

_word = struct.Struct("<I").unpack_from
_back = struct.Struct("<i").unpack_from
_longs = tuple(struct.Struct(f"<{count}q").unpack_from for count in range(MAX_RANK + 1))

_Layout = tuple[int, ...]
_Error = TypeVar("_Error", bound=CallerError)


class TableKind:
    """A kind of table: the sizes of its fields in bytes, in the order of the vtable."""

    __slots__ = ("fields", "layout", "slots")

    def __init__(self, *sizes: int) -> None:
        self.fields = struct.Struct(f"<{2 + len(sizes)}H")
        self.slots = self.fields.unpack_from

        def check(raw: _Layout) -> _Layout:
            return _check_layout(raw, sizes)

        # a sender uses a handful of layouts: each is checked once and then remembered
        self.layout: Callable[[_Layout], _Layout] = lru_cache(maxsize=64)(check)


def _check_layout(raw: _Layout, sizes: tuple[int, ...]) -> _Layout:
    """Return the table's size and the position of each field in it, 0 for one that is absent."""
    vtable_size, table_size = raw[:2]
    if vtable_size < 4 or vtable_size & 1 or table_size < 4:
        raise InvalidMessage(f"a vtable of {vtable_size} bytes for a table of {table_size}")
    present = (vtable_size - 4) // 2
    positions = [position if slot < present else 0 for slot, position in enumerate(raw[2:])]
    for position, size in zip(positions, sizes, strict=True):
        if position and (position < 4 or position + size > table_size or position % min(size, 4)):
            raise InvalidMessage(
                f"a field of {size} bytes at {position} in a table of {table_size}"
            )
    return table_size, *positions


class Flatbuffer:
    """A message's bytes, read structure by structure; counts what is copied out of them.

    A ``position`` is where an offset is stored; what it leads to is returned.
    """

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

    def table(self, position: int, kind: TableKind, field: str = "") -> tuple[int, _Layout]:
        """Return the start and layout of the table that the offset at ``position`` leads to."""
        data = self.bytes
        try:
            target: int = position + _word(data, position)[0]
            vtable: int = target - _back(data, target)[0]
            raw = kind.slots(data, vtable)
        except struct.error:
            vtable, raw = self._vtable_at_the_end(position, kind, field)
        try:
            layout = kind.layout(raw)
        except InvalidMessage as error:
            raise inside(field, error) from None
        if (
            vtable < 0
            or vtable + raw[0] > self.size
            or target + layout[0] > self.size
            or (target | vtable << 1) & 3
            or target == position
        ):
            raise self._wrong_offset(position, target, field, f"a vtable at byte {vtable}")
        return target, layout

    def _vtable_at_the_end(self, position: int, kind: TableKind, field: str) -> tuple[int, _Layout]:
        """Read a vtable that is too near the end to hold all fields: it may be short."""
        target = position
        try:
            target += _word(self.bytes, position)[0]
            vtable = target - _back(self.bytes, target)[0]
        except struct.error:
            raise self._wrong_offset(position, target, field, "a table") from None
        tail = bytes(self.bytes[vtable:]) if vtable >= 0 else b""
        raw: _Layout = kind.fields.unpack(tail.ljust(kind.fields.size, b"\0"))
        return vtable, raw

    def vector(self, position: int, width: int, field: str) -> tuple[int, int]:
        """Return start and number of the elements of a vector, each ``width`` bytes long."""
        data = self.bytes
        target = position
        try:
            target += _word(data, position)[0]
            count: int = _word(data, target)[0]
        except struct.error:
            raise self._wrong_offset(position, target, field, "a vector") from None
        start = target + 4
        if start + count * width > self.size or target & 3 or target == position:
            raise self._wrong_offset(position, target, field, f"{count} elements of {width} bytes")
        return start, count

    def numbers(self, position: int, field: str) -> tuple[int, int]:
        """Return start and length of a tensor's numbers, which are not read here."""
        return self.vector(position, 1, field)

    def offsets(self, position: int, field: str, limit: int, setting: str) -> range:
        """Return the positions of the offsets in a vector of at most ``limit``."""
        start, count = self.vector(position, 4, field)
        if count > limit:
            raise TooLarge(f"{count} elements; the limit is {limit} ({setting})", field=field)
        return range(start, start + 4 * count, 4)

    def tables(self, position: int, field: str) -> range:
        """Return the positions of the offsets in a vector of tables that share no bytes."""
        start, count = self.vector(position, 4, field)
        if 8 * count > self.size:
            raise InvalidMessage(
                f"{count} tables cannot be in a message of {self.size} bytes", field=field
            )
        return range(start, start + 4 * count, 4)

    def longs(self, position: int, field: str) -> tuple[int, ...]:
        """Return the int64 numbers of a shape, at most ``limits.rank`` of them."""
        start, count = self.vector(position, 8, field)
        if count > self.limits.rank or count > MAX_RANK:
            limit = min(self.limits.rank, MAX_RANK)
            raise TooLarge(f"{count} dimensions; the limit is {limit} (GPFN_MAX_RANK)", field=field)
        shape: tuple[int, ...] = _longs[count](self.bytes, start)
        return shape

    def string(self, position: int, field: str) -> bytes:
        """Return a copy of the string that the offset at ``position`` leads to."""
        start, count = self.vector(position, 1, field)
        self.copied += count
        if self.copied > self.limits.string_bytes:
            limit = self.limits.string_bytes
            raise TooLarge(f"over {limit} bytes in strings (GPFN_MAX_STRING_BYTES)", field=field)
        if self.copied > _COPIES * self.size:
            raise InvalidMessage("strings share their bytes too often", field=field)
        return bytes(self.bytes[start : start + count])

    def text(self, position: int, field: str) -> str:
        """Return the string that the offset at ``position`` leads to, which must be UTF-8."""
        raw = self.string(position, field)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidMessage(
                f"not UTF-8: {error.reason} at {error.start}", field=field
            ) from None

    def _wrong_offset(self, position: int, target: int, field: str, what: str) -> InvalidMessage:
        if position == target:
            return InvalidMessage(f"no offset at byte {position} of {self.size}", field=field)
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
