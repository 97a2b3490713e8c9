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
