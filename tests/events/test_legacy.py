"""CloudEvents 0.3 and 0.1, from the texts and the examples of their specifications."""

from typing import Any

import orjson
import pytest

from gpfn.events import Event, Message, write
from tests.events.asking import one, refused, structured

V03 = {"specversion": "0.3", "type": "com.example.someevent", "source": "/mycontext", "id": "A"}
V01 = {
    "cloudEventsVersion": "0.1",
    "eventType": "com.example.someevent",
    "source": "/mycontext",
    "eventID": "A234-1234-1234",
}


def as_1_0(event: Event) -> Any:
    """Return the document that the event becomes in 1.0."""
    return orjson.loads(write([event], "structured").body)


def test_0_3_example_with_text() -> None:
    event = one(
        structured(
            {
                **V03,
                "time": "2018-04-05T17:31:00Z",
                "comexampleextension1": "value",
                "comexampleextension2": {"otherValue": 5},
                "datacontenttype": "text/xml",
                "data": '<much wow="xml"/>',
            }
        )
    )
    assert event.received_as == "0.3"
    assert event.specversion == "1.0"
    assert event.data == b'<much wow="xml"/>'
    assert event.extensions["comexampleextension2"] == '{"otherValue":5}'
    assert as_1_0(event)["specversion"] == "1.0"


def test_0_3_example_with_json() -> None:
    data = {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}
    event = one(structured({**V03, "datacontenttype": "application/json", "data": data}))
    assert event.json() == data


@pytest.mark.parametrize(
    ("members", "octets"),
    [
        ({"datacontentencoding": "base64", "datacontenttype": "a/b", "data": "AAE="}, b"\0\x01"),
        ({"datacontentencoding": "Base64", "datacontenttype": "text/plain", "data": "YQ=="}, b"a"),
        ({"datacontentencoding": "BASE64", "data": "eyAiYSI6IDEgfQ=="}, b'{ "a": 1 }'),
        # JSON format 0.3, section 3.1: what is not text is base64 without being told.
        ({"datacontenttype": "application/vnd.apache.thrift.binary", "data": "AAE="}, b"\0\x01"),
        ({"datacontenttype": "text/plain", "data": "AAE="}, b"AAE="),
        ({"datacontenttype": "application/json", "data": "AAE="}, b'"AAE="'),
        ({"datacontentencoding": "base64", "data": [1]}, b"[1]"),  # not a string: ignored
    ],
)
def test_0_3_data(members: dict[str, Any], octets: bytes) -> None:
    event = one(structured({**V03, **members}))
    assert event.data == octets
    assert "datacontentencoding" not in event.extensions


def test_0_3_base64_of_json() -> None:
    document = {**V03, "datacontentencoding": "base64", "datacontenttype": "application/json"}
    assert one(structured({**document, "data": "WzFd"})).json() == [1]


def test_0_3_schema() -> None:
    absolute = one(structured({**V03, "schemaurl": "https://example.com/s"}))
    assert absolute.dataschema == "https://example.com/s"
    assert absolute.extensions == {}
    relative = one(structured({**V03, "schemaurl": "/s"}))  # 1.0 wants it absolute
    assert relative.dataschema is None
    assert relative.extensions == {"schemaurl": "/s"}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": ""}, "id"),
        ({"type": None}, "type"),
        ({"schemaurl": "a b"}, "schemaurl"),
        ({"schemaurl": 5}, "schemaurl"),
        ({"datacontentencoding": "gzip"}, "datacontentencoding"),
        ({"datacontentencoding": 5}, "datacontentencoding"),
        ({"datacontentencoding": "base64", "data": "?"}, "data"),
        ({"datacontenttype": "image/png", "data": "?"}, "data"),
        ({"data_base64": "AA=="}, "data_base64"),
        ({"Type": "x"}, "Type"),
        ({"ext": 1.5}, "ext"),
        ({"ext": [1]}, "ext"),
        ({"--": 1}, "'--'"),
        ({"a_b": "1", "a-b": "2"}, "'a-b'"),
        ({"time": "x"}, "time"),
    ],
)
def test_0_3_faults(changed: dict[str, Any], field: str) -> None:
    assert refused(structured({**V03, **changed})).field == field


def test_0_1_whole() -> None:
    event = one(
        structured(
            {
                **V01,
                "eventTypeVersion": "1.0",
                "eventTime": "2018-04-05T17:31:00Z",
                "schemaURL": "https://example.com/s",
                "contentType": "application/json",
                "extensions": {"comExampleExtension": "value", "other": {"a": [1]}, "n": 5},
                "data": {"appinfoA": "abc"},
            }
        )
    )
    assert event.received_as == "0.1"
    assert as_1_0(event) == {
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "type": "com.example.someevent",
        "source": "/mycontext",
        "time": "2018-04-05T17:31:00Z",
        "datacontenttype": "application/json",
        "dataschema": "https://example.com/s",
        "eventtypeversion": "1.0",
        "comexampleextension": "value",
        "other": '{"a":[1]}',
        "n": 5,
        "data": {"appinfoA": "abc"},
    }


