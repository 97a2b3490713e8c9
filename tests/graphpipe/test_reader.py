"""The flatbuffer reader: whatever an offset says, nothing outside is read."""

import struct

import numpy as np
import pytest

from gpfn.errors import InvalidMessage, TooLarge
from gpfn.graphpipe.reader import Flatbuffer, TableKind, inside
from gpfn.limits import Limits

PAIR = TableKind(4, 4)


def body(*words: int, tail: bytes = b"") -> Flatbuffer:
    """Return a message of these uint32 words."""
    return Flatbuffer(
        struct.pack(f"<{len(words)}I", *(word % 2**32 for word in words)) + tail, Limits()
    )


def vtable(*halves: int) -> tuple[int, ...]:
    """Return uint16 numbers as uint32 words."""
    halves += (0,) * (len(halves) % 2)
    return struct.unpack(f"<{len(halves) // 2}I", struct.pack(f"<{len(halves)}H", *halves))


def test_a_table_is_found_before_and_behind_its_vtable() -> None:
    before = body(12, *vtable(8, 12, 4, 8), 8, 100, 200)
    assert before.table(0, PAIR) == (12, (12, 4, 8))
    behind = body(4, -12, 100, 200, *vtable(8, 12, 4, 8))
    assert behind.table(0, PAIR) == (4, (12, 4, 8))


def test_a_short_vtable_may_stand_at_the_end() -> None:
    """As old writers make it: fields of a later schema are not in it."""
    one = body(4, -8, 100, *vtable(6, 8, 4))
    assert one.table(0, PAIR) == (4, (8, 4, 0))
    none = body(4, -4, *vtable(4, 4))
    assert none.table(0, PAIR) == (4, (4, 0, 0))
    exact = Flatbuffer(struct.pack("<IiIHHH", 4, -8, 100, 6, 8, 4), Limits())
    assert exact.table(0, PAIR) == (4, (8, 4, 0))


def test_what_stands_behind_a_short_vtable_is_no_field() -> None:
    assert body(12, *vtable(6, 8, 4, 999), 8, 100).table(0, PAIR) == (12, (8, 4, 0))


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (body(), "a table at byte 0 of 0|no offset at byte 0 of 0"),
        (body(0), "a vtable of 0 bytes"),
        (body(0, *vtable(8, 12, 4, 8)), "a vtable|no offset at byte 0"),
        (body(4), "a table at byte 4 of 4"),
        (body(2**32 - 1), "a table"),
        (body(2, 0, 0, 0), "a vtable of|not a multiple of 4"),
        (body(4, 0), "a vtable of 0 bytes"),
        (body(4, 8), "a vtable"),
        (body(4, 2**31), "a vtable"),
        (body(4, -100), "a vtable of 0 bytes"),
        (body(12, *vtable(3, 12, 4, 8), 8, 1, 2), "a vtable of 3 bytes"),
        (body(12, *vtable(9, 12, 4, 8), 8, 1, 2), "a vtable of 9 bytes"),
        (body(12, *vtable(2, 12, 4, 8), 8, 1, 2), "a vtable of 2 bytes"),
        (body(12, *vtable(8, 3, 4, 8), 8, 1, 2), "for a table of 3"),
        (body(12, *vtable(8, 16, 4, 8), 8, 1, 2), "a vtable at byte 4 at byte 12 of 24"),
        (body(12, *vtable(4000, 12, 4, 8), 8, 1, 2), "a vtable at byte 4"),
        (body(12, *vtable(8, 12, 2, 8), 8, 1, 2), "4 bytes at 2 in a table of 12"),
        (body(12, *vtable(8, 12, 6, 8), 8, 1, 2), "4 bytes at 6 in a table of 12"),
        (body(12, *vtable(8, 12, 12, 8), 8, 1, 2), "4 bytes at 12 in a table of 12"),
        (body(12, *vtable(8, 12, 4, 65532), 8, 1, 2), "at 65532 in a table of 12"),
        (body(12, *vtable(0, 8, 12, 4), 7, 1, 2, 3), "a vtable|not a multiple"),
    ],
)
def test_a_wrong_table_is_refused(message: Flatbuffer, what: str) -> None:
    with pytest.raises(InvalidMessage, match=what) as caught:
        message.table(0, PAIR, "root")
    assert caught.value.field == "root"


def test_a_vtable_at_an_odd_byte_is_refused() -> None:
    data = struct.pack("<I4x", 16) + b"\0" + struct.pack("<HHHH", 8, 12, 4, 8)[:7] + b"\0"
    data = data[:16] + struct.pack("<iII", 7, 1, 2)
    with pytest.raises(InvalidMessage):
        Flatbuffer(data, Limits()).table(0, PAIR, "root")


@pytest.mark.parametrize(
    ("words", "width"),
    [((), 1), ((0,), 1), ((4,), 1), ((4, 1), 1), ((4, 5, 0), 1), ((4, 2, 0), 4), ((6, 0, 0), 1)]
    + [((4, 2**32 - 1, 0), width) for width in (1, 4, 8)]
    + [((2**32 - 4, 0), 1), ((2**31, 0), 1)],
)
def test_a_wrong_vector_is_refused(words: tuple[int, ...], width: int) -> None:
    with pytest.raises(InvalidMessage) as caught:
        body(*words).vector(0, width, "data")
    assert caught.value.field == "data"


def test_vectors_and_strings_are_found() -> None:
    assert body(4, 2, 7, 8).vector(0, 4, "x") == (8, 2)
    assert body(4, 0).vector(0, 4, "x") == (8, 0)
    assert list(body(4, 2, 7, 8).offsets(0, "x", 2, "")) == [8, 12]
    assert body(4, 1, 5, 0).longs(0, "x") == (5,)
    assert body(4, 3, tail=b"abc\0").text(0, "x") == "abc"
    assert body(4, 3, tail=b"\xff\0a").string(0, "x") == b"\xff\0a"


def test_the_rank_ends_where_numpy_ends() -> None:
    wide = Limits(rank=1000)
    data = struct.pack("<II33q", 4, 33, *[1] * 33)
    with pytest.raises(TooLarge, match="33 dimensions; the limit is 32"):
        Flatbuffer(data, wide).longs(0, "shape")


def test_a_message_ends_at_its_limit_and_at_two_gigabytes() -> None:
    with pytest.raises(TooLarge, match="1000 bytes; the limit is 999"):
        Flatbuffer(bytearray(1000), Limits(body_bytes=999))
    assert Flatbuffer(bytearray(1000), Limits(body_bytes=1000)).size == 1000
    long = np.zeros(2**31, np.uint8)  # never touched, so never in memory
    with pytest.raises(TooLarge, match="the limit is 2147483647"):
        Flatbuffer(long.data, Limits(body_bytes=2**40))


def test_paths_are_put_together() -> None:
    error = inside("a", inside("[0]", inside("b", InvalidMessage("no"))))
    assert str(error) == "a[0].b: no"


def test_a_layout_is_checked_once() -> None:
    kind = TableKind(4, 4)
    message = body(12, *vtable(8, 12, 4, 8), 8, 100, 200)
    for _ in range(5):
        message.table(0, kind)
    assert kind.layout.cache_info().misses == 1
    assert kind.layout.cache_info().maxsize == 64
