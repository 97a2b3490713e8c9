"""The Kafka binding: how a record holds an event, and what becomes of records that are broken."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import CallerError, GpfnError, InvalidEvent, TooLarge, UnsupportedMedia
from gpfn.events import Event
from gpfn.events.kafka import key_of, read_record, write_record
from gpfn.events.protobuf_format import write_batch, write_event
from gpfn.limits import Limits
from tests.events.asking import MINIMAL
from tests.events.events import EVENTS, TEXT

MEGABYTE = 1 << 20
HEADERS = [(f"ce_{name}", value.encode()) for name, value in MINIMAL.items()]
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
WHOLE = json.dumps({**MINIMAL, "data": [1]}).encode()
PROTOBUF = write_event(Event(id="1", source="/s", type="t", data=[1]))


def one(value: bytes | None, headers: Any) -> Event:
    """Return the event of a record that holds one."""
    event = read_record(value, headers)
    assert event is not None, "not taken for an event"
    return event


def refused(value: bytes | None, headers: Any, kind: type[GpfnError] = InvalidEvent) -> GpfnError:
    """Return the error that a record is refused with."""
    with pytest.raises(kind) as caught:
        read_record(value, headers)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    return caught.value


# Which mode it is.


def test_the_example_of_the_specification_in_binary_mode() -> None:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"com.example.someevent"),
        ("ce_source", b"/mycontext/subcontext"),
        ("ce_id", b"1234-1234-1234"),
        ("ce_time", b"2018-04-05T03:56:24Z"),
        ("content-type", b"application/avro"),
    ]
    event = one(b"\0avro", headers)
    assert event.envelope() == {
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext/subcontext",
        "id": "1234-1234-1234",
        "time": "2018-04-05T03:56:24Z",
        "datacontenttype": "application/avro",
    }
    assert event.data == b"\0avro"
    value, written = write_record(event, "binary")
    assert value == b"\0avro"
    assert sorted(written) == sorted(headers)


def test_the_example_of_the_specification_in_structured_mode() -> None:
    event = one(WHOLE, STRUCTURED)
    assert event.json() == [1]
    value, headers = write_record(event, "structured")
    assert headers == tuple(STRUCTURED)
    assert json.loads(value or b"") == json.loads(WHOLE)


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/cloudevents+json",
        b"application/cloudevents+json;charset=utf-8",
        b"Application/CloudEvents+JSON; charset=UTF-8",
        b" application/cloudevents+json",
    ],
)
@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_the_media_type_decides_whatever_headers_stand_beside_it(
    media_type: bytes, name: str
) -> None:
    """Section 3.3.3: a structured message may have the headers of binary mode as well."""
    beside = [("ce_id", b"other"), ("ce_specversion", b"\xff"), ("ce_id", b"2"), ("ce_x", None)]
    for headers in ([*beside, (name, media_type)], [(name, media_type), *beside]):
        assert one(WHOLE, headers).id == "1"


@pytest.mark.parametrize("value", [WHOLE, b"[1]", b"", None])
@pytest.mark.parametrize("media_type", [b"application/json", b"text/plain", b"a/b"])
def test_no_other_media_type_makes_it_structured(value: bytes | None, media_type: bytes) -> None:
    """Kafka has nothing of HTTP's guessing: a value that looks like an event is data."""
    assert read_record(value, [("content-type", media_type)]) is None
    assert one(value, [*HEADERS, ("content-type", media_type)]).data == value


def test_protobuf_is_a_format_too() -> None:
    event = one(PROTOBUF, [("content-type", b"application/cloudevents+protobuf")])
    assert event.json() == [1]
    value, headers = write_record(event, "protobuf")
    assert value == PROTOBUF
    assert headers == (("content-type", b"application/cloudevents+protobuf"),)


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/cloudevents-batch+json",
        b"Application/CloudEvents-Batch+Protobuf",
        b"application/cloudevents+avro",
        b"application/cloudevents",
        b"application/cloudevents\xff",
        b"application/cloudevents" * 10_000,
    ],
)
def test_other_formats_and_batches_are_refused(media_type: bytes) -> None:
    batch = write_batch([Event(id="1", source="/s", type="t")])
    for value in (b"[%b]" % WHOLE, batch, None):
        error = refused(value, [*HEADERS, ("content-type", media_type)], UnsupportedMedia)
        assert error.field == "content-type"
        assert "expected application/cloudevents+json or" in error.detail