@pytest.mark.parametrize(
    ("members", "octets"),
    [
        ({"contentType": "text/xml", "data": '<much wow="xml"/>'}, b'<much wow="xml"/>'),
        ({"contentType": "application/vnd.apache.thrift.binary", "data": "AAE="}, b"\0\x01"),
        ({"data": {"a": 1}}, b'{"a":1}'),
        ({}, None),
    ],
)
def test_0_1_data(members: dict[str, Any], octets: bytes | None) -> None:
    assert one(structured({**V01, **members})).data == octets


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"eventID": None}, "eventID"),
        ({"eventID": ""}, "eventID"),
        ({"eventType": 5}, "eventType"),
        ({"eventTime": "x"}, "eventTime"),
        ({"contentType": "x"}, "contentType"),
        ({"schemaURL": "a b"}, "schemaURL"),
        ({"source": "a b"}, "source"),
        ({"extensions": []}, "extensions"),
        ({"extensions": {"id": "2"}}, "extensions.id"),
        ({"extensions": {"eventtypeversion": "2"}, "eventTypeVersion": "1"},
         "extensions.eventtypeversion"),
        ({"extensions": {"é": "2"}}, "extensions.'\\xe9'"),
        ({"extensions": {"ext": 1.5}}, "ext"),
        ({"id": "2"}, "id"),
        ({"cloudEventsVersion": "1.0"}, "cloudEventsVersion"),
        ({"cloudEventsVersion": 0.1}, "cloudEventsVersion"),
        ({"cloudEventsVersion": None}, "cloudEventsVersion"),
        ({"eventTypeVersion": "a\nb"}, "eventTypeVersion"),
        ({"data": "?", "contentType": "a/b"}, "data"),
    ],
)  # fmt: skip
def test_0_1_faults_have_the_names_of_0_1(changed: dict[str, Any], field: str) -> None:
    assert refused(structured({**V01, **changed})).field == field


def test_0_1_relative_schema_keeps_its_value() -> None:
    assert one(structured({**V01, "schemaURL": "/s"})).extensions == {"schemaurl": "/s"}


def test_0_1_in_headers() -> None:
    headers = (
        ("ce-cloudeventsversion", '"0.1"'),
        ("ce-eventtype", '"com.example.someevent"'),
        ("ce-eventtypeversion", '"1.0"'),
        ("ce-eventtime", '"2018-04-05T03:56:24Z"'),
        ("ce-eventid", '"1234-1234-1234"'),
        ("ce-source", '"/mycontext/subcontext"'),
        ("ce-x-testextension", '"a \\"b\\""'),
        ("ce-x-other", "plain"),
        ("user-agent", "x"),
    )
    event = one(Message(b'{"a": 1}', "application/json; charset=utf-8", headers))
    assert event.received_as == "0.1"
    assert event.envelope() == {
        "specversion": "1.0",
        "id": "1234-1234-1234",
        "type": "com.example.someevent",
        "source": "/mycontext/subcontext",
        "time": "2018-04-05T03:56:24Z",
        "datacontenttype": "application/json; charset=utf-8",
        "eventtypeversion": "1.0",
        "testextension": 'a "b"',
        "other": "plain",
    }
    assert event.data == b'{"a": 1}'


def test_0_3_in_headers() -> None:
    headers = (
        ("ce-specversion", "0.3"),
        ("ce-id", "A"),
        ("ce-type", "t"),
        ("ce-source", "/s"),
        ("ce-schemaurl", "https://example.com/s"),
        ("ce-datacontentencoding", "base64"),
        ("ce-attrib-key", "5"),  # a member of a Map: flattened
    )
    event = one(Message(b"AAE=", "application/octet-stream", headers))
    assert event.data == b"AAE="  # the body is never encoded
    assert event.dataschema == "https://example.com/s"
    assert event.extensions == {"attribkey": "5"}


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ((("ce-cloudeventsversion", "0.1"), ("ce-eventtype", "t"), ("ce-source", "/s")), "eventID"),
        ((("ce-cloudeventsversion", "0.2"),), "cloudEventsVersion"),
        ((("ce-specversion", "0.3"), ("ce-id", "1"), ("ce-source", "/s")), "type"),
    ],
)
def test_faults_in_headers(headers: tuple[tuple[str, str], ...], field: str) -> None:
    assert refused(Message(b"", "", headers)).field == field
