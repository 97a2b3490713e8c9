"""Reading protocol buffers without a schema compiler: fields in, checked, nothing copied.

Enough to tell what a model file is, whether it is whole, and to read the signatures of
a SavedModel. Format: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Field", "ProtobufError", "fields", "signed", "varint"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10
_MORE = 0x80
_MAX_NUMBER = (1 << 29) - 1


class ProtobufError(ValueError):
    """Not a protocol buffer, or one that was cut off."""


class Field(NamedTuple):
    """A field: its number, and its value as an integer or as the bytes of a message."""

    number: int
    integer: int | None
    bytes: memoryview

    def text(self) -> str:
        """Return the bytes as text."""
        return str(self.bytes, "utf-8", "replace")


_new = tuple.__new__  # half the time of Field(…), and there are many


def fields(message: bytes | memoryview) -> Iterator[Field]:
    """Give the fields of one message in the order they stand.

    Raises ProtobufError when a tag, a number or a length does not fit the message.
    """
    view = memoryview(message)
    at, end, empty = 0, len(view), view[:0]
    while at < end:
        tag = view[at]  # nearly all tags and sizes are one byte, and there are many
        at += 1
        if tag >= _MORE:
            tag, at = varint(view, at - 1)
        number, kind = tag >> 3, tag & 7
        if not 0 < number <= _MAX_NUMBER:  # other readers would cut a longer one to 32 bits
            raise ProtobufError(f"field number {number} at byte {at}")
        if kind == _VARINT:
            value, at = varint(view, at)
            yield _new(Field, (number, value, empty))
            continue
        if kind == _BYTES and at < end and view[at] < _MORE:
            size, at = view[at], at + 1
        else:
            size, at = _size(view, at, kind)
        if size > end - at:
            raise ProtobufError(f"field {number} needs {size} bytes at byte {at} of {end}")
        yield _new(Field, (number, None, view[at : at + size]))
        at += size


def _size(view: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind == _BYTES:
        return varint(view, at)
    if kind in (_FIXED64, _FIXED32):
        return (8 if kind == _FIXED64 else 4), at
    raise ProtobufError(f"wire type {kind} at byte {at}")


def varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at ``at`` and where the next field begins."""
    value = 0
    for index in range(_MAX_VARINT):
        if at + index >= len(view):
            raise ProtobufError(f"cut off at byte {len(view)}")
        byte = view[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ProtobufError(f"number of over {_MAX_VARINT} bytes at byte {at}")


def signed(value: int) -> int:
    """Return an int64 from its varint: negative numbers come as their 64-bit complement."""
    return value - (1 << 64) if value >> 63 else value
