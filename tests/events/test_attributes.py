"""Every attribute: absent, empty, of another type or form; what extensions may be; the grammars."""

import re
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent
from gpfn.events import attributes
from gpfn.events.attributes import FORBIDDEN_CHARACTER, check, kind, quoted

GOOD: dict[str, object] = {"id": "1", "source": "/s", "type": "t"}


def fault(**changed: Any) -> InvalidEvent:
    """Return the error for the minimal event with these attributes changed."""
    with pytest.raises(InvalidEvent) as caught:
        check({**GOOD, **changed})
    return caught.value


@pytest.mark.parametrize("name", attributes.REQUIRED)
def test_required(name: str) -> None:
    absent = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(InvalidEvent) as caught:
        check(absent)
    assert (caught.value.field, caught.value.detail) == (name, "a required attribute is missing")
    assert fault(**{name: None}).detail == "a required attribute is missing"
    assert str(fault(**{name: ""})) == f"{name}: must not be empty"


@pytest.mark.parametrize("name", sorted(attributes.CORE))
@pytest.mark.parametrize(
    ("value", "called"),
    [(5, "a number"), (1.5, "a number"), (True, "a boolean"), ([], "an array"), ({}, "an object")],
)
def test_core_attributes_are_strings(name: str, value: object, called: str) -> None:
    assert str(fault(**{name: value})) == f"{name}: expected a string, got {called}"


@pytest.mark.parametrize("name", sorted(attributes.CORE - {"id", "source", "type"}))
def test_optional_attributes_may_be_null_but_not_empty(name: str) -> None:
    assert check({**GOOD, name: None}) == GOOD
    assert str(fault(**{name: ""})) == f"{name}: must not be empty"


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("source", "a b", "expected a URI reference (RFC 3986), got 'a b'"),
        ("dataschema", "/x", "expected an absolute URI (RFC 3986), got '/x'"),
        ("time", "now", "expected an RFC 3339 date and time, got 'now'"),
        ("datacontenttype", "json", "expected a media type (RFC 2046), got 'json'"),
    ],
)
def test_forms(name: str, value: str, detail: str) -> None:
    error = fault(**{name: value})
    assert (error.field, error.detail) == (name, detail)


@pytest.mark.parametrize("value", [0, -(1 << 31), (1 << 31) - 1, True, False, "", "text", "é€😀"])
def test_extensions_keep_their_type(value: object) -> None:
    (kept,) = (v for k, v in check({**GOOD, "ext": value}).items() if k == "ext")
    assert kept == value
    assert type(kept) is type(value)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 10**400])
def test_integers_have_32_bits(value: int) -> None:
    assert fault(ext=value).field == "ext"
    assert "needs more than 32 bits" in fault(ext=value).detail
    assert len(fault(ext=value).detail) < 100


@pytest.mark.parametrize("value", [1.0, [], {}, [1], {"a": 1}])
def test_extensions_are_no_other_type(value: object) -> None:
    assert "expected a string, a boolean or an integer" in fault(ext=value).detail


@pytest.mark.parametrize("name", ["Ext", "ext-1", "ext_1", "", "é", "a b", "a\r\nx"])
def test_names_of_extensions(name: str) -> None:
    for value in ("text", 5):
        error = fault(**{name: value})
        assert error.field == ascii(name)
        assert "lower-case letters a-z and digits" in error.detail


@pytest.mark.parametrize("name", ["specversion", "data"])
def test_names_that_are_taken(name: str) -> None:
    assert fault(**{name: "x"}).detail == "this name is not free for an extension"
    assert fault(**{name: 5}).detail == "this name is not free for an extension"


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "datacontenttype", "ext"])
@pytest.mark.parametrize("bad", ["\0", "\n", "\r\n", "\x1f", "\x7f", "\x85", "\ufffe", "\ud800"])
def test_forbidden_characters_name_the_attribute(name: str, bad: str) -> None:
    error = fault(**{name: f"a/b{bad}x"})
    assert error.field == name
    assert error.detail == f"the character U+{ord(bad[0]):04X} is not allowed in an attribute"


@settings(deadline=None)
@given(st.text(max_size=30))
def test_text_is_let_through_unless_forbidden(text: str) -> None:
    try:
        check({**GOOD, "ext": text})
        accepted = True
    except InvalidEvent:
        accepted = False
    assert accepted == (FORBIDDEN_CHARACTER.search(text) is None)


def test_printable_text_holds_no_forbidden_character() -> None:
    """What the quick way rests on, for every character that there is."""
    printable = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isprintable())
    assert len(printable) > 100_000
    assert FORBIDDEN_CHARACTER.search(printable) is None


def test_values_seen_before_are_known_for_their_attribute_only() -> None:
    check({**GOOD, "datacontenttype": "a/b"})
    check({**GOOD, "datacontenttype": "a/b"})
    assert fault(dataschema="a/b").field == "dataschema"
    assert fault(time="a/b").field == "time"


