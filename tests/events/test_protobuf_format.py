"""The protobuf format, against the specification's own schema and against bad bytes."""

import random
import subprocess
import sys
import time
from typing import Any

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import CallerError, GpfnError, InvalidEvent, TooLarge
from gpfn.events import Event, Message, read, write
from gpfn.events.protobuf_format import read_batch, read_event, write_batch, write_event
from gpfn.limits import Limits
from tests.events.events import EVENTS
from tests.events.protobuf_reference import MINIMAL, message, reference

MEGABYTE = 1 << 20


def encoded(made: Any) -> bytes:
    """Return the bytes of a reference message."""
    data: bytes = made.SerializeToString()
    return data


def one(made: Any) -> Event:
    """Return the event that a reference message is read as."""
    return read_event(encoded(made))


def refused(data: bytes, kind: type[GpfnError] = InvalidEvent) -> str:
    """Return the error that these bytes are refused with."""
    with pytest.raises(kind) as caught:
        read_event(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    return str(caught.value)


def field(number: int, data: bytes) -> bytes:
    """Return a field of bytes as it stands on the wire."""
    size = len(data)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + data


REQUIRED = field(1, b"1") + field(2, b"/s") + field(3, b"1.0") + field(4, b"t")


def attribute(name: bytes, value: bytes) -> bytes:
    """Return an entry of the map as it stands on the wire."""
    return field(5, field(1, name) + field(2, value))


# Reading: every type of the format.


def test_values_arrive_as_they_were_sent() -> None:
    event = one(
        message(
            {
                "yes": {"ce_boolean": True},
                "no": {"ce_boolean": False},
                "zero": {"ce_integer": 0},
                "least": {"ce_integer": -(1 << 31)},
                "most": {"ce_integer": (1 << 31) - 1},
                "text": {"ce_string": "über"},
                "empty": {"ce_string": ""},
                "octets": {"ce_bytes": b"\0\xff"},
                "uri": {"ce_uri": "https://example.com/x"},
                "reference": {"ce_uri_ref": "x/y"},
                "moment": {"ce_timestamp": {"seconds": 1_700_000_000, "nanos": 1}},
            }
        )
    )
    assert event.extensions == {
        "yes": True,
        "no": False,
        "zero": 0,
        "least": -(1 << 31),
        "most": (1 << 31) - 1,
        "text": "über",
        "empty": "",
        "octets": "AP8=",
        "uri": "https://example.com/x",
        "reference": "x/y",
        "moment": "2023-11-14T22:13:20.000000001Z",
    }
    assert [type(event.extensions[name]) for name in ("no", "zero")] == [bool, int]


def test_the_attributes_of_the_specification() -> None:
    event = one(
        message(
            {
                "subject": {"ce_string": "s"},
                "dataschema": {"ce_uri": "https://example.com/schema"},
                "datacontenttype": {"ce_string": "text/plain"},
                "time": {"ce_timestamp": {"seconds": 0}},
            }
        )
    )
    assert event.envelope() == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "subject": "s",
        "dataschema": "https://example.com/schema",
        "datacontenttype": "text/plain",
        "time": "1970-01-01T00:00:00Z",
    }
    assert not event.has_data
    assert event.received_as == "1.0"


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        (1_795_948_800, 250_000_000, "2026-11-29T10:40:00.250Z"),
        (1_795_948_800, 1_000, "2026-11-29T10:40:00.000001Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_both_ways(seconds: int, nanos: int, text: str) -> None:
    event = one(message({"time": {"ce_timestamp": {"seconds": seconds, "nanos": nanos}}}))
    assert event.time == text
    again = reference("CloudEvent").FromString(write_event(event)).attributes["time"]
    assert (again.ce_timestamp.seconds, again.ce_timestamp.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-29T16:00:00.25+01:30", "2026-11-29T14:30:00.250Z"),
        ("2026-11-29t16:00:00z", "2026-11-29T16:00:00Z"),
        ("2026-11-29T16:00:00.1234567890-00:01", "2026-11-29T16:01:00.123456789Z"),
        # what a Timestamp has no room for stays the text that it is
        ("2024-02-29T23:59:60Z", "2024-02-29T23:59:60Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+00:01", "0001-01-01T00:00:00+00:01"),
        ("2026-11-29T16:00:00.0000000001Z", "2026-11-29T16:00:00.0000000001Z"),
    ],
)
def test_a_time_is_the_same_instant_when_it_was_written(text: str, instant: str) -> None:
    event = Event(id="1", type="t", source="/s", time=text)
    assert read_event(write_event(event)).time == instant


