"""Requests as they should be: framing, pipelining, and what they hold."""

import base64
import json
from pathlib import Path

import pytest

from gpfn.errors import GpfnError
from gpfn.http import Request, RequestReader
from gpfn.limits import Limits
from tests.http.feeding import head, outcome, pieces


def only(data: bytes, limits: Limits | None = None) -> Request:
    """Return the one request that ``data`` is, whichever way it is cut."""
    found, error, unfinished = outcome([data], limits)
    assert error is None
    assert not unfinished
    assert len(found) == 1
    for size in (1, 2, 3, 7, 64):
        assert outcome(pieces(data, size), limits) == (found, None, False)
    return found[0]


def recordings(shared: Path) -> dict[str, bytes]:
    """Return the bytes that a real Fn server sent, by case."""
    lines = (shared / "reference/wire/fn-socket.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    return {c["case"]: base64.b64decode(c["raw_base64"]) for c in cases if "raw_base64" in c}


def test_every_recorded_request_of_a_real_fn_server(shared: Path) -> None:
    cases = recordings(shared)
    assert len(cases) == 6
    bodies = {case: only(raw).body for case, raw in cases.items()}
    assert list(map(len, bodies.values())) == [8, 0, 100_000, 3, 0, 5]
    assert bodies["invoke, 8 byte body"] == b'{"a":1}\n'
    assert set(bodies["invoke, 100000 byte body"]) == {ord("x")}


def test_every_piece_size_of_a_recorded_request(shared: Path) -> None:
    raw = recordings(shared)["trigger, PUT with ce-*, cookie, authorization and a repeated header"]
    whole = outcome([raw])
    for size in range(1, len(raw)):
        assert outcome(pieces(raw, size)) == whole


def test_every_cut_in_two_of_a_recorded_request(shared: Path) -> None:
    raw = recordings(shared)["invoke endpoint by curl with ce-* headers and a repeated header"]
    whole = outcome([raw])
    for cut in range(len(raw)):
        assert outcome([raw[:cut], raw[cut:]]) == whole


def test_repeated_headers_keep_their_order_and_names_are_lower_case() -> None:
    request = only(head("X-A: 1", "Content-Length: 0", "x-A:2 \t", "X-Empty:"))
    assert request.headers == (
        ("host", "a"),
        ("x-a", "1"),
        ("content-length", "0"),
        ("x-a", "2"),
        ("x-empty", ""),
    )
    assert request.header("x-a") == "1"
    assert request.header("x-b") is None


def test_values_are_latin_1() -> None:
    assert only(head("X: caf\xe9")).header("x") == "caf\xe9"


def test_chunk_extensions_and_trailers_are_read_and_dropped() -> None:
    body = b'3;a=b;c="d"\r\nabc\r\n0002\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n'
    request = only(head("Transfer-Encoding: CHUNKED") + body)
    assert request.body == b"abcde"
    assert request.header("x-trailer") is None


def test_many_small_chunks_of_any_spelling() -> None:
    sizes = [1, 15, 16, 2, 1, 255, 9] * 20
    body = bytes(range(256)) * 24
    for spelled in ("%x", "%X", "%04x", "%x;a=b"):
        parts, position = [], 0
        for size in sizes:
            data = body[position : position + size]
            parts.append((spelled % size).encode() + b"\r\n" + data + b"\r\n")
            position += size
        request = only(head("Transfer-Encoding: chunked") + b"".join(parts) + b"0\r\n\r\n")
        assert request.body == body[:position]


def test_extensions_in_proportion_to_the_body_are_taken() -> None:
    part = b"00000400\r\n" + bytes(1024) + b"\r\n"
    data = head("Transfer-Encoding: chunked") + part * 5000 + b"0\r\n\r\n"
    found, error, _ = outcome(pieces(data, 1 << 16))
    assert error is None
    assert len(found[0].body) == 5000 * 1024


@pytest.mark.parametrize(
    ("start", "line", "keeps"),
    [
        ("GET / HTTP/1.1", "X: 1", True),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.1", "Connection: Foo, Close", False),
        ("GET / HTTP/1.1", "Connection: close\r\nConnection: keep-alive", False),
        ("GET / HTTP/1.0", "X: 1", False),
        ("GET / HTTP/1.0", "Connection: Keep-Alive", True),
        ("GET / HTTP/1.0", "Connection: close, keep-alive", False),
    ],
)
def test_keep_alive(start: str, line: str, keeps: bool) -> None:
    assert only(head(line, start=start)).keep_alive is keeps


def test_http_1_0_needs_no_host() -> None:
    assert only(head("Content-Length: 2", start="PUT /x HTTP/1.0", host=None) + b"ab").body == b"ab"


@pytest.mark.parametrize(
    "framing",
    [("Content-Length: 3", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")],
)
def test_an_offer_to_upgrade_is_ignored(framing: tuple[str, bytes]) -> None:
    line, body = framing
    request = only(head("Connection: Upgrade", "Upgrade: h2c", line) + body)
    assert (request.method, request.body) == ("POST", b"abc")


def test_empty_lines_between_requests_are_passed_over() -> None:
    data = b"\r\n\r\n" + head("Content-Length: 1") + b"a" + b"\r\n" + head(start="GET /b HTTP/1.1")
    for size in (1, 2, 5, len(data)):
        found, error, unfinished = outcome(pieces(data, size))
        assert [request.target for request in found] == ["/call", "/b"]
        assert error is None
        assert not unfinished


def test_pipelined_requests_come_one_at_a_time() -> None:
    chunked = head("Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n"
    sized = head("Content-Length: 2") + b"yz"
    reader = RequestReader(Limits())
    reader.feed(chunked + sized + chunked)
    reader.feed(sized[:-1])
    bodies = []
    while (request := reader.next_request()) is not None:
        bodies.append(request.body)
    assert bodies == [b"x", b"yz", b"x"]
    assert reader.in_request
    reader.feed(sized[-1:])
    assert reader.next_request() is not None


def test_an_error_waits_until_the_good_requests_before_it_were_taken() -> None:
    reader = RequestReader(Limits())
    reader.feed(head("Content-Length: 0") + b"\x16\x03\x01")
    assert reader.next_request() is not None
    for _ in range(2):
        with pytest.raises(GpfnError, match="unknown method"):
            reader.next_request()
        with pytest.raises(GpfnError, match="unknown method"):
            reader.feed(b"GET / HTTP/1.1\r\n")


def test_expect_continue_is_seen_until_the_body_begins() -> None:
    reader = RequestReader(Limits())
    assert not reader.expects_continue
    reader.feed(head("Expect: 100-Continue", "Content-Length: 2"))
    assert reader.expects_continue
    reader.feed(b"a")
    assert not reader.expects_continue
    reader.feed(b"b")
    assert reader.next_request() is not None
    assert not reader.expects_continue


def test_expect_continue_with_the_body_at_hand_or_without_one_is_no_wait() -> None:
    reader = RequestReader(Limits())
    reader.feed(head("Expect: 100-continue", "Content-Length: 2") + b"a")
    assert not reader.expects_continue
    reader = RequestReader(Limits())
    reader.feed(head("Expect: 100-continue", "Content-Length: 0"))
    assert not reader.expects_continue


def test_in_request_tells_idle_from_interrupted() -> None:
    reader = RequestReader(Limits())
    assert not reader.in_request
    reader.feed(b"\r\n")
    assert not reader.in_request
    reader.feed(b"P")
    assert reader.in_request
    reader.feed(head("Content-Length: 1")[1:])
    assert reader.in_request
    reader.feed(b"x")
    assert not reader.in_request


def test_memoryviews_may_be_fed() -> None:
    data = head("Content-Length: 3") + b"abc" + head(start="GET /b HTTP/1.1")
    for size in (1, 4, len(data)):
        reader, found = RequestReader(Limits()), []
        for part in pieces(data, size):
            reader.feed(memoryview(bytearray(part)))
            while (request := reader.next_request()) is not None:
                found.append((request.target, request.body))
        assert found == [("/call", b"abc"), ("/b", b"")]
