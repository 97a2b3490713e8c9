"""What the Java SDK writes: its protobuf format and its Kafka serializer, recorded.

Recorded with io.cloudevents cloudevents-protobuf and cloudevents-kafka 4.0.1 on kafka-clients
3.9.0. The same program read what we write of these events, in protobuf and in binary records,
and got every attribute with its type and the data; a leap second it refuses in any form.
"""

from typing import Any

from gpfn.events import Event
from gpfn.events.kafka import read_record, write_record
from gpfn.events.protobuf_format import read_event, write_event
from tests.events.protobuf_reference import reference

WHOLE = bytes.fromhex(
    "0a013112022f731a03312e302201742a250a0f64617461636f6e74656e747479706512121a106170706c69636174"
    "696f6e2f6a736f6e2a250a0a64617461736368656d6112172a1568747470733a2f2f6578616d706c652e636f6d2f"
    "782a0f0a077375626a65637412041a02c3a92a120a0474696d65120a3a080890d3afd80610012a150a066e756d62"
    "6572120b10fbffffffffffffffff012a0d0a03726566120632042e2e2f782a0a0a04666c6167120208012a0e0a06"
    "6f63746574731204220200ff2a1e0a0375726912172a1568747470733a2f2f6578616d706c652e636f6d2f792a18"
    "0a066d6f6d656e74120e3a0c08a0efafd8061080cab5ee013a055b312e355d"
)
MINIMAL = bytes.fromhex("0a013112022f731a03312e30220174")
DURATION = bytes.fromhex(
    "0a013112022f731a03312e302201742a290a0f64617461636f6e74656e747479706512161a146170706c69636174"
    "696f6e2f70726f746f6275662a3c0a0a64617461736368656d61122e322c747970652e676f6f676c65617069732e"
    "636f6d2f676f6f676c652e70726f746f6275662e4475726174696f6e42320a2c747970652e676f6f676c65617069"
    "732e636f6d2f676f6f676c652e70726f746f6275662e4475726174696f6e12020805"
)
"""A google.protobuf.Duration of 5 s as the data, its type URL as the dataschema."""

CORE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "t",
    "subject": "é",
    "dataschema": "https://example.com/x",
    "datacontenttype": "application/json",
    "ref": "../x",
    "uri": "https://example.com/y",
    "octets": "AP8=",
}


def test_an_event_in_protobuf() -> None:
    """It was made with ``2026-11-29T10:00:00.000000001+01:00``."""
    event = read_event(WHOLE)
    assert event.envelope() == CORE | {
        "time": "2026-11-29T09:00:00.000000001Z",
        "number": -5,
        "flag": True,
        "moment": "2026-11-29T10:00:00.500Z",
    }
    assert event.json() == [1.5]
    again = reference("CloudEvent").FromString(write_event(event))
    theirs = reference("CloudEvent").FromString(WHOLE)
    assert again.text_data == theirs.text_data
    for name in ("datacontenttype", "dataschema", "subject", "time", "number", "flag"):
        assert again.attributes[name] == theirs.attributes[name], name


def test_the_smallest_event() -> None:
    assert write_event(Event(id="1", source="/s", type="t")) == MINIMAL
    assert write_event(read_event(MINIMAL)) == MINIMAL


def test_data_that_are_a_message() -> None:
    event = read_event(DURATION)
    assert (event.data, event.datacontenttype) == (b"\x08\x05", "application/protobuf")
    assert event.dataschema is None
    assert event.extensions == {"typeurl": "type.googleapis.com/google.protobuf.Duration"}
    again = reference("CloudEvent").FromString(write_event(event))
    theirs = reference("CloudEvent").FromString(DURATION)
    assert again.proto_data.type_url == theirs.proto_data.type_url
    assert again.proto_data.value == theirs.proto_data.value


def test_records() -> None:
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/s"),
        ("ce_type", b"t"),
        ("content-type", b"application/json"),
        ("ce_dataschema", b"https://example.com/x"),
        ("ce_subject", b"\xc3\xa9"),
        ("ce_time", b"2026-11-29T10:00:00.000000001+01:00"),
        ("ce_number", b"-5"),
        ("ce_ref", b"../x"),
        ("ce_flag", b"true"),
        ("ce_octets", b"AP8="),
        ("ce_uri", b"https://example.com/y"),
        ("ce_moment", b"2026-11-29T10:00:00.5Z"),
    ]
    event = read_record(b"[1.5]", headers)
    assert event is not None
    assert event.envelope() == CORE | {
        "time": "2026-11-29T10:00:00.000000001+01:00",
        "number": "-5",
        "flag": "true",
        "moment": "2026-11-29T10:00:00.5Z",
    }
    value, written = write_record(event, "binary")
    assert (value, sorted(written)) == (b"[1.5]", sorted(headers))
    assert read_record(None, headers[:4]) == Event(id="1", source="/s", type="t")
    structured = [("content-type", b"application/cloudevents+protobuf")]
    assert read_record(WHOLE, structured) == read_event(WHOLE)