def test_what_is_no_event() -> None:
    for headers in (
        [],
        [("ce_unknown", b"1"), ("ce_time", b"now")],
        [("id", b"1"), ("ce-id", b"1"), ("xce_id", b"1")],
        [("content-type", b"application/json"), ("content-type", b"text/plain")],
        [("content-type", None)],
        [("content-type", b"\xff")],
        [("x-content-type", b"application/cloudevents+json")],
        [("ce_content-type", b"application/cloudevents+json")],
        [("", b""), ("\0", None), ("é", b"\xff")],
    ):
        assert read_record(WHOLE, headers) is None


# Attributes and data.


def test_values_are_utf_8_and_never_percent_encoded() -> None:
    event = Event(id="é%C3", type="100%", source="/s", subject='"quoted" %20 €😀', data=b"")
    value, headers = write_record(event, "binary")
    assert dict(headers)["ce_subject"] == '"quoted" %20 €😀'.encode()
    assert dict(headers)["ce_id"] == "é%C3".encode()
    assert one(value, headers) == event


def test_names_are_compared_without_case() -> None:
    headers = [(name.upper(), value) for name, value in HEADERS]
    assert one(b"x", [*headers, ("CONTENT-Type", b"a/b"), ("Ce_Ext", b"1")]).extensions == {
        "ext": "1"
    }


def test_values_that_are_no_text_are_written_in_their_canonical_form() -> None:
    extensions = {"yes": True, "no": False, "number": -5, "text": "x"}
    event = Event(id="1", type="t", source="/s", extensions=extensions)
    headers = dict(write_record(event, "binary")[1])
    assert [headers[f"ce_{name}"] for name in extensions] == [b"true", b"false", b"-5", b"x"]


def test_no_value_is_no_data_and_an_empty_one_is_some() -> None:
    tombstone, empty = one(None, HEADERS), one(b"", HEADERS)
    assert (tombstone.has_data, empty.has_data, empty.data) == (False, True, b"")
    assert write_record(tombstone, "binary") == (None, tuple(HEADERS))
    assert write_record(empty, "binary")[0] == b""
    assert write_record(tombstone, "structured")[0] is not None, "no tombstone"


def test_json_of_an_envelope_without_a_media_type_is_said_to_be_json() -> None:
    value, headers = write_record(one(WHOLE, STRUCTURED), "binary")
    assert value == b"[1]"
    assert ("content-type", b"application/json") in headers


