"""Numbers and encodings of an event's text: as they were sent, or refused by their place."""

import copy
import json
import pickle
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent
from gpfn.events import Event, Message, json_text, read, to_sdk, write
from gpfn.events.json_format import event_document
from tests.events.asking import MINIMAL, STRUCTURED, one, refused, structured

BATCH = "application/cloudevents-batch+json"
BINARY = tuple((f"ce-{name}", value) for name, value in MINIMAL.items())
LONG = 12345678901234567890123
VALUES = (LONG, -(2**63) - 1, 2**64, [[2**70], 0.5], {"id": LONG}, 10**400, 2**64 - 1)


def events_of(data: object) -> list[Event]:
    """Return an event with these data as each mode brings it."""
    document = {**MINIMAL, "data": data}
    batch = read(structured([document, MINIMAL], BATCH))
    sniffed = read(structured([document], "application/json"))
    assert batch is not None
    assert sniffed is not None
    return [
        one(structured(document)),
        one(structured(document, "text/plain")),
        one(structured({**MINIMAL, "datacontenttype": "application/x+json", "data": data})),
        batch.events[0],
        sniffed.events[0],
        one(Message(json.dumps(data).encode(), "application/json", BINARY)),
        one(structured({**MINIMAL, "specversion": "0.3", "data": data})),
        Event(type="t", source="/s", data=data),
    ]


@pytest.mark.parametrize("data", VALUES)
def test_whole_numbers_are_exact_in_every_mode(data: object) -> None:
    for event in events_of(data):
        assert repr(event.json()) == repr(data)
        assert repr(json.loads(event.data or b"")) == repr(data)


