"""Requests that their platform has parsed: the same answers, without JSON read twice."""

import json

import orjson
import pytest

from gpfn import Function, TensorSpec
from gpfn.call.contract import Reply
from gpfn.call.decode import Parsed, receive
from gpfn.call.payload import Payload
from gpfn.errors import GpfnError
from gpfn.limits import Limits
from gpfn.message import Message

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": [[1, 2], [3, 4]]}
VALUES: list[object] = [
    EVENT,
    {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t", "data": [1]},
    [EVENT, {**EVENT, "id": "2", "data": [[5, 6]]}],
    [[1, 2], [3, 4]],
    {"x": [[1, 2]]},
    {"x": "text"},
    {"specversion": "1.0", "id": "1"},
    [EVENT, {"specversion": "7"}],
    [{"a": 1}],
    {},
    [],
]


def double() -> Function:
    """Return a function of one array."""
    return Function(lambda x: x * 2, inputs={"x": TensorSpec("float32", (None, 2))}, name="double")


def answered(reply: Reply) -> tuple[int, object, list[str]]:
    """Return what can be compared of a reply: what is made anew each time is left out."""
    body = json.loads(bytes(reply.message.body))
    for event in body if isinstance(body, list) else [body]:
        for name in ("id", "time") if isinstance(event, dict) else ():
            event.pop(name, None)
    return reply.status, body, [type(failure).__name__ for failure in reply.failures]


@pytest.mark.parametrize("value", VALUES, ids=[str(index) for index in range(len(VALUES))])
def test_a_parsed_request_is_answered_like_its_text(value: object) -> None:
    text = double().answer(Message(json.dumps(value).encode(), "application/json"))
    parsed = double().answer(Parsed(value))
    assert answered(parsed) == answered(text)
    assert parsed.is_json == text.is_json


def test_the_value_is_left_as_it_was() -> None:
    value = json.loads(json.dumps(VALUES))
    for item in value:
        double().answer(Parsed(item))
    assert value == VALUES


def test_neither_parsed_nor_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    function = double()
    function.answer(Parsed(EVENT))
    calls: list[str] = []
    loads, dumps = orjson.loads, orjson.dumps

    def counted(name: str, call: object) -> object:
        def wrapped(*args: object, **named: object) -> object:
            calls.append(name)
            return call(*args, **named)  # type: ignore[operator]

        return wrapped

    monkeypatch.setattr(orjson, "loads", counted("loads", loads))
    monkeypatch.setattr(orjson, "dumps", counted("dumps", dumps))
    function.answer(Parsed(EVENT))
    assert calls.count("loads") == 0
    assert calls == ["dumps", "dumps"], "the data, and the attributes around them"


def test_a_function_of_messages_gets_text() -> None:
    function = Function(lambda message: message.content_type, takes="message")
    for value, media_type in (
        (EVENT, "application/cloudevents+json"),
        ([EVENT], "application/cloudevents-batch+json"),
        ({"a": 2**70}, "application/json"),
    ):
        assert bytes(function.answer(Parsed(value)).message.body).decode() == media_type


def test_a_payload_has_the_value_itself() -> None:
    value = {"a": [1]}
    [payload], form = receive(Parsed(value, (("x-a", "1"),)), Limits())
    assert form == "plain"
    assert payload.json() is value
    assert payload.header("x-a") == "1"
    assert not payload.is_empty
    assert Payload(b"").is_empty


def test_a_batch_over_the_limit_is_refused() -> None:
    with pytest.raises(GpfnError, match="at most 1"):
        receive(Parsed([EVENT, EVENT]), Limits(batch=1))
