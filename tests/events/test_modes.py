"""Which mode a message is in, and when it holds no event at all."""

import json

import pytest

from gpfn.errors import TooLarge, UnsupportedMedia
from gpfn.events import Message, Mode, Received, read, write
from gpfn.events.protobuf_format import write_batch, write_event
from gpfn.limits import Limits
from tests.events.asking import MINIMAL, one, refused, structured

HEADERS = tuple((f"ce-{name}", value) for name, value in MINIMAL.items())
V01 = {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"}
UNSAID = [
    "",
    "text/plain",
    "text/plain; charset=utf-8",
    "application/json",
    "Application/JSON",
    "application/json;charset=utf-8",
    "text/json",
    "application/x-www-form-urlencoded",
]


def mode(message: Message) -> str | None:
    """Return the mode that a message is read in, or None when it is no event."""
    received = read(message)
    return None if received is None else received.mode


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON",
        " application/cloudevents+json ;a=b",
    ],
)
def test_structured(content_type: str) -> None:
    assert mode(structured(MINIMAL, content_type)) == "structured"
    # The envelope holds all attributes; headers that repeat them are not read.
    assert mode(structured(MINIMAL, content_type)._replace(headers=(("ce-id", "2"),)))


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents-batch+json", "application/cloudevents-batch+json; charset=UTF-8"],
)
def test_batch(content_type: str) -> None:
    assert mode(structured([MINIMAL], content_type)) == "batch"


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+protobuf", " Application/CloudEvents+Protobuf ; a=b"],
)
def test_protobuf(content_type: str) -> None:
    body = write_event(one(structured(MINIMAL)))
    assert mode(Message(body, content_type)) == "protobuf"
    batch = content_type.replace("+", "-batch+").replace("Events-batch", "Events-Batch")
    assert mode(Message(write_batch([one(structured(MINIMAL))] * 2), batch)) == "protobuf-batch"
    assert mode(Message(b"", batch)) == "protobuf-batch"
    # As in JSON: the message holds all attributes; headers that repeat them are not read.
    assert one(Message(body, content_type, (("ce-id", "2"),))).id == "1"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_protobuf_is_never_guessed(content_type: str) -> None:
    body = write_event(one(structured({**MINIMAL, "specversion": "1.0"})))
    assert read(Message(body, content_type)) is None


@pytest.mark.parametrize("written", ["structured", "binary", "batch", "protobuf", "protobuf-batch"])
def test_an_answer_is_written_as_the_event_came(written: Mode) -> None:
    message = write([one(structured(MINIMAL))], written)
    received = read(message)
    assert received is not None
    assert write(received.events, received.mode) == message


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+avro", "application/cloudevents", "application/cloudevents-batch+x"],
)
def test_formats_that_are_not_known(content_type: str) -> None:
    error = refused(structured(MINIMAL, content_type), UnsupportedMedia)
    assert error.status == 415
    assert content_type in error.detail
    assert error.field == "content-type"


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "image/png"])
def test_binary(content_type: str) -> None:
    assert mode(Message(b"[1]", content_type, HEADERS)) == "binary"
    inner = json.dumps(MINIMAL | {"id": "inner"}).encode()
    assert one(Message(inner, content_type, HEADERS)).id == "1"  # headers come before the body


@pytest.mark.parametrize("content_type", UNSAID)
def test_an_event_is_recognised_where_nothing_better_is_said(content_type: str) -> None:
    for document in (MINIMAL, V01):
        assert mode(structured(document, content_type)) == "structured"
        assert mode(structured([document, document], content_type)) == "batch"
        text = b" \n\t" + json.dumps(document, indent=1).encode()
        assert mode(structured(text, content_type)) == "structured"


@pytest.mark.parametrize("content_type", UNSAID)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[[1]]",
        b"[]",
        b"{}",
        b"5",
        b'"specversion"',
        b'["specversion"]',
        b'{"data": [1]}',
        b'{"data": {"specversion": "1.0"}}',
        b'[{"data": {"specversion": "1.0"}}]',
        b'[{"specversion": "1.0"}, 5]',
        b'[{"a": 1}]',
        b"plain text with specversion",
        b'{"\\u0061": 1}',
        b'{"\\u0061": ',
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_no_event(content_type: str, body: bytes) -> None:
    assert read(Message(body, content_type)) is None


@pytest.mark.parametrize("content_type", ["image/png", "text/html", "application/octet-stream"])
def test_other_media_types_are_never_looked_into(content_type: str) -> None:
    assert read(structured(MINIMAL, content_type)) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"specversion": "1.0"}', "id"),
        (b'{"spec\\u0076ersion": "1.0"}', "id"),
        (b'{"specversion": null, "id": "1"}', "specversion"),
        (b'{"specversion": "7.0", "id": "1"}', "specversion"),
        (b'{"specversion": "1.0", ', "body"),
        (b'{"specversion": "1.0", "id": "\xff"}', "body"),
        (b'{"cloudEventsVersion": "0.1"}', "eventID"),
        (b'[{"specversion": "1.0"}]', "[0].id"),
        (b'{"specversion":"1.0","data":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "data"),
    ],
)
def test_a_broken_event_is_not_a_plain_body(body: bytes, field: str) -> None:
    assert refused(Message(body, "text/plain")).field == field


def test_headers_without_a_version_are_a_broken_event() -> None:
    for name in ("ce-id", "ce-source", "ce-type"):
        assert refused(Message(b"", "", ((name, "1"),))).field == "specversion"
    assert refused(Message(b"", "", (("ce-eventid", "1"),))).field == "specversion"
    assert read(Message(b"[1]", "text/plain", (("ce-unknown", "1"), ("x-id", "2")))) is None


def test_views_are_bodies_too() -> None:
    body = memoryview(json.dumps(MINIMAL).encode())
    assert mode(Message(body, "text/plain")) == "structured"
    assert mode(Message(body, "application/cloudevents+json")) == "structured"
    assert mode(Message(body, "", HEADERS)) == "binary"
    assert read(Message(memoryview(b"[1]"), "")) is None


def test_a_body_has_a_limit() -> None:
    message = Message(bytes(100), "image/png")
    assert read(message, Limits(body_bytes=100)) is None
    with pytest.raises(TooLarge, match="100 bytes; at most 99 \\(GPFN_MAX_BODY_BYTES\\)"):
        read(message, Limits(body_bytes=99))


@pytest.mark.parametrize("how", ["structured", "binary", "batch"])
def test_what_is_written_is_read_in_the_same_mode(how: str) -> None:
    event = one(structured({**MINIMAL, "data": [1]}))
    received = read(write([event], how))  # type: ignore[arg-type]
    assert received is not None
    assert received.mode == how
    assert received.events[0].json() == [1]
    assert isinstance(received, Received)


def test_modes_of_one_event() -> None:
    event = one(structured(MINIMAL))
    for events in ([], [event, event]):
        with pytest.raises(ValueError, match=f"binary mode holds one event, not {len(events)}"):
            write(events, "binary")
        with pytest.raises(ValueError, match="structured mode holds one event"):
            write(events, "structured")