def test_data_of_each_kind() -> None:
    kind = {"datacontenttype": {"ce_string": "image/png"}}
    assert one(message(binary_data=b"\0\xff")).data == b"\0\xff"
    assert one(message(binary_data=b"\0\xff")).datacontenttype is None
    assert one(message(kind, binary_data=b"\0")).datacontenttype == "image/png"
    assert one(message(binary_data=b"")).data == b"", "no bytes are data as well"
    assert one(message()).data is None

    text = one(message(text_data="é"))
    assert (text.data, text.datacontenttype) == ("é".encode(), "text/plain; charset=utf-8")
    latin = one(
        message({"datacontenttype": {"ce_string": "text/x; charset=latin1"}}, text_data="é")
    )
    assert latin.data == b"\xe9"
    assert one(message({"datacontenttype": {"ce_string": "a/json"}}, text_data="[1]")).json() == [1]


def test_data_that_are_a_protobuf_message() -> None:
    made = message()
    made.proto_data.type_url, made.proto_data.value = "type.googleapis.com/a.B", b"\x08\x01"
    event = one(made)
    assert event.data == b"\x08\x01"
    assert event.datacontenttype == "application/protobuf"
    assert event.extensions == {"typeurl": "type.googleapis.com/a.B"}
    again = reference("CloudEvent").FromString(write_event(event))
    assert (again.proto_data.type_url, again.proto_data.value) == (
        "type.googleapis.com/a.B", b"\x08\x01",
    )  # fmt: skip
    assert dict(again.attributes) == {"datacontenttype": again.attributes["datacontenttype"]}, (
        "the type URL is told once"
    )


def test_a_type_url_as_the_schema_of_the_data() -> None:
    """As the specification's example has it, although it is no absolute URI."""
    for url, kept in (("type.googleapis.com/a.B", None), ("https://x.example/a.B",) * 2):
        made = message({"dataschema": {"ce_uri": url}})
        made.proto_data.type_url, made.proto_data.value = url, b""
        event = one(made)
        assert (event.extensions["typeurl"], event.dataschema, event.data) == (url, kept, b"")
    made.attributes["typeurl"].ce_string = "type.googleapis.com/a.C"
    assert refused(encoded(made)) == "typeurl: the type URL of proto_data is another one"
    made = message({"dataschema": {"ce_uri": "type.googleapis.com/a.B"}}, binary_data=b"")
    assert refused(encoded(made)).startswith("dataschema: expected an absolute URI")


def test_an_attribute_that_was_not_set_after_all_is_absent() -> None:
    made = message({"subject": {}, "other": {}})
    assert set(made.attributes) == {"subject", "other"}
    assert one(made).envelope().keys() == {"specversion", "id", "source", "type"}


def test_what_a_later_version_may_add_is_passed_over() -> None:
    assert read_event(REQUIRED + field(15, b"new")).id == "1"
    assert refused(REQUIRED + attribute(b"x", field(9, b"new"))) == (
        "x: the attribute has no value of a known type"
    )


def test_an_event_of_0_3() -> None:
    event = one(message({"schemaurl": {"ce_uri": "https://example.com/x"}}, spec_version="0.3"))
    assert (event.received_as, event.dataschema) == ("0.3", "https://example.com/x")
    made = message({"schemaurl": {"ce_integer": 1}}, spec_version="0.3")
    assert refused(encoded(made)).startswith("schemaurl: ")


# Writing, and there and back.


