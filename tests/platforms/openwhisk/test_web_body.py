"""Bodies of web actions: text, JSON, base64, and telling them apart."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.platforms.openwhisk.web import decode_body, encode_body


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ("plain text", "text/plain", b"plain text"),
        ("abcd", "text/csv; charset=utf-8", b"abcd"),
        ("abcd", "application/x-www-form-urlencoded", b"abcd"),
        ("<a/>", "application/atom+xml", b"<a/>"),
        ("YWJj", "application/octet-stream", b"abc"),
        ("YWJj", "image/svg+xml", b"abc"),
        ("YWJj", "", b"abc"),
        ("not base64", "image/png", b"not base64"),
        ("eyJhIjoxfQ==", "application/json", b'{"a":1}'),
        ("eyJhIjoxfQ==", "application/cloudevents+json", b'{"a":1}'),
        (' {"a":1}', "application/cloudevents+json; charset=utf-8", b' {"a":1}'),
        ("[1]", "application/json", b"[1]"),
        ('"text"', "application/json", b'"text"'),
        ("", "image/png", b""),
        ("", "application/json", b""),
        ("abcd", "application/x-unknown; charset=utf-8", b"abcd"),
        ("YWJj", "application/x-unknown", b"abc"),
    ],
)
def test_decoding(body: str, content_type: str, expected: bytes) -> None:
    assert decode_body(body, content_type) == expected


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a":1}', "application/json", {"a": 1}),
        (b"[1]", "application/cloudevents-batch+json; charset=utf-8", [1]),
        (b"5", "application/json", 5),
        (b'"dGV4"', "application/json", '"dGV4"'),
        (b"\xe2\x98\x83", "text/plain", "☃"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"\xff", "image/png", "/w=="),
        (b"<a/>", "image/svg+xml", "PGEvPg=="),
        (b"<a/>", "application/xml", "<a/>"),
        (b"", "application/json", ""),
        (b"", "image/png", ""),
    ],
)
def test_encoding(body: bytes, content_type: str, expected: object) -> None:
    assert encode_body(body, content_type) == expected


@given(st.binary(), st.sampled_from(["image/png", "application/octet-stream", "application/x-npy"]))
def test_bytes_come_and_go_whole(body: bytes, content_type: str) -> None:
    text = encode_body(body, content_type)
    assert isinstance(text, str)
    assert decode_body(text, content_type) == body


@given(st.text())
def test_json_comes_whole_with_and_without_base64(text: str) -> None:
    import json

    body = json.dumps({"a": text}).encode()
    assert decode_body(base64.b64encode(body).decode(), "application/json") == body
    assert decode_body(body.decode(), "application/json") == body
