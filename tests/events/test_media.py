"""What media types say of data."""

import pytest

from gpfn.events.media import charset, is_json, is_text


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "text/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/problem+json",
        "application/vnd.a+b+json;x=y",
        "application/json ;a=b",
    ],
)
def test_json(media_type: str) -> None:
    assert is_json(media_type)
    assert not is_text(media_type)


@pytest.mark.parametrize(
    "media_type",
    ["application/jsonx", "application/json-seq", "json", "a/b;json", "text/plain;x=a/b+json"],
)
def test_not_json(media_type: str) -> None:
    assert not is_json(media_type)


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("text/plain", True),
        ("text/csv; header=present", True),
        ("application/xml", True),
        ("image/svg+xml", True),
        ("application/x-www-form-urlencoded", True),
        ("application/octet-stream", False),
        ("image/png", False),
        ("application/x-npy", False),
        ("application/vnd.graphpipe", False),
        ("application/octet-stream; of=text/plain", False),
    ],
)
def test_text(media_type: str, text: bool) -> None:
    assert is_text(media_type) is text


@pytest.mark.parametrize(
    ("media_type", "codec"),
    [
        ("text/plain", "utf-8"),
        ("text/plain; charset=UTF-8", "utf-8"),
        ('text/plain;charset="iso-8859-1"', "latin-1"),
        ("text/plain; a=b ; Charset = us-ascii", "ascii"),
        ("text/plain; charset=rot13", None),
        ("text/plain; charset=zip", None),
    ],
)
def test_charset(media_type: str, codec: str | None) -> None:
    assert charset(media_type) == codec