def test_what_is_written_is_of_the_types_that_the_specification_documents() -> None:
    event = Event(
        id="1",
        type="t",
        source="/s",
        subject="é",
        time="2026-11-29T16:00:00Z",
        dataschema="https://example.com/schema",
        extensions={
            "flag": True,
            "number": -5,
            "text": "x",
            "dataref": "../x",
            "expirytime": "2026-11-29T17:00:00Z",
            "recordedtime": "yesterday",
        },
        data={"a": [1.5]},
    )
    made = reference("CloudEvent").FromString(write_event(event))
    assert (made.id, made.source, made.spec_version, made.type) == ("1", "/s", "1.0", "t")
    assert made.text_data == '{"a":[1.5]}'
    kinds = {name: value.WhichOneof("attr") for name, value in made.attributes.items()}
    assert kinds == {
        "subject": "ce_string",
        "time": "ce_timestamp",
        "dataschema": "ce_uri",
        "datacontenttype": "ce_string",
        "flag": "ce_boolean",
        "number": "ce_integer",
        "text": "ce_string",
        "dataref": "ce_uri_ref",
        "expirytime": "ce_timestamp",
        "recordedtime": "ce_string",
    }


@pytest.mark.parametrize(
    ("data", "media_type", "kind"),
    [
        (b"\xff", "image/png", "binary_data"),
        (b"{}", "application/json", "text_data"),
        (b"\xff", "application/json", "binary_data"),
        (b"\xe9", "text/plain; charset=latin1", "binary_data"),
        ("é", "text/plain", "text_data"),
        (b"", "text/plain", "text_data"),
        (b"", None, "binary_data"),
        (b"{}", None, "binary_data"),
        (b"\x08\x01", "application/protobuf", "binary_data"),
        (None, None, None),
        ([], None, "text_data"),
    ],
)
def test_where_data_are_written(data: Any, media_type: str | None, kind: str | None) -> None:
    event = Event(id="1", type="t", source="/s", data=data, datacontenttype=media_type)
    written = write_event(event)
    assert reference("CloudEvent").FromString(written).WhichOneof("data") == kind
    assert read_event(written) == event


def test_json_without_a_media_type_is_said_to_be_json() -> None:
    [event] = read(  # type: ignore[union-attr]
        Message(
            b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1]}',
            "application/cloudevents+json",
        )
    ).events
    assert event.datacontenttype is None
    again = read_event(write_event(event))
    assert (again.datacontenttype, again.json()) == ("application/json", [1])


def same(again: Event, event: Event) -> None:
    """Compare events, but for the way that the same time is written."""
    assert again.data == event.data
    assert again.extensions == event.extensions
    assert again.envelope().keys() == event.envelope().keys()
    for name, value in event.envelope().items():
        assert name == "time" or again.envelope()[name] == value


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_any_event_comes_back(event: Event) -> None:
    written = write_event(event)
    again = read_event(written)
    same(again, event)
    assert write_event(again) == written


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_any_event_is_the_same_to_the_reference(event: Event) -> None:
    """Generated code reads what is written, and writes what is read the same."""
    made = reference("CloudEvent").FromString(write_event(event))
    for part in (made, *made.attributes.values()):
        assert not len(UnknownFieldSet(part))
    same(read_event(encoded(made)), event)


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=4))
def test_any_batch_comes_back(events: list[Event]) -> None:
    written = write_batch(events)
    made = reference("CloudEventBatch").FromString(written)
    assert [each.id for each in made.events] == [event.id for event in events]
    for again, event in zip(read_batch(encoded(made)), events, strict=True):
        same(again, event)


# Bad input.


