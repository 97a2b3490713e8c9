"""Requests that must be refused, each with its status, whichever way it is cut."""

import gc
import tracemalloc
import weakref
from contextlib import suppress

import pytest

from gpfn.errors import GpfnError
from gpfn.http import RequestReader
from gpfn.limits import Limits
from tests.http.feeding import head, outcome, pieces

CHUNKED = head("Transfer-Encoding: chunked")
SMALL = Limits(body_bytes=20, header_bytes=200, headers=5)

REFUSED = {
    "two equal lengths": (head("Content-Length: 5", "Content-Length: 5"), 400),
    "two lengths": (head("Content-Length: 5", "Content-Length: 6"), 400),
    "a list of lengths": (head("Content-Length: 5, 5"), 400),
    "a signed length": (head("Content-Length: +5"), 400),
    "a negative length": (head("Content-Length: -5"), 400),
    "an empty length": (head("Content-Length:"), 400),
    "a hexadecimal length": (head("Content-Length: 0x5"), 400),
    "a length over 64 bits": (head("Content-Length: 99999999999999999999"), 400),
    "a huge length": (head("Content-Length: 9000000000000000000"), 413),
    "length and chunks": (head("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "chunks and length": (head("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
    "another coding": (head("Transfer-Encoding: gzip, chunked"), 501),
    "an unknown coding": (head("Transfer-Encoding: xchunked"), 400),
    "chunked twice": (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    "chunked twice in a line": (head("Transfer-Encoding: chunked, chunked"), 400),
    "chunks in 1.0": (head("Transfer-Encoding: chunked", start="POST / HTTP/1.0"), 400),
    "no host": (head(host=None), 400),
    "two hosts": (head("Host: b"), 400),
    "an expectation": (head("Expect: a miracle", "Content-Length: 1"), 417),
    "a folded header": (head("X: a", " b"), 400),
    "a control in a value": (head("X: a\x01b"), 400),
    "NUL in a value": (head("X: a\0b"), 400),
    "a space before the colon": (head("X : a"), 400),
    "no name": (head(": a"), 400),
    "a bare line feed": (head("X: a\nY: b"), 400),
    "a bare carriage return": (head("X: a\rY: b"), 400),
    "a name that is no token": (head("X\xe9: a"), 400),
    "bytes in the target": (head(start="GET /\xe9 HTTP/1.1"), 400),
    "no absolute path": (head(start="GET a HTTP/1.1"), 400),
    "two spaces before the target": (head(start="GET  / HTTP/1.1"), 400),
    "two spaces behind the target": (head(start="GET /  HTTP/1.1"), 400),
    "a fragment": (head(start="GET /#a HTTP/1.1"), 400),
    "a fragment of a URL": (head(start="GET http://a/#b HTTP/1.1"), 400),
    "two content codings": (head("Content-Encoding: identity", "Content-Encoding: gzip"), 400),
    "an unknown method": (head(start="SPAM / HTTP/1.1"), 501),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),
    "a tunnel": (head(start="CONNECT a:80 HTTP/1.1"), 501),
    "HTTP/2 by force": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "version 2": (head(start="GET / HTTP/2.0"), 505),
    "version 1.2": (head(start="GET / HTTP/1.2"), 505),
    "version 0.9 named": (head(start="GET / HTTP/0.9"), 505),
    "version 0.9": (b"GET /\r\n\r\n", 505),
    "version 0.9 with headers": (b"GET /\r\nHost: a\r\n\r\n", 505),
    "lines without CR": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a chunk size that is none": (CHUNKED + b"x\r\nabc\r\n", 400),
    "a signed chunk size": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size in Python's spelling": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size with an underscore": (CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size with a space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "no chunk size": (CHUNKED + b"\r\n\r\n", 400),
    "a chunk size line without CR": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "a longer chunk than it said": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "a chunk size over 64 bits": (CHUNKED + b"fffffffffffffffff\r\n", 400),
    "a bad extension": (CHUNKED + b"3;\0\r\nabc\r\n0\r\n\r\n", 400),
    "an endless extension": (CHUNKED + b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "many extensions": (CHUNKED + (b"1;" + b"a" * 250 + b"\r\nb\r\n") * 300, 400),
    "many zeros": (CHUNKED + b"00000001\r\nb\r\n" * 10_000, 400),
    "a bad trailer": (CHUNKED + b"0\r\nX : 1\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, status = REFUSED[case]
    whole = outcome([data])
    found, error, _ = whole
    assert found == []
    assert error is not None
    assert error[1] == status
    assert error[2]
    for size in (1, 2, 3, 5, 8, 13):
        assert outcome(pieces(data, size)) == whole, size


OVER = {
    "the body's length": (head("Content-Length: 21"), 413, "GPFN_MAX_BODY_BYTES"),
    "one chunk": (CHUNKED + b"15\r\n" + b"x" * 21, 413, "GPFN_MAX_BODY_BYTES"),
    "many chunks": (CHUNKED + b"1\r\nx\r\n" * 21, 413, "GPFN_MAX_BODY_BYTES"),
    "header lines": (head("A: 1", "B: 1", "C: 1", "D: 1", "E: 1"), 431, "GPFN_MAX_HEADERS"),
    "a value": (head("A: " + "x" * 200), 431, "GPFN_MAX_HEADER_BYTES"),
    "an endless value": (head("A: " + "x" * 999)[:-4], 431, "GPFN_MAX_HEADER_BYTES"),
    "an endless name": (head("A" * 999)[:-4], 431, "GPFN_MAX_HEADER_BYTES"),
    "spaces before a value": (head("A:" + " " * 200 + "x"), 431, "GPFN_MAX_HEADER_BYTES"),
    "a target": (head(start=f"GET /{'x' * 200} HTTP/1.1"), 431, "GPFN_MAX_HEADER_BYTES"),
    "trailers": (CHUNKED + b"0\r\n" + b"A: 1234\r\n" * 23 + b"\r\n", 431, "trailers"),
    "one trailer": (CHUNKED + b"0\r\nA: " + b"1" * 300, 431, "trailers"),
}


@pytest.mark.parametrize("case", OVER)
def test_over_a_limit(case: str) -> None:
    data, status, names = OVER[case]
    whole = outcome([data], SMALL)
    error = whole[1]
    assert error is not None
    assert error[1] == status
    assert names in error[2]
    for size in (1, 2, 3, 5, 64):
        assert outcome(pieces(data, size), SMALL) == whole


def test_exactly_at_the_limits_is_allowed() -> None:
    filler = "x" * (200 - len(head("Content-Length: 20", "A: ")))
    data = head("Content-Length: 20", f"A: {filler}") + b"b" * 20
    found, error, _ = outcome([data], SMALL)
    assert error is None
    assert len(found[0].body) == 20
    found, error, _ = outcome([CHUNKED + b"14\r\n" + b"b" * 20 + b"\r\n0\r\n\r\n"], SMALL)
    assert error is None


def test_the_announced_size_takes_no_memory() -> None:
    tracemalloc.start()
    for data in (head("Content-Length: 9000000000000000000"), CHUNKED + b"fffffffffffffff\r\nx"):
        assert outcome([data])[1] is not None
    reply = outcome([head("Content-Length: 4000000000000")], Limits(body_bytes=1 << 62))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reply[0] == []
    assert peak < 100_000


def test_a_length_beyond_the_address_space_is_too_large() -> None:
    error = outcome([head("Content-Length: 9000000000000000000")], Limits(body_bytes=1 << 63))[1]
    assert error is not None
    assert error[:2] == ("TooLarge", 413)


def test_any_number_of_zeros_before_a_length() -> None:
    found, error, _ = outcome([head("Content-Length: " + "0" * 5000 + "3") + b"abc"])
    assert error is None
    assert found[0].body == b"abc"


class Watched(RequestReader):
    """A reader that can be watched; the slots of the real one have no room for it."""


def refused(data: bytes, limits: Limits) -> "weakref.ref[Watched]":
    """Return a reader that has refused ``data`` as often as it was asked."""
    reader = Watched(limits)
    for part in (data, b"x"):
        with suppress(GpfnError):
            reader.feed(part)
        with suppress(GpfnError):
            reader.next_request()
    return weakref.ref(reader)


@pytest.mark.parametrize("case", [*REFUSED, *OVER])
def test_a_reader_goes_with_its_last_user_after_a_refusal(case: str) -> None:
    """Without the garbage collector, for a body of 6 MB may be waiting for it."""
    limits, data = (SMALL, OVER[case][0]) if case in OVER else (Limits(), REFUSED[case][0])
    gc.disable()
    try:
        assert refused(data, limits)() is None
    finally:
        gc.enable()
