"""Events in protobuf to a function on each platform, as real processes, and answers in protobuf."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpfn.events import Event, Message
from gpfn.function.function import Function
from tests.events.protobuf_reference import message, reference
from tests.platforms.fn.container import Container, call_bytes, container, trigger
from tests.platforms.http.served import Process, document
from tests.platforms.http.served import served as served_http
from tests.platforms.openwhisk.served import served as served_action

ONE = "application/cloudevents+protobuf"
BATCH = "application/cloudevents-batch+protobuf"
SOURCE = '''
"""A function that tells what it was given."""

from gpfn import Function


def tell(event):
    if event.subject == "fail":
        raise ValueError("a secret of ours")
    seen = {name: [type(value).__name__, value] for name, value in event.extensions.items()}
    return {"seen": seen, "time": event.time, "data": event.json()}


tell = Function(tell, takes="event")
handler, main, app = tell.fn, tell.openwhisk, tell.asgi
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("function") / "func.py"
    found.write_text(SOURCE)
    return found


def asked(**fields: Any) -> Any:
    """Return an event with a value of each type."""
    return message(
        {
            "time": {"ce_timestamp": {"seconds": 1, "nanos": 2}},
            "datacontenttype": {"ce_string": "application/json"},
            "number": {"ce_integer": 5},
            "flag": {"ce_boolean": True},
            "text": {"ce_string": "5"},
            **fields.pop("attributes", {}),
        },
        text_data="[1.5]",
        **fields,
    )


def check(answer: Any, cause: str = "1") -> None:
    """Look at the event that answers :func:`asked`."""
    assert (answer.spec_version, answer.type) == ("1.0", "t.response")
    assert answer.attributes["causationid"].ce_string == cause
    assert answer.attributes["time"].WhichOneof("attr") == "ce_timestamp"
    assert json.loads(answer.text_data) == {
        "seen": {"number": ["int", 5], "flag": ["bool", True], "text": ["str", "5"]},
        "time": "1970-01-01T00:00:01.000000002Z",
        "data": [1.5],
    }


def sent(made: Any) -> bytes:
    """Return a message's bytes."""
    data: bytes = made.SerializeToString()
    return data


def batch(*events: Any) -> bytes:
    """Return the bytes of a batch."""
    return sent(reference("CloudEventBatch")(events=events))


def check_batch(body: bytes) -> None:
    """Look at the answer to a batch whose second event fails."""
    answers = reference("CloudEventBatch").FromString(body).events
    check(answers[0])
    check(answers[2], "3")
    assert (len(answers), answers[1].type) == (3, "t.error")
    assert answers[1].attributes["datacontenttype"].ce_string == "application/problem+json"
    assert json.loads(answers[1].text_data)["error"]["status"] == 500
    assert b"secret" not in body


THREE = batch(asked(), asked(id="2", attributes={"subject": {"ce_string": "fail"}}), asked(id="3"))


