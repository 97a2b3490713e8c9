"""One view of a call's data, from an event or a plain body."""

import pytest

from gpfn.call.payload import Payload
from gpfn.errors import InvalidEvent, InvalidRequest, UnsupportedMedia
from gpfn.events import Event


def test_plain_body() -> None:
    payload = Payload(memoryview(b'{"a": 1}'), "application/json", headers=(("x-a", "1"),))
    assert payload.json() == {"a": 1}
    assert payload.data == b'{"a": 1}'
    assert payload.text() == '{"a": 1}'
    assert payload.header("x-a") == "1"
    assert payload.header("x-b") is None
    assert payload.event is None
    assert payload.field == "body"


def test_view_is_not_copied() -> None:
    body = memoryview(bytearray(b"abc"))
    assert Payload(body).view is body


def test_json_is_parsed_once() -> None:
    payload = Payload(b"[1]", "")
    assert payload.json() is payload.json()


def test_from_json_makes_bytes_on_demand() -> None:
    assert Payload.from_json({"a": [1]}).data == b'{"a":[1]}'
    assert Payload.from_json(None).json() is None


def test_from_event() -> None:
    event = Event(type="t", source="/", data={"a": 1})
    payload = Payload.from_event(event)
    assert payload.json() == {"a": 1}
    assert payload.data == b'{"a":1}'
    assert payload.media_type == "application/json"
    assert payload.field == "data"


def test_from_event_without_data() -> None:
    payload = Payload.from_event(Event(type="t", source="/"))
    assert payload.data == b""
    with pytest.raises(InvalidEvent) as raised:
        payload.json()
    assert raised.value.field == "data"


@pytest.mark.parametrize("body", [b"", b"[1", b"\xff", b"[NaN]", b"[" * 10_000])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Payload(body, "application/json").json()
    assert raised.value.field == "body"


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", "rot13"])
def test_json_in_another_charset_is_refused(charset: str) -> None:
    for name in (f"application/json; charset={charset}", f'text/json;charset="{charset}"'):
        with pytest.raises(UnsupportedMedia, match="JSON is UTF-8") as raised:
            Payload(b"[1]", name).json()
        assert raised.value.field == "body"
    for name in (
        "application/json; charset=UTF-8",
        "text/json;a=b",
        f"text/plain;charset={charset}",
    ):
        assert Payload(b"[1]", name).json() == [1]


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="body: not UTF-8 text"):
        Payload(b"\xff\xfe").text()


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("", True),
        ("text/plain", True),
        ("text/plain; charset=utf-8", True),
        ("application/x-www-form-urlencoded", True),
        ("Application/JSON", True),
        ("application/ld+json; a=b", True),
        ("application/octet-stream", False),
        ("image/jpeg", False),
    ],
)
def test_is_json_of_a_plain_body(media_type: str, expected: bool) -> None:
    assert Payload(b"", media_type).is_json is expected


def test_text_in_an_event_is_not_json() -> None:
    event = Event(type="t", source="/", data="[1]", datacontenttype="text/plain")
    assert not Payload.from_event(event).is_json
    assert Payload.from_event(event).text() == "[1]"


def test_repr_names_the_event_and_hides_the_data() -> None:
    event = Event(type="t", source="/", id="7", data={"secret": 1})
    assert repr(Payload.from_event(event)) == "Payload(media_type='application/json', event='7')"


LONG = 12345678901234567890123


def test_whole_numbers_are_exact_when_they_are_asked_for() -> None:
    payload = Payload(memoryview(b'{"a":[12345678901234567890123]}'), "application/json")
    assert payload.json(exact=False) == {"a": [float(LONG)]}
    assert payload.json() == {"a": [LONG]}
    assert payload.json(exact=False) == {"a": [LONG]}
    assert Payload.from_json({"a": LONG}).data == b'{"a":12345678901234567890123}'


@pytest.mark.parametrize("exact", [True, False])
def test_the_place_of_a_number_without_a_value_is_named(exact: bool) -> None:
    event = Event(type="t", source="/", data=b"[1e400]", datacontenttype="application/json")
    for payload, field in (
        (Payload(b'{"a":[0,1e400]}', "application/json"), "body.a[1]"),
        (Payload(b"1e400", ""), "body"),
        (Payload.from_event(event), "data[0]"),
    ):
        with pytest.raises((InvalidRequest, InvalidEvent)) as raised:
            payload.json(exact=exact)
        assert raised.value.field == field
        assert raised.value.detail == "1e400 is beyond the range of a double"


def test_a_byte_order_mark_is_skipped_and_another_encoding_is_told() -> None:
    assert Payload(b"\xef\xbb\xbf[1]", "application/problem+json").json() == [1]
    for name in ("utf-16", "utf-16-le", "utf-32-be"):
        with pytest.raises(InvalidRequest, match=f"this is {name[:6].upper()}"):
            Payload("[1]".encode(name), "application/json").json()
