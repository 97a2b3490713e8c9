"""Attributes' grammars, with the examples of their own documents and what they forbid."""

import re
import time

import pytest

from gpfn.events import attributes as grammar

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
    assert grammar.URI.fullmatch(text)
    assert grammar.URI_REFERENCE.fullmatch(text)


@pytest.mark.parametrize("text", REFERENCES)
def test_references_that_are_not_absolute(text: str) -> None:
    assert grammar.URI_REFERENCE.fullmatch(text)
    assert not grammar.URI.fullmatch(text)


@pytest.mark.parametrize("text", NO_REFERENCES)
def test_what_is_no_reference(text: str) -> None:
    assert not grammar.URI_REFERENCE.fullmatch(text)
    assert not grammar.URI.fullmatch(text)


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
    assert grammar.MEDIA_TYPE.fullmatch(text)


@pytest.mark.parametrize("text", ["", "json", "a/", "/b", "a/b/c", "a /b", "a/b\r\nx: y", "a/é"])
def test_what_is_no_media_type(text: str) -> None:
    assert not grammar.MEDIA_TYPE.fullmatch(text)


@pytest.mark.parametrize("name", ["a", "0", "traceparent", "x" * 100])
def test_names(name: str) -> None:
    assert grammar.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A", "a-b", "a_b", "é", "a\n", "٣"])
def test_what_is_no_name(name: str) -> None:
    assert not grammar.NAME.fullmatch(name)


def test_forbidden_characters() -> None:
    for code in (0, 0x0A, 0x1F, 0x7F, 0x9F, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF):
        assert grammar.FORBIDDEN_CHARACTER.search(f"a{chr(code)}b"), hex(code)
    assert grammar.FORBIDDEN_CHARACTER.search("\ud800")
    assert not grammar.FORBIDDEN_CHARACTER.search("".join(map(chr, range(0x20, 0x7F))) + "é€😀")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (grammar.URI_REFERENCE, "a" * 200_000 + " "),
        (grammar.URI_REFERENCE, "//" + "%41" * 100_000 + "@" * 3),
        (grammar.URI, "a:" + "/" * 200_000 + "\\"),
        (grammar.MEDIA_TYPE, "a/b" + " " * 200_000 + "x"),
        (grammar.FORBIDDEN_CHARACTER, "é" * 200_000),
    ],
    ids=range(5),
)
def test_hostile_text_costs_what_its_length_costs(pattern: re.Pattern[str], text: str) -> None:
    started = time.perf_counter()
    assert not pattern.fullmatch(text)
    assert time.perf_counter() - started < 0.5
