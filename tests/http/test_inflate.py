"""Compressed bodies: what they inflate to, and that it is bounded before it is made."""

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.deadline import Deadline
from gpfn.errors import (
    DeadlineExceeded,
    GpfnError,
    InvalidRequest,
    Overloaded,
    TooLarge,
    UnsupportedMedia,
)
from gpfn.http.inflate import inflate, is_identity

PLAIN = b"what was sent" * 1000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("GZIP", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", raw_deflate(PLAIN)),
        ("gzip", gzip.compress(PLAIN[:999]) + gzip.compress(PLAIN[999:])),
    ],
)
def test_what_comes_out(coding: str, packed: bytes) -> None:
    assert bytes(inflate(packed, coding, len(PLAIN))) == PLAIN
    assert bytes(inflate(memoryview(packed), f" {coding} ", len(PLAIN))) == PLAIN


def test_an_empty_body_in_each_coding() -> None:
    assert inflate(gzip.compress(b""), "gzip", 10) == b""
    assert inflate(zlib.compress(b""), "deflate", 10) == b""


@pytest.mark.parametrize(
    ("coding", "packed", "error"),
    [
        ("br", PLAIN, UnsupportedMedia),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN)), UnsupportedMedia),
        ("gzip", b"", InvalidRequest),
        ("gzip", PLAIN, InvalidRequest),
        ("gzip", zlib.compress(PLAIN), InvalidRequest),
        ("gzip", gzip.compress(PLAIN)[:-1], InvalidRequest),
        ("gzip", gzip.compress(PLAIN) + b"junk", InvalidRequest),
        ("deflate", zlib.compress(PLAIN)[:-1], InvalidRequest),
        ("deflate", zlib.compress(PLAIN) + b"x", InvalidRequest),
    ],
)
def test_what_is_refused(coding: str, packed: bytes, error: type[GpfnError]) -> None:
    with pytest.raises(error):
        inflate(packed, coding, 1 << 20)


def test_the_limit_is_met_to_the_byte() -> None:
    packed = gzip.compress(PLAIN)
    assert len(inflate(packed, "gzip", len(PLAIN))) == len(PLAIN)
    with pytest.raises(TooLarge, match="GPFN_MAX_BODY_BYTES"):
        inflate(packed, "gzip", len(PLAIN) - 1)


def test_every_piece_is_counted_before_the_next_is_made() -> None:
    bomb = gzip.compress(bytes(100 << 20))
    held: list[int] = []

    def hold(size: int) -> None:
        held.append(size)
        if sum(held) > 5 << 20:
            raise Overloaded("enough")

    with pytest.raises(Overloaded):
        inflate(bomb, "gzip", 1 << 30, hold)
    assert sum(held) <= 7 << 20
    assert max(held) <= 1 << 20


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_anything_is_inflated_or_refused(data: bytes, coding: str) -> None:
    try:
        assert len(inflate(data, coding, 1000)) <= 1000
    except (InvalidRequest, TooLarge):
        return


def test_identity() -> None:
    assert is_identity("")
    assert is_identity(" Identity ")
    assert not is_identity("gzip")


def test_very_many_members_are_refused_in_a_moment() -> None:
    member = gzip.compress(b"")
    began = time.process_time()
    assert inflate(member * 10_000, "gzip", 10) == b""
    with pytest.raises(InvalidRequest, match="over 10000 gzip members"):
        inflate(member * 300_000, "gzip", 10)
    assert time.process_time() - began < 2


def test_the_deadline_ends_it() -> None:
    with pytest.raises(DeadlineExceeded):
        inflate(gzip.compress(bytes(1 << 20)), "gzip", 1 << 30, deadline=Deadline.after(-1))
