"""Whole calls: every form in, the same form out, errors as documents."""

import asyncio
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn.call.contract import Call, Reply
from gpfn.call.payload import Payload
from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, Overloaded
from gpfn.events import Event, read
from gpfn.function.function import Function
from gpfn.limits import Limits
from gpfn.media import PROBLEM
from gpfn.message import Message
from gpfn.tensors import TensorSpec

HEADERS = (("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-type", "t"), ("ce-source", "/s"))


def double(x: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return x * 2


@pytest.fixture
def doubling() -> Function:
    return Function(double, inputs={"x": TensorSpec("float32", (None, 3))})


def event(data: object = ((1, 2, 3),), **attributes: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "data": data} | attributes


def structured(*args: object, **attributes: object) -> Message:
    return Message(orjson.dumps(event(*args, **attributes)), "application/cloudevents+json")


def batch(*events: dict[str, object]) -> Message:
    return Message(orjson.dumps(events), "application/cloudevents-batch+json")


def events_of(reply: Reply) -> Sequence[Event]:
    received = read(reply.message)
    assert received is not None
    return received.events


def error_of(reply: Reply) -> dict[str, object]:
    assert reply.message.content_type == PROBLEM
    document = orjson.loads(reply.message.body)
    assert list(document) == ["error"]
    assert document["error"]["status"] == reply.status
    found: dict[str, object] = document["error"]
    return found


@pytest.mark.parametrize("data", [[[1, 2, 3]], ["no number"]])
def test_a_structured_events_trace_is_known_whatever_comes_of_it(
    doubling: Function, data: object
) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    reply = doubling.answer(structured(data, traceparent=parent))
    assert (reply.trace, reply.status) == (parent[3:35], 200 if data == [[1, 2, 3]] else 400)
    assert doubling.answer(structured(data, traceparent="00-1-2-3")).trace == ""
    assert doubling.answer(structured(data)).trace == ""


def test_plain_in_plain_out(doubling: Function) -> None:
    reply = doubling.answer(Message(b"[[1,2,3]]", "text/plain"))
    assert reply.message == Message(b"[[2.0,4.0,6.0]]", "application/json", ())
    assert (reply.status, reply.error) == (200, None)
    assert [name for name, _ in reply.stages] == ["open", "decode", "predict", "encode"]
    assert all(seconds >= 0 for _, seconds in reply.stages)


@pytest.mark.parametrize("content_type", ["application/cloudevents+json", "text/plain", ""])
def test_structured_in_structured_out(doubling: Function, content_type: str) -> None:
    reply = doubling.answer(structured()._replace(content_type=content_type))
    assert reply.message.content_type == "application/cloudevents+json"
    [answer] = events_of(reply)
    assert (answer.type, answer.json()) == ("t.response", [[2, 4, 6]])


def test_binary_in_binary_out(doubling: Function) -> None:
    reply = doubling.answer(Message(b"[[1,2,3]]", "application/json", HEADERS))
    assert reply.message.header("ce-type") == "t.response"
    assert reply.message.body == b"[[2.0,4.0,6.0]]"


def test_octets_in_octets_out_with_their_description(doubling: Function) -> None:
    array = np.ones((2, 3), np.float32)
    reply = doubling.answer(Message(array.tobytes(), "application/octet-stream"))
    assert reply.message.body == (array * 2).tobytes()
    assert dict(reply.message.headers) == {"gpfn-dtype": "float32", "gpfn-shape": "2,3"}
    described = (*HEADERS, ("ce-dtype", "float64"), ("ce-shape", "1,3"))
    body = np.ones((1, 3)).tobytes()
    reply = doubling.answer(Message(body, "application/octet-stream", described))
    assert reply.message.header("ce-dtype") == "float32"
    reply = doubling.answer(
        Message(body, "application/octet-stream", (("gpfn-dtype", "float64"), ("x-shape", "9")))
    )
    assert reply.message.header("gpfn-shape") == "1,3"


def test_one_bad_event_in_a_batch_does_not_spoil_the_others(doubling: Function) -> None:
    reply = doubling.answer(batch(event(), event([[1]], id="2"), event([[0, 0, 1]], id="3")))
    first, second, third = events_of(reply)
    assert (first.type, first.json()) == ("t.response", [[2, 4, 6]])
    assert (second.type, second.datacontenttype) == ("t.error", PROBLEM)
    assert second.json()["error"]["type"] == "invalid-tensor"  # type: ignore[index]
    assert second.attribute("causationid") == "2"
    assert third.json() == [[0, 0, 2]]
    assert (reply.status, reply.error) == (200, None)
    assert [type(failure) for failure in reply.failures] == [InvalidTensor]


def test_a_broken_batch_is_refused_as_a_whole(doubling: Function) -> None:
    reply = doubling.answer(batch(event(), {"specversion": "1.0"}))
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid-event"


def test_reply_type_and_source() -> None:
    function = Function(
        lambda payload: payload.json(), takes="payload", reply_type="done", reply_source="/here"
    )
    [answer] = events_of(function.answer(structured()))
    assert (answer.type, answer.source, answer.attribute("causationid")) == ("done", "/here", "1")


def test_nothing_returned_is_an_event_without_data_or_an_empty_body() -> None:
    function = Function(lambda payload: None, takes="payload")
    [answer] = events_of(function.answer(structured()))
    assert not answer.has_data
    assert function.answer(Message(b"x")).message == Message(b"", "", ())


def test_an_event_returned_answers_a_plain_body_structured() -> None:
    mine = Event(type="mine", source="/")
    function = Function(lambda payload: mine, takes="payload")
    assert events_of(function.answer(Message(b"x"))) == (mine,)


def test_a_message_returned_is_the_reply_as_it_is() -> None:
    mine = Message(b"<a/>", "text/xml", (("x-a", "1"),))
    function = Function(lambda payload: mine, takes="payload")
    assert function.answer(structured()).message == mine
    [first, _] = events_of(function.answer(batch(event(), event(id="2"))))
    assert (first.datacontenttype, first.data) == ("text/xml", b"<a/>")


def test_nonfinite_is_told_in_every_form() -> None:
    function = Function(lambda payload: {"x": float("nan")}, takes="payload")
    assert function.answer(Message(b"")).message.headers == (("gpfn-nonfinite", "true"),)
    [answer] = events_of(function.answer(structured()))
    assert answer.attribute("nonfinite") is True


def test_bugs_say_their_class_and_keep_their_text() -> None:
    def buggy(payload: Payload) -> None:
        raise KeyError("password")

    reply = Function(buggy, takes="payload").answer(Message(b"x"))
    assert reply.status == 500
    assert error_of(reply)["detail"] == "unexpected KeyError; the log has the trace"
    assert isinstance(reply.error, KeyError)
    frames = traceback.extract_tb(reply.error.__traceback__)
    assert [frame.name for frame in frames] == ["buggy"]


def test_sys_exit_in_a_function_does_not_end_the_process() -> None:
    def leaves(payload: Payload) -> None:
        raise SystemExit(3)

    function = Function(leaves, takes="payload")
    assert function.answer(Message(b"x")).status == 500
    assert function.answer(batch(event())).failures


def test_overload_says_when_to_come_back() -> None:
    def full(payload: Payload) -> None:
        raise Overloaded("full", retry_after=7)

    reply = Function(full, takes="payload").answer(Message(b"x"))
    assert (reply.status, reply.message.header("retry-after")) == (503, "7")


def test_a_deadline_that_is_past_drops_the_work() -> None:
    calls: list[object] = []
    function = Function(calls.append, takes="payload")
    reply = function.answer(Message(b"x"), Call(deadline=Deadline.after(-1)))
    assert (reply.status, error_of(reply)["type"], calls) == (504, "deadline-exceeded", [])


def test_a_deadline_that_passes_on_the_way_drops_the_prediction() -> None:
    calls: list[object] = []

    def slow(payload: Payload) -> Payload:
        time.sleep(0.05)
        return payload

    function = Function(calls.append, takes="payload", before=slow)
    reply = function.answer(Message(b"x"), Call(deadline=Deadline.after(0.02)))
    assert isinstance(reply.error, DeadlineExceeded)
    assert calls == []


@pytest.mark.parametrize(
    ("expiry", "status"),
    [("2001-01-01T00:00:00Z", 504), ("2999-01-01T00:00:00Z", 200), ("soon", 400)],
)
def test_an_event_may_expire(doubling: Function, expiry: str, status: int) -> None:
    reply = doubling.answer(structured(expirytime=expiry))
    assert reply.status == status
    if status == 400:
        assert error_of(reply)["field"] == "expirytime"


def test_a_body_over_the_limit_is_413() -> None:
    function = Function(lambda payload: None, takes="payload", limits=Limits(body_bytes=3))
    assert function.answer(Message(b"1234")).status == 413


def test_an_event_function_needs_an_event() -> None:
    function = Function(lambda event: event.type, takes="event")
    reply = function.answer(Message(b"[1]", "application/json"))
    assert error_of(reply)["type"] == "invalid-event"
    [answer] = events_of(function.answer(structured()))
    assert answer.data == b"t"


def test_a_message_function_sees_an_event_as_bytes() -> None:
    message = structured()
    function = Function(lambda message: message.body, takes="message")
    assert function.answer(message).message.body == message.body


def test_async_functions_in_a_loop_and_outside() -> None:
    async def answer(payload: Payload) -> object:
        await asyncio.sleep(0.001)
        return payload.json()

    function = Function(answer, takes="payload")
    assert function.answer(Message(b"[1]")).message.body == b"[1]"
    reply = asyncio.run(function.answer_async(Message(b"[2]")))
    assert reply.message.body == b"[2]"


def test_a_slow_sync_function_does_not_hold_up_the_loop() -> None:
    function = Function(lambda payload: time.sleep(0.2), takes="payload")

    async def both() -> float:
        task = asyncio.create_task(function.answer_async(Message(b"x")))
        began = time.monotonic()
        for _ in range(10):
            await asyncio.sleep(0.001)
        waited = time.monotonic() - began
        await task
        return waited

    assert asyncio.run(both()) < 0.15


BAD = Message(orjson.dumps(event([[1]])), "application/cloudevents+json")
PREFER = (("prefer", 'respond-async, Error="event" ; x=y'),)


@pytest.mark.parametrize("headers", [PREFER, (("prefer", "error=event"),)])
def test_a_failed_event_is_answered_by_an_event_when_that_is_asked_for(
    doubling: Function, headers: tuple[tuple[str, str], ...]
) -> None:
    reply = doubling.answer(BAD._replace(headers=headers))
    assert reply.status == 400
    assert isinstance(reply.error, InvalidTensor)
    assert reply.is_json
    [answer] = events_of(reply)
    assert reply.message.content_type == "application/cloudevents+json"
    assert (answer.type, answer.datacontenttype) == ("t.error", PROBLEM)
    assert answer.attribute("causationid") == "1"
    assert answer.json()["error"]["field"] == "data[0]"  # type: ignore[index]
    binary = doubling.answer(Message(b"[[1]]", "application/json", (*HEADERS, *headers)))
    assert binary.message.header("ce-type") == "t.error"
    assert binary.message.content_type == PROBLEM
    assert orjson.loads(binary.message.body)["error"]["status"] == binary.status == 400


def test_a_failed_event_is_answered_by_an_event_when_the_setting_says_so(
    doubling: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of(doubling.answer(BAD))["type"] == "invalid-tensor"
    assert error_of(doubling.answer(BAD._replace(headers=(("prefer", "error=x"),))))
    monkeypatch.setenv("GPFN_ERROR_EVENTS", "on")
    [answer] = events_of(doubling.answer(BAD))
    assert answer.type == "t.error"
    assert error_of(doubling.answer(Message(b"[[1]]", "application/json"))), "no event came in"
    broken = Message(b'{"specversion":"1.0"}', "application/cloudevents+json")
    assert error_of(doubling.answer(broken)), "there is no event to answer"
    monkeypatch.setenv("GPFN_ERROR_EVENTS", "perhaps")
    assert error_of(doubling.answer(BAD))["type"] == "setup-error"


def test_an_error_event_says_when_to_come_back() -> None:
    def busy(payload: Payload) -> object:
        raise Overloaded("full", retry_after=7)

    reply = Function(busy, takes="payload").answer(structured()._replace(headers=PREFER))
    assert reply.status == 503
    assert reply.message.header("retry-after") == "7"
    assert [answer.type for answer in events_of(reply)] == ["t.error"]


def test_a_masked_array_is_refused_wherever_it_comes_from() -> None:
    masked = np.ma.array([[1.0, 2.0, 3.0]], mask=[[0, 1, 0]])
    x = {"x": TensorSpec("float32", (None, 3))}
    for function in (
        Function(lambda x: masked, inputs=x),
        Function(lambda x: {"y": masked}, inputs=x),
        Function(lambda x: x, after=lambda x: masked, inputs=x),
        Function(lambda x: x, after=lambda x: {"deep": [masked]}, inputs=x),
    ):
        reply = function.answer(structured())
        assert reply.status == 500
        assert "masked array" in str(error_of(reply)["detail"])
    with pytest.raises(InvalidTensor, match="masked array"):
        Function(double, inputs=x)(masked)


def test_the_wire_and_the_plain_call_agree_on_keys() -> None:
    for result in ({"a": np.zeros(2)}, {"p": np.float32(0.5)}, {"a": np.zeros(2), "b": 1}):
        function = Function(lambda payload, result=result: result, takes="payload")
        wire = orjson.loads(function.answer(Message(b"{}", "application/json")).message.body)
        plain = function({})
        assert isinstance(plain, dict)
        assert wire == {name: np.asarray(item).tolist() for name, item in plain.items()}
        after = Function(lambda payload: 1, after=lambda _, result=result: result, takes="payload")
        assert orjson.loads(after.answer(Message(b"{}", "application/json")).message.body) == wire


def test_a_masked_array_from_before_does_not_reach_a_model(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(x):\n    return x\n")
    masked = np.ma.array([[1.0, 2.0, 3.0]], mask=[[0, 1, 0]])
    x = {"x": TensorSpec("float32", (None, 3))}
    for made, field in (
        (masked, "spoiled"),
        ({"x": masked}, "spoiled.x"),
        ((masked,), "spoiled.0"),
    ):
        before = lambda x, made=made: made  # noqa: E731
        before.__name__ = "spoiled"
        function = Function(model=f"{tmp_path}/same.py:same", before=before, inputs=x)
        error = error_of(function.answer(structured()))
        assert (error["status"], error["field"]) == (500, field)
        assert "masked array" in str(error["detail"])
