"""The protobuf reader against protobuf's own encodings and against every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.models.protobuf import ProtobufError, fields, signed, varint


def test_all_wire_types() -> None:
    message = (
        b"\x08\x96\x01"  # field 1, varint 150
        b"\x12\x05hello"  # field 2, bytes
        b"\x1d\x00\x00\x80\x3f"  # field 3, 32 bits
        b"\x21"
        + bytes(8)  # field 4, 64 bits
        + b"\xa2\x06\x00"  # field 100, no bytes
    )
    found = list(fields(message))
    assert [(f.number, f.integer) for f in found] == [
        (1, 150),
        (2, None),
        (3, None),
        (4, None),
        (100, None),
    ]
    assert found[1].text() == "hello"
    assert [len(f.bytes) for f in found] == [0, 5, 4, 8, 0]


@pytest.mark.parametrize("size", range(1, 10))
def test_every_cut_of_a_field_is_an_error(size: int) -> None:
    message = b"\x12\x82\x01" + bytes(130)
    with pytest.raises(ProtobufError):
        list(fields(message[: size if size < 9 else len(message) - 1]))


@pytest.mark.parametrize(
    "message",
    [
        b"\x02\x00",
        b"\x0b",
        b"\x0c",
        b"\x0e",
        b"\x0f",
        b"\x08" + b"\xff" * 11,
        b"\x12\xff\xff\xff\xff\x0f",
        b"\x8a\x80\x80\x80\x10\x00",  # a tag that is 10 for who cuts it to 32 bits
        b"\x82\x80\x80\x80\x10\x00",
    ],
)
def test_nonsense_is_an_error(message: bytes) -> None:
    with pytest.raises(ProtobufError):
        list(fields(message))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        found = list(fields(message))
    except ProtobufError:
        return
    assert sum(len(field.bytes) for field in found) <= len(message)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers(number: int) -> None:
    rest, encoded = number % (1 << 64), bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    value, at = varint(memoryview(bytes(encoded)), 0)
    assert (signed(value), at) == (number, len(encoded))
