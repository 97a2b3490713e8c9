"""The forward writer: aligned, vtables shared, and read by flatc's code elsewhere."""

import struct

from gpfn.graphpipe.reader import Flatbuffer, TableKind
from gpfn.graphpipe.writer import Writer
from gpfn.limits import Limits


def test_fields_are_aligned_whatever_their_order() -> None:
    for before in range(9):
        writer = Writer()
        (name,) = writer.table(0, 4)
        writer.string(name, b"x" * before)
        small, large, offset = writer.table(0, 1, 8, 4)
        assert large % 8 == 0
        assert offset % 4 == 0
        writer.long(large, -5)
        writer.byte(small, 7)
        writer.longs(offset, (1, -1))
        body = Flatbuffer(bytes(writer.out), Limits())
        at, layout = body.table(0, TableKind(1, 8, 4))
        assert [at + field for field in layout[1:]] == [small, large, offset]
        assert struct.unpack_from("<q", body.bytes, large) == (-5,)
        assert body.bytes[small] == 7
        start, count = body.vector(offset, 8, "")
        assert (start % 8, count) == (0, 2)
        assert body.longs(offset, "") == (1, -1)


def test_tables_alike_share_their_vtable() -> None:
    writer = Writer()
    (tables,) = writer.table(0, 4)
    places = writer.offsets(tables, 3)
    sizes = []
    for place in places:
        writer.table(place, 4, 4)
        sizes.append(len(writer.out))
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == 12


def test_a_field_left_out_is_absent() -> None:
    writer = Writer()
    fields = writer.table(0, 4, 0, 1)
    assert fields[1] == 0
    assert Flatbuffer(bytes(writer.out), Limits()).table(0, TableKind(4, 4, 1))[1][2] == 0


def test_strings_end_in_a_nul_that_is_not_counted() -> None:
    writer = Writer()
    (place,) = writer.table(0, 4)
    writer.string(place, b"abcd")
    assert writer.out.endswith(b"\4\0\0\0abcd\0")