@pytest.mark.parametrize("name", ["id", "source", "spec_version", "type"])
def test_what_is_required(name: str) -> None:
    shown = "specversion" if name == "spec_version" else name
    for made in (message(**{name: ""}), message({shown: {"ce_string": "1.0"}}, **{name: ""})):
        told = refused(encoded(made))
        assert told in (
            f"{shown}: a required attribute is missing",
            f"{shown}: this attribute has a field of its own",
        )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (REQUIRED + field(1, b"2"), "id: the field occurs twice"),
        (REQUIRED + field(3, b"1.0"), "specversion: the field occurs twice"),
        (REQUIRED + attribute(b"id", field(3, b"2")), "id: the attribute occurs twice"),
        (REQUIRED + attribute(b"x", field(3, b"")) * 2, "x: the attribute occurs twice"),
        (REQUIRED + field(6, b"") + field(7, b""), "data: data occur twice"),
        (REQUIRED + field(6, b"") * 2, "data: data occur twice"),
        (REQUIRED + field(8, b"") * 2, "data: the field occurs twice"),
        (REQUIRED + attribute(b"x", b"\x08\1" + field(3, b"")), "x: the attribute has several"),
        (REQUIRED + attribute(b"time", b"\x08\1"), "time: expected a string, got a boolean"),
        (REQUIRED + attribute(b"time", field(4, b"x")), "time: expected a string, got ce_bytes"),
        (REQUIRED + attribute(b"subject", field(7, b"")), "subject: expected a string, got ce_t"),
        (REQUIRED + attribute(b"subject", field(3, b"\xff")), "subject: not UTF-8: '\\xff'"),
        (REQUIRED + attribute(b"subject", field(3, b"a\0")), "subject: the character U+0000"),
        (REQUIRED + attribute(b"subject", field(3, b"")), "subject: must not be empty"),
        (REQUIRED + attribute(b"data", field(3, b"")), "data: this name is not free"),
        (REQUIRED + attribute(b"data_base64", field(3, b"")), "data_base64: this name is not"),
        (REQUIRED + attribute(b"X-y", field(3, b"")), "'X-y': an attribute's name"),
        (REQUIRED + attribute(b"", field(3, b"")), "'': an attribute's name"),
        (REQUIRED + attribute(b"\xff", field(3, b"")), "attributes: not UTF-8"),
        (REQUIRED + attribute(b"n", b"\x10\x80\x80\x80\x80\x10"), "n: the integer 4294967296"),
        (REQUIRED + field(7, b"\xff"), "data: not UTF-8"),
        (field(1, b"\xff") + REQUIRED[3:], "id: not UTF-8"),
        (field(1, b"\0") + REQUIRED[3:], "id: the character U+0000"),
        (REQUIRED.replace(b"1.0", b"1.1"), "specversion: expected 1.0, 0.3 or 0.1, got '1.1'"),
        (REQUIRED.replace(b"1.0", b"0.1"), "specversion: expected 1.0, 0.3 or 0.1, got '0.1'"),
        (b"", "specversion: a required attribute is missing"),
        (b"{}", "body: not a protobuf message"),
        (b'{"specversion":"1.0"}', "body: not a protobuf message"),
        (b"\x0b" * 10_000, "body: not a protobuf message"),
        (b"\xff" * 100, "body: not a protobuf message"),
    ],
    ids=range(30),
)
def test_what_is_refused(data: bytes, told: str) -> None:
    assert refused(data).startswith(told)


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (1 << 40, 0),
        (-(1 << 63), 0),
        ((1 << 63) - 1, 0),
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (0, -1),
        (0, 1_000_000_000),
    ],
)
def test_a_timestamp_has_a_range(seconds: int, nanos: int) -> None:
    made = message({"time": {"ce_timestamp": {"seconds": seconds, "nanos": nanos}}})
    assert refused(encoded(made)).startswith("time: no time: ")


def test_text_in_a_charset_that_has_not_its_letters() -> None:
    for charset, told in (("ascii", "not in the charset"), ("x-unknown", "the charset of")):
        made = message(
            {"datacontenttype": {"ce_string": f"text/plain; charset={charset}"}}, text_data="é"
        )
        assert refused(encoded(made)).startswith(f"data: {told}")


def test_a_fault_in_a_batch_names_its_event() -> None:
    good, bad = message(), message({"time": {"ce_string": "now"}})
    with pytest.raises(InvalidEvent) as caught:
        read_batch(encoded(reference("CloudEventBatch")(events=[good, bad])))
    assert caught.value.field == "[1].time"
    with pytest.raises(InvalidEvent) as caught:
        read_batch(field(1, REQUIRED) + field(1, b"\xff"))
    assert caught.value.field == "[1].body"