@pytest.fixture(scope="module")
def http(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with served_http(file, tmp_path_factory.mktemp("http") / "log") as process:
        yield process


def test_over_http(http: Process) -> None:
    answer = http.ask(body=sent(asked()), headers={"content-type": ONE})
    assert (answer.status, answer.headers["content-type"]) == (200, ONE)
    check(reference("CloudEvent").FromString(answer.body))
    answer = http.ask(body=THREE, headers={"content-type": f"{BATCH}; a=b"})
    assert (answer.status, answer.headers["content-type"]) == (200, BATCH)
    check_batch(answer.body)
    assert http.ask(body=b"", headers={"content-type": BATCH}).body == b"", "none for none"


def test_bad_ones_over_http(http: Process) -> None:
    """The error of one event is a document as for any other request; the process goes on."""
    for body, status, field in (
        (b"\xff", 400, "body"),
        (sent(message(id="")), 400, "id"),
        (sent(asked(attributes={"x": {"ce_string": "a\0"}})), 400, "x"),
    ):
        answer = http.ask(body=body, headers={"content-type": ONE})
        assert (answer.status, document(answer)["field"]) == (status, field)
    failing = asked(attributes={"subject": {"ce_string": "fail"}})
    assert document(http.ask(body=sent(failing), headers={"content-type": ONE}))
    headers = {"content-type": ONE, "prefer": "error=event"}
    answer = http.ask(body=sent(failing), headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (500, ONE)
    told = reference("CloudEvent").FromString(answer.body)
    assert (told.type, told.attributes["causationid"].ce_string) == ("t.error", "1")
    answer = http.ask(body=b"x", headers={"content-type": "application/cloudevents+avro"})
    assert answer.status == 415
    check(reference("CloudEvent").FromString(
        http.ask(body=sent(asked()), headers={"content-type": ONE}).body
    ))  # fmt: skip


@pytest.fixture(scope="module")
def fn(file: Path) -> Iterator[Container]:
    with container(file) as running:
        yield running


@pytest.mark.parametrize("headers", [(), trigger()], ids=["invoke", "trigger"])
def test_on_fn(fn: Container, headers: Any) -> None:
    reply = fn.call(call_bytes(sent(asked()), *headers, content_type=ONE))
    assert (reply.status, reply.header("content-type")) == (200, ONE)
    check(reference("CloudEvent").FromString(reply.body))
    reply = fn.call(call_bytes(THREE, *headers, content_type=BATCH))
    assert reply.header("content-type") == BATCH
    check_batch(reply.body)


def test_as_a_web_action_of_openwhisk(file: Path, tmp_path: Path) -> None:
    """The platform knows no such type: bodies are base64 both ways."""
    with served_action(tmp_path) as action:
        assert action.init(file.read_text()).status == 200
        value = {
            "__ow_method": "post",
            "__ow_headers": {"content-type": ONE},
            "__ow_body": base64.b64encode(sent(asked())).decode(),
        }
        answer: Any = action.run(value).json()
        assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, ONE)
        check(reference("CloudEvent").FromString(base64.b64decode(answer["body"], validate=True)))
        value |= {
            "__ow_headers": {"content-type": BATCH},
            "__ow_body": base64.b64encode(THREE).decode(),
        }
        answer = action.run(value).json()
        check_batch(base64.b64decode(answer["body"], validate=True))
        value["__ow_body"] = base64.b64encode(b"\xff").decode()
        broken: Any = action.run(value).error
        assert broken["statusCode"] == 400


# In the process: what the platforms share.


def function(work: Callable[[Event], object]) -> Function:
    """Return a function of events."""
    return Function(work, takes="event", name="f")


@pytest.mark.parametrize(
    ("result", "data", "media_type"),
    [
        ("text", b"text", "text/plain; charset=utf-8"),
        (b"\xff", b"\xff", "application/octet-stream"),
        (None, b"", ""),
    ],
)
def test_any_result_goes_back_in_protobuf(result: object, data: bytes, media_type: str) -> None:
    reply = function(lambda event: result).answer(Message(sent(asked()), ONE))
    assert (reply.status, reply.message.content_type) == (200, ONE)
    told = reference("CloudEvent").FromString(reply.message.body)
    assert (told.text_data.encode() or told.binary_data) == data
    assert told.attributes["datacontenttype"].ce_string == media_type


def test_an_event_of_the_functions_own_goes_back_in_protobuf() -> None:
    own = Event(type="own", source="/f", data=b"\0", datacontenttype="image/png")
    reply = function(lambda event: own).answer(Message(sent(asked()), ONE))
    told = reference("CloudEvent").FromString(reply.message.body)
    assert (told.type, told.binary_data, reply.is_json) == ("own", b"\0", False)


def test_the_trace_of_an_event_in_protobuf_is_known_to_the_log() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = sent(asked(attributes={"traceparent": {"ce_string": parent}}))
    reply = function(lambda event: 1).answer(Message(body, ONE))
    assert reply.trace == "0af7651916cd43dd8448eb211c80319c"
    told = reference("CloudEvent").FromString(reply.message.body)
    assert told.attributes["traceparent"].ce_string == parent
