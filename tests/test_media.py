"""What media types say about data; the patterns of old are the oracle."""

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpfn.media import JSON, NPY, OCTETS, charset, essence, family, is_json, is_text, is_utf8


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


@pytest.mark.parametrize(
    ("media_type", "known"),
    [
        ("application/json", JSON),
        ("Application/JSON; charset=UTF-8", JSON),
        ('application/json;charset="utf-8"; x=y', JSON),
        ("application/vnd.acme.series+json", JSON),
        ("application/json; charset=utf-16", None),
        ("application/octet-stream", OCTETS),
        ("application/octet-stream; charset=x", OCTETS),
        ("application/x-npy", NPY),
        ("application/vnd.numpy.npy", NPY),
        ("text/plain", None),
        ("text/json-ish", None),
        ("", None),
    ],
)
def test_families(media_type: str, known: str | None) -> None:
    assert family(media_type) == known


def test_the_essence_has_no_parameters() -> None:
    assert essence(" Text/Plain ; charset=x;a=b") == "text/plain"
    assert essence("") == ""


_JSON = re.compile(r"[^/;]+/(?:[^;]*\+)?json *(?:;.*)?", re.IGNORECASE | re.DOTALL)
_TEXT = re.compile(
    r"(?:text/[^;]+|[^/;]+/(?:[^;]*\+)?xml|application/(?:javascript|ecmascript|yaml"
    r"|x-www-form-urlencoded|graphql|sql|toml)) *(?:;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9_.:\-]+)"?', re.IGNORECASE)
_NAMES = ("utf-8", "UTF8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252", "utf-16")

PIECES = st.sampled_from(
    [
        *("application", "TEXT", "text", "image", "/", "/", "+", ";", ";", "json", "Json", "xml"),
        *("yaml", "x-www-form-urlencoded", "charset", "CHARSET", "=", "=", '"', " ", "\t", "\n"),
        *("\x1c", "ß", *_NAMES, "rot13", ":", ".", "a", ""),
    ]
)
LETTERS = st.text(st.characters(exclude_characters="ſıİ\u212a"), max_size=12)
"""Those left out are what ``re.IGNORECASE`` takes for s, i and k, which no media type has."""


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES | LETTERS, max_size=14).map("".join))
@example("text/ ")
@example("text/;a")
@example('a/b;charset=""utf-8"')
@example("a/b;charset=;charset=ascii")
@example("a/b; charset = utf-8=x")
def test_the_answers_are_those_of_the_patterns(media_type: str) -> None:
    json = _JSON.fullmatch(media_type) is not None
    assert is_json(media_type) == json
    assert is_text(media_type) == (_TEXT.fullmatch(media_type) is not None and not json)
    declared = _CHARSET.search(media_type)
    alone = declared and charset(f"a/b;charset={declared[1]}")
    assert charset(media_type) == (alone if declared else "utf-8")
    assert is_utf8(media_type) == (charset(media_type) in ("utf-8", "ascii"))


@pytest.mark.parametrize("name", [*_NAMES, "rot13"])
def test_a_charset_is_one_that_python_has(name: str) -> None:
    codec = charset(f"text/plain; charset={name}")
    assert codec == (None if name == "rot13" else codec)
    assert "a".encode(codec or "utf-8")


def test_it_loads_nothing() -> None:
    code = (
        "import gpfn, sys; old = set(sys.modules); import gpfn.media; print(*{*sys.modules} - old)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["gpfn.media"]
