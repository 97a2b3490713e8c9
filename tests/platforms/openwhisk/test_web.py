"""Parameters that are web requests, triggers and Kafka batches, as requests; replies back."""

import base64
import json

import pytest

from gpfn.call.contract import Reply
from gpfn.call.decode import Parsed
from gpfn.call.encode import error_message
from gpfn.errors import InvalidTensor
from gpfn.message import Message
from gpfn.platforms.openwhisk.web import (
    is_kafka,
    is_web,
    kafka_requests,
    request_of,
    web_reply,
)

WEB: dict[str, object] = {"__ow_method": "post", "__ow_path": ""}


def web(content_type: str = "", **parameters: object) -> dict[str, object]:
    """Return the parameters of a web request."""
    headers = {"content-type": content_type} if content_type else {}
    return {**WEB, "__ow_headers": {**headers, "x-a": "1", "host": "h"}, **parameters}


def parsed(parameters: dict[str, object]) -> tuple[object, tuple[tuple[str, str], ...]]:
    """Return what is handed to the call as it was parsed, and the headers beside it."""
    request = request_of(parameters)
    assert isinstance(request, Parsed)
    return request.value, request.headers


def message_of(parameters: dict[str, object]) -> Message:
    """Return what is handed to the call as bytes."""
    request = request_of(parameters)
    assert isinstance(request, Message)
    return request


def test_plain_parameters_stay_as_they_were_parsed() -> None:
    values: list[object] = [None]
    value, headers = parsed({"a": 1, "b": values})
    assert (value, headers) == ({"a": 1, "b": [None]}, ())
    assert isinstance(value, dict)
    assert value["b"] is values
    assert parsed({}) == ({}, ())


def test_a_json_object_was_spread() -> None:
    assert parsed(web("application/json", a=1, query="2")) == (
        {"a": 1, "query": "2"},
        (("x-a", "1"),),
    )


@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents-batch+json"])
def test_an_array_could_not_be_spread(content_type: str) -> None:
    message = message_of(web(content_type, __ow_body=[{"a": 1}]))
    assert (message.body, message.content_type) == (b'[{"a":1}]', content_type)


def test_a_raw_body() -> None:
    text = base64.b64encode(b"\x89PNG").decode()
    message = message_of(web("image/png", __ow_body=text, __ow_query="a=1"))
    assert (message.body, message.content_type) == (b"\x89PNG", "image/png")


def test_a_request_without_a_body() -> None:
    assert message_of({**WEB, "__ow_headers": {}}).body == b""
    assert message_of({**WEB, "__ow_headers": {}, "__ow_body": ""}).body == b""


@pytest.mark.parametrize("mark", ["specversion", "cloudEventsVersion"])
def test_a_structured_event_is_known_by_its_members(mark: str) -> None:
    event = {mark: "1.0", "id": "1", "source": "/s", "type": "t"}
    for parameters in (event, web("application/cloudevents+json; charset=utf-8", **event)):
        assert parsed(parameters)[0] == event


def test_a_binary_event_is_in_the_headers() -> None:
    headers = {"Ce-Id": "1", "ce-type": "t", "content-type": "application/json"}
    value, kept = parsed({**WEB, "__ow_headers": headers, "a": 1})
    assert (value, kept) == ({"a": 1}, (("ce-id", "1"), ("ce-type", "t")))


def test_a_trigger_has_headers_but_no_method() -> None:
    headers = {"ce-id": "1", "authorization": "Basic key", "Cookie": "c", "content-type": "x/y"}
    assert parsed({"__ow_headers": headers, "a": 1}) == ({"a": 1}, (("ce-id", "1"),))
    assert parsed({"__ow_headers": {"x": "1", "Cookie": "c"}, "a": 1}) == ({"a": 1}, (("x", "1"),))


def test_the_callers_key_reaches_a_web_function_and_the_platforms_does_not() -> None:
    headers = {"authorization": "Bearer t", "x-require-whisk-auth": "secret"}
    message = message_of({**WEB, "__ow_headers": headers})
    assert message.headers == (("authorization", "Bearer t"),)


@pytest.mark.parametrize("headers", [None, "text", [1], {"a": 1, "b": None, "c": "d"}])
def test_odd_headers_are_left_out(headers: object) -> None:
    message = message_of({**WEB, "__ow_headers": headers})
    assert set(message.headers) <= {("c", "d")}


KAFKA = {"topic": "t", "partition": 0, "offset": 1, "key": "k"}


def test_messages_of_kafka() -> None:
    parameters = {
        "messages": [{**KAFKA, "value": '{"a":1}'}, {**KAFKA, "value": {"specversion": "1.0"}}]
    }
    assert is_kafka(parameters)
    assert not is_web(parameters)
    text, event = kafka_requests(parameters)
    assert text == Message(b'{"a":1}', "text/plain")
    assert isinstance(event, Parsed)
    assert event.value == {"specversion": "1.0"}


@pytest.mark.parametrize(
    "messages",
    [None, [], "text", [1], [{"value": 1}], [{"topic": "t"}], [{**KAFKA, "value": 1}, 2]],
)
def test_what_only_looks_like_kafka(messages: object) -> None:
    assert not is_kafka({"messages": messages})


def test_a_reply() -> None:
    reply = Reply(
        Message(b'{"a":1}', "application/json; charset=utf-8", (("x-a", "1"), ("x-a", "2")))
    )
    assert json.loads(web_reply(reply)) == {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "x-a": ["1", "2"]},
        "body": {"a": 1},
    }


@pytest.mark.parametrize("content_type", ["text/csv", ""])
def test_a_reply_has_one_type(content_type: str) -> None:
    stated = content_type or "text/csv"
    reply = Reply(Message(b"a,b", content_type, (("Content-Type", "text/csv"),)))
    assert json.loads(web_reply(reply)) == {
        "statusCode": 200,
        "headers": {"content-type": stated},
        "body": "a,b",
    }


def test_an_empty_reply_has_no_content_type() -> None:
    reply = json.loads(web_reply(Reply(Message(b""), 204)))
    assert reply == {"statusCode": 204, "headers": {}, "body": ""}


def test_a_failure_stands_under_error() -> None:
    error = InvalidTensor("expected 20 numbers", field="data")
    result = json.loads(web_reply(Reply(error_message(error), 400, error=error)))
    assert list(result) == ["error"], "an application error for the platform"
    response = result["error"]
    assert isinstance(response, dict)
    assert response["statusCode"] == 400
    assert response["headers"] == {"content-type": "application/problem+json"}
    assert response["body"]["error"]["field"] == "data"
