"""Binary mode: attributes as headers, percent-encoded as section 3.1.3.2 says."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent
from gpfn.events import Event, Message, modes, write
from gpfn.events.attributes import FORBIDDEN_CHARACTER
from gpfn.events.http_binary import decode_value, encode_value
from tests.events.asking import MINIMAL, one, refused

HEADERS = tuple((f"ce-{name}", value) for name, value in MINIMAL.items())


def test_attributes_come_from_headers_and_data_from_the_body() -> None:
    headers = (*HEADERS, ("ce-ext", "5"), ("user-agent", "x"), ("x-ce-id", "no"))
    event = one(Message(b"\0\xff", "application/octet-stream", headers))
    assert event.envelope() == {**MINIMAL, "ext": "5", "datacontenttype": event.datacontenttype}
    assert event.datacontenttype == "application/octet-stream"
    assert event.data == b"\0\xff"
    assert event.received_as == "1.0"


def test_the_media_type_is_kept_byte_for_byte() -> None:
    media_type = 'Application/JSON ;  charset="UTF-8"'
    event = one(Message(b"[1]", media_type, HEADERS))
    assert event.datacontenttype == media_type
    assert event.json() == [1]
    assert write([event], "binary").content_type == media_type


def test_no_body_is_no_data() -> None:
    event = one(Message(b"", "", HEADERS))
    assert not event.has_data
    assert event.data is None
    message = write([event], "binary")
    assert (message.body, message.content_type) == (b"", "")


def test_written_headers() -> None:
    event = Event(
        type="t",
        source="/s",
        id="é",
        subject='100% "x"',
        extensions={"flag": True, "off": False, "n": -5},
        data=b"x",
        datacontenttype="text/plain",
    )
    assert write([event], "binary") == Message(
        b"x",
        "text/plain",
        (
            ("ce-specversion", "1.0"),
            ("ce-id", "%C3%A9"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-subject", "100%25%20%22x%22"),
            ("ce-flag", "true"),
            ("ce-off", "false"),
            ("ce-n", "-5"),
        ),
    )


def test_the_example_of_the_binding() -> None:
    assert encode_value("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert decode_value("Euro%20%E2%82%AC%20%F0%9F%98%80", "x") == "Euro € 😀"
    assert decode_value("Euro%20%e2%82%ac%20%f0%9f%98%80", "x") == "Euro € 😀"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("plain", "plain"),
        ("%61%62", "ab"),  # encoded without need
        ("%2541", "%41"),  # one round only
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ('"quoted text"', "quoted text"),
        ('"a \\"b\\" \\\\"', 'a "b" \\'),
        ('"%C3%A9"', "é"),
        ('5"', '5"'),
        ('a "b" c', 'a "b" c'),
        ('""', ""),
        ("Euro \u00e2\u0082\u00ac", "Euro €"),  # octets sent as they are
        ("€", "€"),  # a transport that gives text
        ("a%0Ab", "a\nb"),
    ],
)
def test_values(header: str, value: str) -> None:
    assert decode_value(header, "x") == value


@pytest.mark.parametrize("header", ["%C0%A0", "%ff", "%E2%82", "\u00ff", "%ED%A0%80", "\ud800%"])
def test_octets_that_are_no_utf8_are_refused(header: str) -> None:
    error = refused(Message(b"", "", (*HEADERS, ("ce-subject", header))))
    assert error.field == "subject"
    assert "not UTF-8 once decoded" in error.detail
    assert error.detail.isascii()


@settings(deadline=None)
@given(st.text(max_size=40))
def test_encoded_values_are_printable_ascii_and_come_back(text: str) -> None:
    if FORBIDDEN_CHARACTER.search(text) and any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    encoded = encode_value(text)
    assert all("!" <= letter <= "~" and letter != '"' for letter in encoded)
    assert decode_value(encoded, "x") == text


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_header_is_decoded_or_refused(value: str) -> None:
    with suppress(InvalidEvent):
        assert isinstance(decode_value(value, "x"), str)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ((*HEADERS, ("ce-id", "2")), "ce-id"),
        (HEADERS[1:], "specversion"),
        (HEADERS[1:2], "specversion"),
        ((*HEADERS[1:], ("ce-specversion", "0.2")), "specversion"),
        ((*HEADERS[1:], ("ce-specversion", "")), "specversion"),
        ((HEADERS[0], *HEADERS[2:]), "id"),
        ((*HEADERS, ("ce-datacontenttype", "a/b")), "datacontenttype"),
        ((*HEADERS, ("ce-data", "x")), "data"),
        ((*HEADERS, ("ce-a-b", "x")), "'a-b'"),
        ((*HEADERS, ("ce-", "x")), "''"),
        ((*HEADERS, ("ce-subject", "")), "subject"),
        ((*HEADERS, ("ce-time", "x")), "time"),
        ((*HEADERS, ("ce-subject", "a%0d%0aset-cookie:%20x")), "subject"),
        ((*HEADERS, ("ce-subject", "%00")), "subject"),
        ((*HEADERS, ("ce-subject", "%C2%85")), "subject"),
    ],
)
def test_faults(headers: tuple[tuple[str, str], ...], field: str) -> None:
    assert refused(Message(b"", "", headers)).field == field


def test_a_media_type_that_is_none_is_refused() -> None:
    assert refused(Message(b"x", "nonsense", HEADERS)).field == "datacontenttype"


def test_json_implied_by_an_envelope_is_said_in_headers() -> None:
    event = Event.received(dict(one(Message(b"", "", HEADERS)).extensions) | {
        "id": "1", "source": "/s", "type": "t"}, None, {"a": 1})  # fmt: skip
    message = write([event], "binary")
    assert message.content_type == "application/json"
    assert message.body == b'{"a":1}'


def test_a_large_body_is_not_copied() -> None:
    body = memoryview(bytearray(1 << 20))
    event = one(Message(body, "application/octet-stream", HEADERS))
    assert event.buffer is body
    assert write([event], "binary").body is body


def test_hostile_quotes_cost_what_their_length_costs() -> None:
    started = time.perf_counter()
    decode_value('"' + "\\a" * 100_000, "x")
    decode_value('"\\' * 100_000, "x")
    assert time.perf_counter() - started < 2


def test_values_of_headers_are_the_bindings_alone() -> None:
    """Modes choose among bindings; who needs one's values asks that one."""
    assert set(modes.__all__) == {"Mode", "Received", "read", "write"}
    assert not hasattr(modes, "decode_value")
    assert not hasattr(modes, "encode_value")
