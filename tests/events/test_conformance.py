"""Conformance: each rule of CloudEvents 1.0 that binds a receiver or a sender, and its examples.

Written from the texts of the specification: spec.md, the JSON event format and the HTTP
protocol binding. The last part is the feature file of the project's conformance suite.
"""

from typing import Any

import orjson
import pytest

from gpfn.events import Event, Message, read, write
from tests.events.asking import one, structured

SOME: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "id": "C234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
}
HEADERS = (
    ("ce-specversion", "1.0"),
    ("ce-type", "com.example.someevent"),
    ("ce-source", "/mycontext"),
    ("ce-id", "C234-1234-1234"),
    ("ce-time", "2018-04-05T17:31:00Z"),
    ("ce-comexampleextension1", "value"),
    ("ce-comexampleothervalue", "5"),
)


def as_headers(event: Event) -> Message:
    """Return the event in binary mode, its headers sorted."""
    message = write([event], "binary")
    return message._replace(headers=tuple(sorted(message.headers)))


def example(content_type: str, body: bytes) -> Message:
    """Return the binary message of the JSON format's section 3.2."""
    return Message(body, content_type, tuple(sorted(HEADERS)))


# JSON event format, section 3.2: every example, and the same re-encoded in binary mode.


def test_binary_valued_data() -> None:
    media_type = "application/vnd.apache.thrift.binary"
    event = one(structured({**SOME, "datacontenttype": media_type, "data_base64": "AAEC/w=="}))
    assert event.extensions == {"comexampleextension1": "value", "comexampleothervalue": 5}
    assert as_headers(event) == example(media_type, b"\0\1\2\xff")


def test_a_serialized_xml_document() -> None:
    text = '<much wow="xml"/>'
    document = {**SOME, "unsetextension": None, "datacontenttype": "application/xml", "data": text}
    event = one(structured(document))
    assert "unsetextension" not in event.extensions
    assert as_headers(event) == example("application/xml", text.encode())


def test_a_json_object() -> None:
    data = {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}
    document = {**SOME, "subject": None, "datacontenttype": "application/json", "data": data}
    event = one(structured(document))
    assert event.subject is None
    assert as_headers(event) == example("application/json", orjson.dumps(data))


def test_a_json_number() -> None:
    document = {**SOME, "subject": None, "datacontenttype": "application/json", "data": 1.5}
    assert as_headers(one(structured(document))) == example("application/json", b"1.5")


def test_a_literal_string_and_no_media_type() -> None:
    """The media type that was implied is set explicitly, and the string stays in quotes."""
    event = one(structured({**SOME, "subject": None, "data": "I'm just a string"}))
    assert as_headers(event) == example("application/json", b'"I\'m just a string"')


def test_binary_data_and_no_media_type() -> None:
    """No media type is inferred, although the octets happen to be JSON."""
    event = one(structured({**SOME, "data_base64": "eyAieHl6IjogMTIzIH0="}))
    assert as_headers(event) == example("", b'{ "xyz": 123 }')


def test_the_batch_of_section_4_3() -> None:
    first = {**SOME, "datacontenttype": "a/b", "data_base64": "AAE="}
    second = {**SOME, "id": "2", "datacontenttype": "application/json", "data": {"appinfoB": 123}}
    message = structured([first, second], "application/cloudevents-batch+json")
    received = read(message)
    assert received is not None
    assert [event.data for event in received.events] == [b"\0\1", b'{"appinfoB":123}']
    assert orjson.loads(write(received.events, "batch").body) == [first, second]


# spec.md


def test_attribute_values_come_through_unchanged() -> None:
    document = {**SOME, "datacontenttype": "application/json; charset=utf-8", "data": {}}
    assert orjson.loads(write([one(structured(document))], "structured").body) == document


def test_boolean_and_integer_have_their_canonical_strings_in_headers() -> None:
    event = one(structured({**SOME, "yes": True, "no": False, "low": -(1 << 31)}))
    headers = dict(write([event], "binary").headers)
    assert (headers["ce-yes"], headers["ce-no"], headers["ce-low"]) == (
        "true",
        "false",
        "-2147483648",
    )


def test_a_sender_states_1_0() -> None:
    for mode in ("structured", "binary", "batch"):
        message = write([one(structured(SOME))], mode)  # type: ignore[arg-type]
        assert b'"specversion":"1.0"' in message.body or message.header("ce-specversion") == "1.0"


# The HTTP binding


def test_header_names_are_met_in_lower_case_and_other_headers_are_no_attributes() -> None:
    event = one(Message(b"{}", "application/json", (*HEADERS, ("traceparent", "00-x"))))
    assert "traceparent" not in event.extensions


def test_a_message_without_the_media_type_and_without_headers_is_no_event() -> None:
    assert read(Message(b'{"message": "Hello World!"}', "application/json")) is None


# The conformance suite's feature file for HTTP


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8"])
def test_binary_content_mode(media_type: str) -> None:
    body = b'{\n    "message": "Hello World!"\n}'
    headers = (
        ("host", "example.com"),
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("ce-time", "2018-04-05T03:56:24Z"),
        ("ce-id", "1234-1234-1234"),
        ("ce-source", "/mycontext/subcontext"),
    )
    event = one(Message(body, media_type, headers))
    assert event.envelope() == {
        "id": "1234-1234-1234",
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext/subcontext",
        "time": "2018-04-05T03:56:24Z",
        "datacontenttype": media_type,
    }
    assert event.json() == {"message": "Hello World!"}
    assert event.data == body


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"],
)
def test_structured_content_mode(content_type: str) -> None:
    body = b"""{
        "specversion": "1.0",
        "type": "com.example.someevent",
        "time": "2018-04-05T03:56:24Z",
        "id": "1234-1234-1234",
        "source": "/mycontext/subcontext",
        "datacontenttype": "application/json",
        "data": {
            "message": "Hello World!"
        }
    }"""
    event = one(Message(body, content_type))
    assert event.envelope() == {
        "id": "1234-1234-1234",
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext/subcontext",
        "time": "2018-04-05T03:56:24Z",
        "datacontenttype": "application/json",
    }
    assert event.json() == {"message": "Hello World!"}