def test_limits() -> None:
    limits = Limits(batch=3, headers=4)
    batch = field(1, REQUIRED) * 4
    with pytest.raises(TooLarge, match=r"4 events in a batch; at most 3 \(GPFN_MAX_BATCH\)"):
        read_batch(batch, limits)
    assert len(read_batch(batch[: len(batch) * 3 // 4], limits)) == 3
    many = b"".join([attribute(b"x%d" % number, field(3, b"")) for number in range(5)])
    with pytest.raises(TooLarge, match=r"over 4 attributes \(GPFN_MAX_HEADERS\)"):
        read_event(REQUIRED + many, limits)


@pytest.mark.parametrize(
    "data",
    [
        REQUIRED + b"\x2a\0" * (3 * MEGABYTE),
        REQUIRED + b"".join([attribute(b"x%d" % number, b"") for number in range(400_000)]),
        REQUIRED + b"\x32\0" * (3 * MEGABYTE),
        b"\x0a\0" * (3 * MEGABYTE),
        b"\x7b" * (6 * MEGABYTE),
        b"\x7b\x7c" * (3 * MEGABYTE),
        b"\x78\1" * (3 * MEGABYTE),
        b"\x7d\0\0\0\0" * MEGABYTE,
        b"\x79\0\0\0\0\0\0\0\0" * (MEGABYTE // 2),
    ],
    ids=range(9),
)
@pytest.mark.parametrize("reader", [read_event, read_batch])
def test_many_parts_are_counted_before_they_cost_memory(reader: Any, data: bytes) -> None:
    """Six megabytes of parts of two bytes would be objects of some hundred megabytes."""
    started = time.perf_counter()
    with pytest.raises(CallerError) as caught:
        reader(data)
    assert time.perf_counter() - started < 0.5
    assert len(str(caught.value)) < 400


def test_large_data_cost_what_their_size_costs() -> None:
    started = time.perf_counter()
    event = one(message(binary_data=bytes(5 * MEGABYTE)))
    assert len(event.data or b"") == 5 * MEGABYTE
    assert len(write_event(event)) > 5 * MEGABYTE
    assert time.perf_counter() - started < 1


WHOLE = write_event(
    Event(
        id="1", type="t", source="/s", time="2026-11-29T16:00:00.5Z", subject="s",
        extensions={"number": 5, "flag": True, "text": "é"}, data=b"\0" * 20,
    )
)  # fmt: skip


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_any_part_of_an_event_is_refused_or_another_event(cut: int) -> None:
    """A field that is missing at the end leaves a message that is whole."""
    try:
        event = read_event(WHOLE[:cut])
    except InvalidEvent as error:
        assert error.field  # noqa: PT017
    else:
        assert read_event(write_event(event)) == event


def test_any_damage_is_harmless() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        data = bytearray(WHOLE)
        for _ in range(chance.choice((1, 2, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            event = read_event(bytes(data))
        except InvalidEvent as error:
            assert error.field is not None  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
        else:
            same(read_event(write_event(event)), event)


# Beside the rest.


def test_protobuf_is_loaded_when_it_is_needed_and_missed_by_its_name() -> None:
    script = (
        "import sys\n"
        "from gpfn.errors import MissingExtra, UnsupportedMedia\n"
        "from gpfn.events import Event, Message, read, write\n"
        "import gpfn.events.kafka, gpfn.call.pipeline\n"
        "event = Event(type='t', source='/s', data=1)\n"
        "read(write([event], 'structured')), read(write([event], 'binary'))\n"
        "found = [n for n in sys.modules if n.startswith('google') or 'protobuf' in n]\n"
        "assert not found, found\n"
        "sys.modules['google.protobuf'] = None\n"
        "try: write([event], 'protobuf')\n"
        "except MissingExtra as error: print(error)\n"
        "kind = 'application/cloudevents+protobuf'\n"
        "try: read(Message(b'', kind))\n"
        "except UnsupportedMedia as error: print(error.status, error)\n"
        "try: gpfn.events.kafka.read_record(b'', [('content-type', kind.encode())])\n"
        "except UnsupportedMedia as error: print(error.field, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("pip install 'gpfn[protobuf]'" in line for line in lines)
    assert lines[1].startswith("415 content-type: application/cloudevents+protobuf: protobuf")


def test_views_are_bodies_too() -> None:
    for body in (memoryview(WHOLE), bytearray(WHOLE)):
        received = read(Message(body, "application/cloudevents+protobuf"))  # type: ignore[arg-type]
        assert received is not None
        assert write(received.events, received.mode).body == WHOLE


def test_the_minimal_message_is_minimal() -> None:
    assert encoded(reference("CloudEvent")(**MINIMAL)) == REQUIRED
    assert write_event(Event(id="1", source="/s", type="t")) == REQUIRED