@pytest.mark.parametrize("data", VALUES)
def test_whole_numbers_are_written_as_they_came(data: object) -> None:
    for event in events_of(data):
        for again in (event, copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
            body = bytes(write([again], "structured").body)
            assert repr(json.loads(body)["data"]) == repr(data)
        assert repr(event_document(event)["data"]) == repr(data)
        reply = event.reply(event.json())
        assert repr(json.loads(bytes(write([reply], "batch").body))[0]["data"]) == repr(data)
        assert repr(json.loads(bytes(write([reply], "binary").body))) == repr(data)
        assert repr(to_sdk(event).get_data()) == repr(data)  # type: ignore[attr-defined]


def test_events_that_differ_beyond_a_double_differ() -> None:
    first, second = (one(structured({**MINIMAL, "data": LONG + step})) for step in (0, 1))
    assert first != second
    assert first == one(structured({**MINIMAL, "data": LONG}))


def test_objects_that_become_text_keep_their_digits() -> None:
    old = one(structured({**MINIMAL, "specversion": "0.3", "ext": {"a": LONG}}))
    assert old.extensions["ext"] == f'{{"a":{LONG}}}'


def test_arrays_do_not_wait_for_a_second_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_again(value: object, text: bytes) -> object:
        raise AssertionError("the text was looked at again")

    event = one(structured({**MINIMAL, "data": [1, LONG]}))
    monkeypatch.setattr(json_text, "settle", read_again)
    assert event.json(exact=False) == [1, float(LONG)]
    assert event.content[0] == [1, float(LONG)]


@pytest.mark.parametrize(
    ("data", "place", "detail"),
    [
        (b"1e400", "data", "1e400 is beyond the range of a double"),
        (b'{"a":[0,-1e999]}', "data.a[1]", "-1e999 is beyond the range of a double"),
        (b"[" + b"9" * 5000 + b"]", "data[0]", "a whole number of 5000 digits; at most 4300"),
    ],
)
def test_a_number_without_a_value_is_named(data: bytes, place: str, detail: str) -> None:
    text = json.dumps(MINIMAL).encode()[:-1] + b',"data":' + data + b"}"
    for content_type in (STRUCTURED, "application/json", ""):
        error = refused(structured(text, content_type))
        assert (error.field, error.detail[: len(detail)]) == (place, detail)
    for content_type in (BATCH, "text/plain"):
        assert refused(structured(b"[" + text + b"]", content_type)).field == f"[0].{place}"
    binary = one(Message(data, "application/json", BINARY))
    for exact in (True, False):
        with pytest.raises(InvalidEvent) as caught:
            binary.json(exact=exact)
        assert caught.value.field == place
    assert b"data_base64" in write([binary], "structured").body, "it goes on as it came"


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_number_in_json_is_refused(value: bytes) -> None:
    text = json.dumps(MINIMAL).encode()[:-1] + b',"data":[' + value + b"]}"
    assert "not JSON" in refused(structured(text)).detail


@pytest.mark.parametrize("value", [LONG, -LONG, -(2**31) - 1, 2**31, 2**64])
def test_an_extension_of_more_than_32_bits_is_named(value: int) -> None:
    for longer in (value, value << 20_000):
        with pytest.raises(ValueError, match=r"^ext: the integer .* needs more than 32 bits"):
            Event(type="t", source="/s", extensions={"ext": longer})
    assert refused(structured({**MINIMAL, "ext": value})).field == "ext"


def test_a_number_too_long_to_be_written_is_named() -> None:
    with pytest.raises(ValueError, match=r"^data\.a\[1\]: .*4300 digits"):
        write([Event(type="t", source="/s", data={"a": [0, 10**4300]})], "structured")


UNSAID = ["", "text/plain", "application/json", "text/json", "application/json; charset=utf-16"]
ESCAPED = json.dumps(MINIMAL).replace("spec", "\\u0073pec")
OLDEST = '{"cloudEventsVersion":"0.1","eventID":"1","source":"/s","eventType":"t"}'
TEXTS = [json.dumps(MINIMAL), " \n" + json.dumps({**MINIMAL, "data": LONG}), ESCAPED, OLDEST]
OTHERS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("content_type", [*UNSAID, STRUCTURED])
def test_a_byte_order_mark_makes_no_plain_body(text: str, content_type: str) -> None:
    marked = b"\xef\xbb\xbf" + text.encode()
    assert one(structured(marked, content_type)) == one(structured(text.encode(), content_type))
    if content_type != STRUCTURED:
        batch = read(structured(b"\xef\xbb\xbf[" + text.encode() + b"]", content_type))
        assert batch is not None
        assert batch.mode == "batch"


@pytest.mark.parametrize("encoding", OTHERS)
@pytest.mark.parametrize("wrap", ["{}", "[{}]"])
@pytest.mark.parametrize("text", TEXTS)
def test_an_event_in_another_encoding_is_refused(text: str, wrap: str, encoding: str) -> None:
    body = wrap.format(text).encode(encoding)
    declared = STRUCTURED if wrap == "{}" else BATCH
    for content_type in (*UNSAID, declared):
        error = refused(structured(body, content_type))
        assert f"this is {encoding[:6].upper()}, not UTF-8" in error.detail
        assert error.field == "body"
    cut = body[: len(body) // 2]
    assert refused(structured(cut, declared))


@pytest.mark.parametrize("encoding", [*OTHERS, "utf-8-sig"])
def test_what_is_no_event_in_another_encoding_stays_plain(encoding: str) -> None:
    for text in ('{"a":1}', "hello", "[1,2]", "specversion", ""):
        assert read(structured(text.encode(encoding), "text/plain")) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(OTHERS), st.data())
def test_any_damage_to_it_makes_no_plain_body_of_its_beginning(
    text: str, encoding: str, data: st.DataObject
) -> None:
    """Cut anywhere behind the version, it is refused."""
    assume(text != ESCAPED)  # what ends too soon is told by the name as it is usually spelled
    start = text.index(":", text.index("ersion")) + 6
    cut = data.draw(st.integers(start, len(text)))
    refused(structured(text[:cut].encode(encoding), "application/json"))


@pytest.mark.parametrize(
    "spelled", [lambda text: text, lambda text: text.replace("=", ""), str.rstrip]
)
def test_base64_of_either_alphabet(spelled: Callable[[str], str]) -> None:
    for text in ("+/8=", "-_8="):
        event = one(structured({**MINIMAL, "data_base64": spelled(text)}))
        assert event.data == b"\xfb\xff"