def test_what_is_remembered_is_bounded() -> None:
    remembered = attributes._SEEN
    for number in range(3000):
        check({**GOOD, "source": f"/{number}"})
    check({**GOOD, "source": "/" + "x" * 10_000})
    assert len(remembered) <= 1024
    assert max(map(len, remembered)) <= 256


def test_a_value_in_a_message_is_one_short_line_of_ascii() -> None:
    assert quoted("é\n") == "'\\xe9\\n'"
    assert len(quoted("x" * 10_000)) < 100
    assert kind(object()) == "a object"
    assert kind(None) == "null"


URIS = [
    "ftp://ftp.is.co.za/rfc/rfc1808.txt",
    "http://www.ietf.org/rfc/rfc2396.txt",
    "ldap://[2001:db8::7]/c=GB?objectClass?one",
    "mailto:John.Doe@example.com",
    "news:comp.infosystems.www.servers.unix",
    "tel:+1-816-555-1212",
    "telnet://192.0.2.16:80/",
    "urn:oasis:names:specification:docbook:dtd:xml:4.1.2",
    "https://github.com/cloudevents",
    "mailto:cncf-wg-serverless@lists.cncf.io",
    "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
    "http://user:pass@host:8080/a;b=c/d?e=f&g#h",
    "http://[v1.x:y]/",
    "file:///etc/hosts",
    "http://a/%E2%82%AC",
    "a:",
]

REFERENCES = [
    "/cloudevents/spec/pull/123",
    "/sensors/tn-1234567/alerts",
    "1-555-123-4567",
    "//host/path",
    "?query",
    "#fragment",
    "../up",
    "./a:b",
    "a/b:c",
    ".",
]

NO_REFERENCES = [
    "",
    "a b",
    "1a:b",
    "a\nb",
    "/a\n",
    "/%",
    "/%2",
    "/%zz",
    "http://[::1",
    "http://a]b/",
    "http://host:port/",
    "/\\",
    '/"',
    "/<a>",
    "/{a}",
    "/a|b",
    "/^",
    "/`",
    "/é",
    "/a#b#c",
    "http://a@b@c/",
]


@pytest.mark.parametrize("text", URIS)
def test_uris(text: str) -> None:
    assert attributes.URI.fullmatch(text)
    assert attributes.URI_REFERENCE.fullmatch(text)


@pytest.mark.parametrize("text", REFERENCES)
def test_references_that_are_not_absolute(text: str) -> None:
    assert attributes.URI_REFERENCE.fullmatch(text)
    assert not attributes.URI.fullmatch(text)


@pytest.mark.parametrize("text", NO_REFERENCES)
def test_what_is_no_reference(text: str) -> None:
    assert not attributes.URI_REFERENCE.fullmatch(text)
    assert not attributes.URI.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [
        "application/json",
        "text/plain; charset=utf-8",
        'multipart/mixed; boundary="a b"',
        "application/vnd.graphpipe",
        "image/svg+xml",
        "APPLICATION/JSON;charset=UTF-8",
        "a/b ;c=d",
    ],
)
def test_media_types(text: str) -> None:
    assert attributes.MEDIA_TYPE.fullmatch(text)


@pytest.mark.parametrize("text", ["", "json", "a/", "/b", "a/b/c", "a /b", "a/b\r\nx: y", "a/é"])
def test_what_is_no_media_type(text: str) -> None:
    assert not attributes.MEDIA_TYPE.fullmatch(text)


@pytest.mark.parametrize("name", ["a", "0", "traceparent", "x" * 100])
def test_names(name: str) -> None:
    assert attributes.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A", "a-b", "a_b", "é", "a\n", "٣"])
def test_what_is_no_name(name: str) -> None:
    assert not attributes.NAME.fullmatch(name)


def test_forbidden_characters() -> None:
    for code in (0, 0x0A, 0x1F, 0x7F, 0x9F, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF):
        assert attributes.FORBIDDEN_CHARACTER.search(f"a{chr(code)}b"), hex(code)
    assert attributes.FORBIDDEN_CHARACTER.search("\ud800")
    assert not attributes.FORBIDDEN_CHARACTER.search("".join(map(chr, range(0x20, 0x7F))) + "é€😀")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (attributes.URI_REFERENCE, "a" * 200_000 + " "),
        (attributes.URI_REFERENCE, "//" + "%41" * 100_000 + "@" * 3),
        (attributes.URI, "a:" + "/" * 200_000 + "\\"),
        (attributes.MEDIA_TYPE, "a/b" + " " * 200_000 + "x"),
        (attributes.FORBIDDEN_CHARACTER, "é" * 200_000),
    ],
    ids=range(5),
)
def test_hostile_text_costs_what_its_length_costs(pattern: re.Pattern[str], text: str) -> None:
    started = time.perf_counter()
    assert not pattern.fullmatch(text)
    assert time.perf_counter() - started < 0.5