def test_other_headers_may_be_anything() -> None:
    others = [("a", b"1"), ("a", None), ("b", b"\xff"), ("", b""), ("\0", b"\0"), ("x" * 9999, b"")]
    assert one(b"x", [*others, *HEADERS, *others]).extensions == {}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([("ce_id", b"1")], "id: the header occurs twice"),
        ([("CE_ID", b"2")], "id: the header occurs twice"),
        ([("ce_x", b"1"), ("ce_x", None)], "x: the header occurs twice"),
        ([("content-type", b"a/b"), ("Content-Type", b"a/b")], "content-type: the header occurs"),
        ([("content-type", b""), ("content-type", b"a/b")], "content-type: the header occurs"),
        ([("ce_é", b"1"), ("ce_é", b"1")], "'\\xe9': the header occurs twice"),
        ([("ce_time", None)], "time: the header's value is null"),
        ([("content-type", None)], "content-type: the header's value is null"),
        ([("ce_subject", b"\xff\0")], "subject: not UTF-8: '\\xff\\x00'"),
        ([("content-type", b"\xff")], "content-type: not UTF-8"),
        ([("ce_subject", b"a\0b")], "subject: the character U+0000"),
        ([("ce_subject", b"a\nb")], "subject: the character U+000A"),
        ([("ce_subject", b"")], "subject: must not be empty"),
        ([("ce_ext", "\u200b\ufdd0".encode())], "ext: the character U+FDD0"),
        ([("ce_time", b"now")], "time: expected an RFC 3339 date and time"),
        ([("content-type", b"json")], "datacontenttype: expected a media type"),
        ([("ce_datacontenttype", b"a/b")], "datacontenttype: the media type belongs"),
        ([("ce_data", b"1")], "data: this name is not free"),
        ([("ce_a-b", b"1")], "'a-b': an attribute's name"),
        ([("ce_", b"1")], "'': an attribute's name"),
        ([("ce_content-type", b"a/b")], "'ce_content-type': an attribute's name"),
        ([("ce_" + "x" * 9999, b"\xff")], "xxx"),
        ([("ce_dataschema", b"/x")], "dataschema: expected an absolute URI"),
    ],
    ids=range(23),
)
def test_what_is_refused(more: Any, told: str) -> None:
    for headers in ([*HEADERS, *more], [*more, *HEADERS]):
        assert str(refused(b"x", headers)).startswith(told)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_what_is_required(name: str) -> None:
    rest = [header for header in HEADERS if header[0] != f"ce_{name}"]
    assert refused(b"x", rest).field == name
    assert refused(b"x", [(f"ce_{name}", b"1")]).field == "specversion"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "value"),
        (b"", "value"),
        (b"[1]", "value"),
        (b"\xff", "value"),
        (b'{"specversion":"1.0"', "value"),
        (b'{"specversion":"1.0"}', "id"),
        (b'{"specversion":"2.0"}', "specversion"),
        (WHOLE.replace(b'"1"', b'"\\u0000"'), "id"),
        (WHOLE[:-1] + b',"id":"1"}', "id"),
        (b'{"specversion":"1.0","data":' + b"[" * 5000 + b"]" * 5000 + b"}", "data"),
    ],
    ids=range(10),
)
def test_broken_values_of_structured_mode(value: bytes | None, field: str) -> None:
    assert refused(value, STRUCTURED).field == field


def test_broken_values_in_protobuf() -> None:
    headers = [("content-type", b"application/cloudevents+protobuf")]
    for value, field in (
        (None, "value"),
        (b"", "specversion"),
        (WHOLE, "value"),
        (b"\xff", "value"),
    ):
        assert refused(value, headers).field == field


def test_a_media_type_that_comes_twice_is_ambiguous() -> None:
    for first, second in ((b"application/json", STRUCTURED[0][1]), (STRUCTURED[0][1],) * 2):
        headers = [("content-type", first), ("content-type", second)]
        assert refused(WHOLE, headers).field == "content-type"


# Versions.


def test_an_event_of_0_3() -> None:
    headers = [
        ("ce_specversion", b"0.3"),
        ("ce_id", b"1"),
        ("ce_source", b"/s"),
        ("ce_type", b"t"),
        ("ce_schemaurl", b"https://example.com/x"),
        ("ce_datacontentencoding", b"base64"),
        ("content-type", b"image/png"),
    ]
    event = one(b"\xff", headers)
    assert (event.received_as, event.dataschema, event.data) == (
        "0.3", "https://example.com/x", b"\xff",
    )  # fmt: skip
    assert ("ce_specversion", b"1.0") in write_record(event, "binary")[1]
    bad = [(n, b"%" if n == "ce_schemaurl" else v) for n, v in headers]
    assert refused(b"", bad).field == "schemaurl"


