"""Text from outside comes back short, whatever it was: in replies, in logs, on every way."""

import json
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.message import Message
from gpfn.models import PythonModel, declare
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.answer import CallLog, answer_parameters
from gpfn.platforms.openwhisk.protocol import Init, Refusal, parse_body
from tests.serving.serving import message, running

LONG = "x\x1b[31m" + "é" * 1_000_000
REPLY, LINE = 6_000, 8_000
LIMITS = Limits(body_bytes=1 << 25, string_bytes=1 << 25)
EVENT = {"specversion": "1.0", "id": "1", "source": "/", "type": "t", "data": [1]}
JSON, STRUCTURED = "application/json", "application/cloudevents+json"

FUNCTION = Function(
    lambda x: x, inputs={"x": TensorSpec("float32", (None,))}, name="same", limits=LIMITS
)


def sent(value: object, content_type: str = JSON) -> Message:
    return Message(json.dumps(value, ensure_ascii=False).encode(), content_type)


def binary(headers: Mapping[str, str]) -> Message:
    usual = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t"}
    return Message(b"[1]", JSON, tuple({**usual, **headers}.items()))


def raw(**attributes: str) -> Message:
    event = {**EVENT, "datacontenttype": "application/octet-stream", "data_base64": "AAAA"}
    del event["data"]
    return sent({**event, **attributes}, STRUCTURED)


V2 = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
MESSAGES = {
    "media type": Message(b"[1]", f"application/{LONG}"),
    "event format": Message(b"[1]", f"application/cloudevents+{LONG}"),
    "parameter": Message(b"[1]", f'multipart/form-data; boundary="{LONG}"'),
    "not JSON": Message(LONG.encode(), JSON),
    "name": sent({LONG: [1]}),
    "name beside": sent({"x": [1], LONG: [1]}),
    "value": sent([1, LONG]),
    "text": sent(LONG),
    "dtype": sent({"data": [1], "dtype": LONG}),
    "shape": sent({"data": [1], "shape": LONG}),
    "size": sent({"data": [1], "shape": [LONG]}),
    "member": sent({"data": [1], "shape": [1], LONG: 1}),
    "V2 name": sent({"inputs": [{**V2, "name": LONG}]}),
    "V2 type": sent({"inputs": [{**V2, "datatype": LONG}]}),
    "V2 data": sent({"inputs": [{**V2, "data": [LONG]}]}),
    "long number": Message(b"[" + b"9" * 100_000 + b"]", JSON),
    "npy": Message(b"\x93NUMPY\x01\0\x60\xea{'descr':" + b"f" * 60_000, "application/x-npy"),
    **{
        f"event {name}": sent({**EVENT, name: LONG}, STRUCTURED)
        for name in ("specversion", "id", "source", "time", "datacontenttype", "dataschema")
    },
    "event member": sent({**EVENT, LONG: 1}, STRUCTURED),
    "event twice": Message(
        json.dumps(EVENT)[:-1].encode() + f', "{LONG}": 1, "{LONG}": 2}}'.encode(), STRUCTURED
    ),
    "event data_base64": raw(data_base64=LONG),
    "event dtype": raw(dtype=LONG),
    "event shape": raw(dtype="float32", shape=LONG),
    "batch": sent([{**EVENT, "id": LONG}] * 9, "application/cloudevents-batch+json"),
    **{
        f"header {name}": binary({name: LONG})
        for name in ("ce-specversion", "ce-id", "ce-time", "ce-datacontenttype", "ce-" + LONG)
    },
}


def logged(tell: Callable[[Log], None], form: str) -> list[bytes]:
    lines: list[bytes] = []
    tell(Log("test", "f", form=form, sink=lambda data, _: lines.append(data)))
    return lines


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_call_is_answered_and_logged_shortly(kind: str) -> None:
    reply = FUNCTION.answer(MESSAGES[kind])
    assert reply.error is not None or reply.failures
    assert reply.status < 500
    assert len(reply.message.body) < REPLY
    for form in ("text", "json"):
        for line in logged(lambda log: log.call(LONG, reply, 0.1, 1, 1), form):
            assert len(line) < LINE
            assert line[:-1].decode().isprintable()


@pytest.mark.parametrize("kind", MESSAGES)
def test_an_activation_is_answered_and_logged_shortly(kind: str) -> None:
    message, lines = MESSAGES[kind], []
    parameters = {
        "__ow_method": "post",
        "__ow_headers": {"content-type": message.content_type, **dict(message.headers)},
        "__ow_body": bytes(message.body).decode("utf-8", "replace"),
    }
    log = CallLog(lambda data, _: lines.append(data))
    text = answer_parameters(FUNCTION, parameters, Activation(LONG), log)
    assert len(text) < REPLY + 500
    assert max(map(len, lines)) < LINE


@pytest.mark.parametrize(
    "value",
    [
        {"code": LONG, "binary": True},
        {"env": {f"{LONG}=": "x"}},
        {"env": {"a": LONG + "\0"}},
        LONG,
    ],
)
def test_what_cannot_be_initialised_is_told_shortly(value: object) -> None:
    with pytest.raises(Refusal) as caught:
        Init.from_body(json.dumps({"value": value}).encode()).decoded()
    assert len(caught.value.answer.body) < REPLY


def test_what_cannot_be_parsed_is_told_shortly() -> None:
    for body in (b"{" + LONG.encode(), json.dumps(LONG).encode(), b"[" * 100_000):
        with pytest.raises(Refusal) as caught:
            parse_body(body)
        assert len(caught.value.answer.body) < REPLY


@declare({"x": TensorSpec("float32")}, {"y": TensorSpec("float32")})
def double(x: np.ndarray) -> np.ndarray:
    return x * 2


ONE = np.ones((1, 2), np.float32)
REQUESTS = {
    "input": message(ONE, input_names=(LONG,)),
    "output": message(ONE, output_names=(LONG,)),
    "inputs": message(*[ONE] * 9, input_names=tuple(f"{LONG[:99_000]}{n}" for n in range(9))),
    "no message": LONG.encode(),
}


@pytest.mark.parametrize("accept", ["application/graphpipe", "*/*"])
@pytest.mark.parametrize("kind", [*REQUESTS, "coding"])
def test_the_model_server_answers_shortly(kind: str, accept: str) -> None:
    coding = {"content-encoding": "x" * 20_000} if kind == "coding" else {}
    with running(PythonModel(double)) as run:
        status, _, reply = run.ask("POST", "/", REQUESTS.get(kind, b"x"), accept=accept, **coding)
    assert 400 <= status < 500
    assert len(reply) < REPLY
