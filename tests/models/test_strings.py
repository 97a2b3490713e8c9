"""Strings that a model gives are text in a function, where they are UTF-8."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.graphpipe import InferRequest, decode_response, encode_request
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.models import open_model
from tests.models.test_remote import serving

WORDS = np.array([b"pass", "sch\u00f6n".encode(), b"\xff\xfe"], object)
WHICH = np.array([0, 1, 2, 1], np.int32)


@pytest.fixture(params=["pick.tflite", "pick", "remote"])
def uri(request: pytest.FixtureRequest, made: Path) -> Iterator[str]:
    if request.param != "remote":
        yield str(made / request.param)
        return
    with serving(open_model(made / "pick")) as served:
        yield served.url


def ask(function: Function, words: np.ndarray = WORDS) -> Any:
    texts = [{"b64": "//4="} if word == b"\xff\xfe" else word.decode() for word in words.tolist()]
    body = json.dumps({"words": texts, "which": WHICH.tolist()}).encode()
    reply = function.answer(Message(body, "application/json"))
    assert reply.status == 200, reply.message.body
    return json.loads(reply.message.body)


INPUTS = {"words": TensorSpec("string", (3,)), "which": TensorSpec("int32", (None,))}


def test_after_gets_text(uri: str) -> None:
    seen: list[object] = []

    def after(picked: np.ndarray) -> dict[str, object]:
        seen.extend(picked.tolist())
        return {"first": picked[0], "told": f"{picked[0]}!", "two": picked[:2].tolist()}

    function = Function(model=uri, inputs=INPUTS, output="picked", after=after)
    assert ask(function) == {"first": "pass", "told": "pass!", "two": ["pass", "sch\u00f6n"]}
    assert seen == ["pass", "sch\u00f6n", b"\xff\xfe", "sch\u00f6n"]


def test_text_may_be_a_key_and_arrays_may_be_nested(uri: str) -> None:
    def after(picked: np.ndarray) -> dict[str, object]:
        return {"all": picked, "deep": [{"one": picked[1:2]}], "by": {picked[1]: 1}}

    function = Function(model=uri, inputs=INPUTS, output="picked", after=after)
    assert ask(function) == {
        "all": ["pass", "sch\u00f6n", {"b64": "//4="}, "sch\u00f6n"],
        "deep": [{"one": ["sch\u00f6n"]}],
        "by": {"sch\u00f6n": 1},
    }


def test_bytes_that_are_no_text_are_refused_with_their_place(uri: str) -> None:
    function = Function(
        model=uri, inputs=INPUTS, output="picked", after=lambda picked: {"a": [1, picked[2]]}
    )
    body = b'{"words": ["a", "b", {"b64": "//4="}], "which": [0, 1, 2]}'
    reply = function.answer(Message(body, "application/json"))
    error = json.loads(reply.message.body)["error"]
    assert (reply.status, error["field"]) == (500, "result.a[1]")


def test_without_after_the_wire_is_as_before(uri: str) -> None:
    function = Function(model=uri, inputs=INPUTS, output="picked")
    assert ask(function) == {"picked": ["pass", "sch\u00f6n", {"b64": "//4="}, "sch\u00f6n"]}
    request = InferRequest((WORDS, WHICH), ("words", "which"))
    body = b"".join(encode_request(request))
    reply = function.answer(Message(body, "application/vnd.graphpipe"))
    (tensor,) = decode_response(reply.message.body, Limits()).tensors
    assert tensor.tolist() == WORDS[WHICH].tolist()


def test_onnx_strings_are_text(made: Path) -> None:
    function = Function(
        model=str(made / "pick.onnx"), output="picked", after=lambda picked: {"p": picked[0]}
    )
    body = b'{"words": ["pass", "b", "c"], "which": [0]}'
    assert function.answer(Message(body, "application/json")).message.body == b'{"p":"pass"}'


def test_a_handler_may_answer_with_a_models_strings(made: Path) -> None:
    """It calls the model itself, whose strings are bytes; as an array they are text in JSON."""

    def handler(words: np.ndarray, which: np.ndarray, model: Any) -> dict[str, object]:
        return {"n": 1, "p": model({"words": words, "which": which})["picked"]}

    function = Function(handler, model=str(made / "pick"), inputs=INPUTS)
    assert ask(function)["p"] == ["pass", "sch\u00f6n", {"b64": "//4="}, "sch\u00f6n"]


def test_strings_of_a_python_function() -> None:
    function = Function(
        model="tests.models.test_strings:named",
        inputs={"x": TensorSpec("float32", (None,))},
        after=lambda output: {"label": output[0], "kind": type(output[1]).__name__},
    )
    reply = function.answer(Message(b"[1.0, 2.0]", "application/json"))
    assert json.loads(reply.message.body) == {"label": "row", "kind": "bytes"}


def named(x: np.ndarray) -> np.ndarray:
    """A model: a text for each row, and one that is none."""
    return np.array(["row", b"\xff"], object)
