"""The JSON format 1.0: what stands in an envelope, and what is wrong with one."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent, TooLarge, UnsupportedMedia
from gpfn.events import Event, Message, read, write
from gpfn.events.json_format import (
    event_document,
    read_event,
    read_value,
    read_values,
    write_event,
)
from gpfn.json_exact import dumps, loads
from gpfn.limits import Limits
from tests.events.asking import MINIMAL, STRUCTURED, one, refused, structured
from tests.events.events import EVENTS

BATCH = "application/cloudevents-batch+json"
MINIMAL_TEXT = json.dumps(MINIMAL).encode()[:-1]


def written(event: Event) -> Any:
    """Return the JSON value of an event written in structured mode."""
    message = write([event], "structured")
    assert message.content_type == STRUCTURED
    assert message.headers == ()
    return orjson.loads(message.body)


def test_minimal() -> None:
    event = one(structured(MINIMAL))
    assert (event.id, event.source, event.type) == ("1", "/s", "t")
    assert not event.has_data
    assert written(event) == MINIMAL


@pytest.mark.parametrize("data", [None, 0, 1.5, "", "text", [], {}, {"a": [1, {"b": None}]}, False])
@pytest.mark.parametrize("media_type", [None, "application/json", "a/b+json; c=d"])
def test_json_data_are_the_value_itself(data: Any, media_type: str | None) -> None:
    document = {**MINIMAL, "data": data} | ({"datacontenttype": media_type} if media_type else {})
    event = one(structured(document))
    assert event.json() == data
    assert event.data == orjson.dumps(data)
    assert event.datacontenttype == media_type
    assert event.has_data  # null too: an explicit null is not the absence of data
    assert written(event) == document


def test_a_string_of_json_is_a_string() -> None:
    event = one(structured({**MINIMAL, "data": '{"a": 1}', "datacontenttype": "application/json"}))
    assert event.json() == '{"a": 1}'
    assert event.data == b'"{\\"a\\": 1}"'


@pytest.mark.parametrize(
    ("media_type", "text", "octets"),
    [
        ("text/plain", "é", "é".encode()),
        ("application/xml", '<much wow="xml"/>', b'<much wow="xml"/>'),
        ("text/plain; charset=iso-8859-1", "é", b"\xe9"),
        ("application/octet-stream", "abc", b"abc"),
        ("text/csv", "", b""),
    ],
)
def test_text_data(media_type: str, text: str, octets: bytes) -> None:
    event = one(structured({**MINIMAL, "data": text, "datacontenttype": media_type}))
    assert event.data == octets
    assert one(write([event], "structured")).data == octets


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "application/json"])
@pytest.mark.parametrize("octets", [b"", b"\0\xff", b'{ "xyz": 123 }'])
def test_base64(media_type: str | None, octets: bytes) -> None:
    document: dict[str, Any] = {**MINIMAL, "data_base64": b64encode(octets).decode()}
    if media_type:
        document["datacontenttype"] = media_type
    event = one(structured(document))
    assert event.data == octets
    assert event.datacontenttype == media_type
    again = one(write([event], "structured"))
    assert again.datacontenttype == media_type
    if media_type == "application/json" and octets.startswith(b"{"):
        assert again.json() == event.json()  # embedded: the value comes back, not its spaces
    else:
        assert again.data == octets


def test_octets_without_a_media_type_are_never_taken_for_json() -> None:
    event = one(structured({**MINIMAL, "data_base64": "eyAieHl6IjogMTIzIH0="}))
    with pytest.raises(UnsupportedMedia):
        event.json()
    assert written(event) == {**MINIMAL, "data_base64": "eyAieHl6IjogMTIzIH0="}


def test_what_bytes_become_in_an_envelope() -> None:
    cases = [
        (b"[1]", "application/json", {"data": [1]}),
        (b"nope", "application/json", {"data_base64": "bm9wZQ=="}),
        ("é".encode(), "text/plain", {"data": "é"}),
        (b"\xff", "text/plain", {"data_base64": "/w=="}),
        (b"a", "text/plain; charset=utf-16", {"data_base64": "YQ=="}),
        (b"a", "application/octet-stream", {"data_base64": "YQ=="}),
        (b"a", None, {"data_base64": "YQ=="}),
    ]
    for data, media_type, member in cases:
        event = Event(type="t", source="/s", id="1", data=data, datacontenttype=media_type)
        kind = {"datacontenttype": media_type} if media_type else {}
        assert written(event) == {**MINIMAL, **kind, **member}


@pytest.mark.parametrize(
    ("changed", "field", "detail"),
    [
        ({"data": 1, "data_base64": "AA=="}, "data_base64", "data and data_base64 are both"),
        ({"data": None, "data_base64": "AA=="}, "data_base64", "data and data_base64 are both"),
        ({"data_base64": "A"}, "data_base64", "not base64"),
        ({"data_base64": "AA="}, "data_base64", "not base64"),
        ({"data_base64": "AA==AA=="}, "data_base64", "not base64"),
        ({"data_base64": "A A="}, "data_base64", "not base64"),
        ({"data_base64": "AA\n=="}, "data_base64", "not base64"),
        ({"data_base64": "é"}, "data_base64", "not base64"),
        ({"data_base64": 5}, "data_base64", "expected a string of base64, got a number"),
        ({"data_base64": []}, "data_base64", "expected a string of base64, got an array"),
        ({"data": [1], "datacontenttype": "text/plain"}, "data", "expected a string for text"),
        ({"data": "a", "datacontenttype": "a/b; charset=x"}, "data", "charset of a/b; charset=x"),
        ({"data": "é", "datacontenttype": "a/b; charset=ascii"}, "data", "not in the charset"),
        ({"specversion": None}, "specversion", "a required attribute is missing"),
        ({"specversion": ""}, "specversion", "expected 1.0, 0.3 or 0.1, got an empty string"),
        ({"specversion": 1.0}, "specversion", "expected a string, got a number"),
        ({"specversion": "1"}, "specversion", "expected 1.0, 0.3 or 0.1, got '1'"),
        ({"specversion": "0.2"}, "specversion", "expected 1.0, 0.3 or 0.1, got '0.2'"),
        ({"specversion": "0.1"}, "specversion", "expected 1.0, 0.3 or 0.1, got '0.1'"),
        ({"cloudEventsVersion": "0.1"}, "'cloudEventsVersion'", "lower-case"),
        ({"ext": [[[1]]]}, "ext", "expected a string, a boolean or an integer, got an array"),
        ({"id": {"a": 1}}, "id", "expected a string, got an object"),
    ],
)
def test_faults_name_the_attribute(changed: dict[str, Any], field: str, detail: str) -> None:
    error = refused(structured({**MINIMAL, **changed}))
    assert error.field == field
    assert detail in error.detail


def test_null_base64_is_no_data() -> None:
    assert one(structured({**MINIMAL, "data": [1], "data_base64": None})).json() == [1]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_required_attributes(name: str) -> None:
    document = {key: value for key, value in MINIMAL.items() if key != name}
    assert refused(structured(document)).field == name


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (b"", "body", "empty"),
        (b" ", "body", "not JSON"),
        (b"{", "body", "not JSON"),
        (b"nonsense", "body", "not JSON"),
        (b"[]", "body", "expected an object, got an array"),
        (b'"text"', "body", "expected an object, got a string"),
        (b"5", "body", "expected an object, got a number"),
        (b"null", "body", "expected an object, got null"),
        (b'{"id":"\xff"}', "body", "not UTF-8: byte 0xff at offset 7"),
        (b'{"id":"\\ud800"}', "body", "not JSON"),
        ("{}".encode("utf-16"), "body", "this is UTF-16, not UTF-8"),
        ("{}".encode("utf-16-be"), "body", "this is UTF-16, not UTF-8"),
        ("{}".encode("utf-32-le"), "body", "this is UTF-32, not UTF-8"),
        (b'{"data":NaN}', "body", "not JSON"),
        (b'{"a":1}}', "body", "not JSON"),
        (b'{"specversion":"1.0","data":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "data", "nested"),
        (MINIMAL_TEXT + b',"x":' + b"[" * 300 + b"]" * 300 + b"}", "x", "got an array"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "data", "nested deeper than 1024 levels"),
    ],
)
def test_bodies_that_are_no_event(body: bytes, field: str, detail: str) -> None:
    error = refused(structured(body))
    assert error.field == field
    assert detail in error.detail
    assert len(str(error)) < 300


def test_deep_data_are_refused_when_they_have_to_be_written() -> None:
    body = json.dumps({**MINIMAL, "data": 0}).replace("0}", "[" * 500 + "]" * 500 + "}").encode()
    event = one(structured(body))
    with pytest.raises(InvalidEvent, match=r"^data: nested deeper than 254 levels"):
        _ = event.data
    with pytest.raises(InvalidEvent, match=r"^data: nested deeper than 254 levels"):
        write([event], "structured")


def test_what_is_no_json_value_cannot_be_written() -> None:
    event = Event(type="t", source="/s", data={"a": object()})
    with pytest.raises(TypeError):
        write([event], "structured")


def test_batch() -> None:
    documents = [{**MINIMAL, "id": str(number), "data": [number]} for number in range(3)]
    received = read(structured(documents, BATCH))
    assert received is not None
    assert received.mode == "batch"
    assert [event.json() for event in received.events] == [[0], [1], [2]]
    message = write(received.events, "batch")
    assert message.content_type == BATCH
    assert orjson.loads(message.body) == documents


def test_empty_batch() -> None:
    received = read(structured([], BATCH))
    assert received == ((), "batch")
    assert write((), "batch") == Message(b"[]", BATCH)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ("text", "body"),
        ([MINIMAL, 5], "[1]"),
        ([MINIMAL, []], "[1]"),
        ([MINIMAL, {**MINIMAL, "id": ""}], "[1].id"),
        ([{}], "[0].specversion"),
        ([{**MINIMAL, "data_base64": "?"}], "[0].data_base64"),
        ([{"cloudEventsVersion": "0.1"}], "[0].eventID"),
        ([{**MINIMAL, "ext": [[[[]]]]}], "[0].ext"),
    ],
)
def test_faults_in_a_batch_have_their_place(body: Any, field: str) -> None:
    assert refused(structured(body, BATCH)).field == field


def test_a_batch_has_a_limit() -> None:
    message = structured([MINIMAL] * 3, BATCH)
    assert read(message, Limits(batch=3)) is not None
    with pytest.raises(TooLarge, match="3 events in a batch; at most 2 \\(GPFN_MAX_BATCH\\)"):
        read(message, Limits(batch=2))


def test_numbers_keep_their_kind() -> None:
    event = one(
        structured(b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1,1.0]}')
    )
    assert event.data == b"[1,1.0]"


def answer(call: Callable[[], object]) -> object:
    """Return what a call gives, or the words of its error."""
    try:
        return call()
    except (InvalidEvent, TooLarge) as error:
        return type(error), error.detail, error.field


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["2", "", None, 5]),
        "specversion": st.sampled_from(["1.0", "0.3", "0.1", None, 1.0]),
        "datacontenttype": st.sampled_from(["text/plain", "application/json", "a/b", None, 1]),
        "data": st.sampled_from([None, [1, 2.5], "text", "AA==", {"a": None}]),
        "data_base64": st.sampled_from([None, "AA==", "?", 5]),
        "Ext": st.just("a name that is not allowed"),
        "ext": st.sampled_from([True, None, 1 << 40, "text", [1]]),
    },
)


@settings(max_examples=400, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_a_value_is_read_as_its_text_is(changes: list[dict[str, Any]]) -> None:
    documents = [{**MINIMAL, **changed} for changed in changes]
    text = orjson.dumps(documents[0])
    assert answer(lambda: read_value(orjson.loads(text))) == answer(lambda: read_event(text))
    batch = orjson.dumps(documents)
    expected = answer(lambda: read_values(orjson.loads(batch), 2, batch))
    assert answer(lambda: read_values(orjson.loads(batch), 2)) == expected


def test_a_value_is_kept_and_not_copied() -> None:
    data = [[1.5], [2.5]]
    document: dict[str, object] = {**MINIMAL, "data": data}
    event = read_value(document)
    assert event.json() is data
    assert event_document(event)["data"] is data
    assert refusal_of(lambda: read_value([1])) == "body: expected an object, got an array"


def refusal_of(call: Callable[[], object]) -> str:
    """Return the text of the InvalidEvent that a call raises."""
    with pytest.raises(InvalidEvent) as caught:
        call()
    return str(caught.value)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_a_document_is_the_value_of_the_text_that_is_written(event: Event) -> None:
    text = write_event(event)
    assert event_document(event) == loads(text)
    assert dumps(event_document(event, fragment=True)) == text


@pytest.mark.parametrize("data", [b"[1, 2]", b" {} ", b"[1", b"\xff", b"", b"NaN"])
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "image/png", None])
def test_a_document_of_bytes(data: bytes, media_type: str | None) -> None:
    event = Event(type="t", source="/s", id="1", data=data, datacontenttype=media_type)
    assert event_document(event) == orjson.loads(write_event(event))
    valid = event.reply(b"[1]", datacontenttype="application/json", valid_json=True)
    assert event_document(valid)["data"] == [1]