def test_an_event_of_0_1() -> None:
    headers = [
        ("ce_cloudEventsVersion", b"0.1"),
        ("ce_eventID", b"1"),
        ("ce_eventType", b"t"),
        ("ce_source", b"/s"),
        ("content-type", b"application/json"),
    ]
    event = one(b"[1]", headers)
    assert (event.id, event.type, event.received_as, event.json()) == ("1", "t", "0.1", [1])
    assert refused(b"", headers[:1]).field == "eventID"
    assert refused(b"", headers[1:]).field == "specversion"
    older = json.dumps(
        {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/", "eventType": "t"}
    )
    assert one(older.encode(), STRUCTURED).received_as == "0.1"


# The key.


def test_the_key_is_mapped_by_who_wants_it_and_stays_in_the_event() -> None:
    event = Event(id="1", type="t", source="/s", extensions={"partitionkey": "é-7"})
    assert key_of(event) == "é-7".encode()
    assert ("ce_partitionkey", "é-7".encode()) in write_record(event, "binary")[1]
    assert event.extensions == {"partitionkey": "é-7"}
    for value, key in ((5, b"5"), (True, b"true"), ("", b"")):
        assert (
            key_of(Event(id="1", type="t", source="/", extensions={"partitionkey": value})) == key
        )
    assert key_of(Event(id="1", type="t", source="/s")) is None


# Limits.


def test_limits() -> None:
    limits = Limits(body_bytes=300, headers=8, header_bytes=500)
    event = Event(id="1", type="t", source="/s", data=b"x" * 300)
    value, headers = write_record(event, "binary")
    assert read_record(value, headers, limits) == event
    for large, kind in ((b"x" * 301, headers), (WHOLE + b" " * 300, STRUCTURED), (b"x" * 301, [])):
        with pytest.raises(TooLarge, match=r"at most 300 \(GPFN_MAX_BODY_BYTES\)"):
            read_record(large, kind, limits)
    more = [(f"ce_x{number}", b"") for number in range(5)]
    assert read_record(b"", [*headers, *more[:4]], limits)
    with pytest.raises(TooLarge, match=r"9 attributes; at most 8 \(GPFN_MAX_HEADERS\)"):
        read_record(b"", [*headers, *more], limits)
    with pytest.raises(TooLarge, match=r"at most 500 \(GPFN_MAX_HEADER_BYTES\)"):
        read_record(b"", [*headers, ("ce_x", b"x" * 500)], limits)
    others = [(f"x{number}", b"x" * 100) for number in range(100)]
    assert read_record(b"", [*headers, *others], limits), "they are not looked at"


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"", [*HEADERS, *[(f"ce_x{number}", b"1") for number in range(1000)]]),
        (b"", [*HEADERS, *[("ce_x", b"1")] * 100_000]),
        (b"", [*HEADERS, ("ce_x", b"x" * MEGABYTE)]),
        (b"", [*HEADERS, ("ce_" + "x" * MEGABYTE, b"")] * 2),
        (b"", [*HEADERS, ("content-type", b" " * MEGABYTE)]),
        (b"x" * 10 * MEGABYTE, HEADERS),
        (b"x" * 10 * MEGABYTE, STRUCTURED),
        (b"{" * 6 * MEGABYTE, STRUCTURED),
        (b'{"specversion":"1.0",' + b'"a":1,' * MEGABYTE + b'"a":1}', STRUCTURED),
    ],
    ids=range(9),
)
def test_large_faults_cost_little(value: bytes, headers: Any) -> None:
    started = time.perf_counter()
    refused(value, headers, CallerError)
    assert time.perf_counter() - started < 2


# There and back.


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_binary_mode_there_and_back(event: Event) -> None:
    """Headers have no types: extensions come back as their canonical strings."""
    value, headers = write_record(event, "binary")
    again = one(value, headers)
    assert again.data == event.data == value
    for name, given_ in event.envelope().items():
        text = given_ if isinstance(given_, str) else str(given_).lower()
        assert again.envelope()[name] == text
    assert again.envelope().keys() == event.envelope().keys()
    assert write_record(again, "binary") == (value, headers)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_structured_mode_there_and_back(event: Event) -> None:
    value, headers = write_record(event, "structured")
    assert one(value, headers) == event


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_protobuf_there_and_back(event: Event) -> None:
    value, headers = write_record(event, "protobuf")
    again = one(value, headers)
    assert (again.id, again.extensions, again.data) == (event.id, event.extensions, event.data)


NAMES = st.sampled_from(
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "CE_ID", "ce_time", "content-type", "x"]
)
VALUES = st.none() | st.binary(max_size=8) | TEXT.map(str.encode)
VALUES |= st.sampled_from([b"1.0", b"0.3", b"/s", b"application/cloudevents+json", b"a/b"])


@settings(max_examples=1000, deadline=None)
@given(st.none() | st.binary(max_size=60), st.lists(st.tuples(NAMES, VALUES), max_size=7))
def test_any_record_is_an_event_or_none_or_refused(value: bytes | None, headers: Any) -> None:
    try:
        event = read_record(value, headers)
    except CallerError as error:
        assert str(error).isprintable()  # noqa: PT017
        assert error.field  # noqa: PT017
    else:
        if event is not None:
            assert one(*write_record(event, "structured")).id == event.id
