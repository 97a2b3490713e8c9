"""Payloads to arrays; what the tensors package decodes is tested there."""

from collections.abc import Mapping

import numpy as np
import pytest

from gpfn.call.decode import decode_arrays
from gpfn.call.payload import Payload
from gpfn.errors import InvalidEvent, InvalidMessage, InvalidTensor, UnsupportedMedia
from gpfn.events import Event
from gpfn.function.function import Function
from gpfn.graphpipe import InferRequest, MetadataRequest, decode_response, encode_request
from gpfn.limits import Limits
from gpfn.media import GRAPHPIPE
from gpfn.message import Message
from gpfn.tensors import TensorSpec

A = TensorSpec("float32", (None, 2), "a")
B = TensorSpec("int64", (None,), "b")
ARRAY = np.array([[1, 2]], np.float32)


def graphpipe(
    arrays: Mapping[str, object] | tuple[object, ...], outputs: tuple[str, ...] = ()
) -> bytes:
    names = tuple(arrays) if isinstance(arrays, Mapping) else ()
    values = arrays.values() if isinstance(arrays, Mapping) else arrays
    tensors = tuple(np.asarray(value) for value in values)
    return b"".join(encode_request(InferRequest(tensors, names, outputs)))


def test_a_graphpipe_message_by_name_and_by_order() -> None:
    numbers = np.array([7], np.int64)
    for message in (graphpipe({"b": numbers, "a": ARRAY}), graphpipe((ARRAY, numbers))):
        arrays = decode_arrays(Payload(message, GRAPHPIPE), (A, B), Limits())
        assert list(arrays) == ["a", "b"]
        np.testing.assert_array_equal(arrays["a"], ARRAY)
        np.testing.assert_array_equal(arrays["b"], numbers)


def test_a_graphpipe_message_is_answered_by_one() -> None:
    function = Function(lambda a: {"double": a * 2, "half": a / 2, "other": a}, inputs={"a": A})
    reply = function.answer(Message(graphpipe((ARRAY,)), GRAPHPIPE))
    assert reply.message.content_type == GRAPHPIPE
    tensors = decode_response(reply.message.body, Limits()).tensors
    assert [tensor.tolist() for tensor in tensors] == [[[2, 4]], [[0.5, 1]], [[1, 2]]]
    reply = function.answer(Message(graphpipe((ARRAY,), ("other", "half")), GRAPHPIPE))
    tensors = decode_response(reply.message.body, Limits()).tensors
    assert [tensor.tolist() for tensor in tensors] == [[[1, 2]], [[0.5, 1]]]


def test_a_graphpipe_message_in_an_event() -> None:
    event = Event(type="t", source="/", data=graphpipe((ARRAY,)), datacontenttype=GRAPHPIPE)
    answer = Function(lambda a: a + 1, inputs={"a": A})(event)
    assert isinstance(answer, Event)
    assert answer.datacontenttype == GRAPHPIPE
    assert decode_response(answer.data or b"", Limits()).tensors[0].tolist() == [[2, 3]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"gpgp", None),
        (b"".join(encode_request(MetadataRequest())), None),
        (graphpipe({"wrong": ARRAY}), "infer_request.input_names"),
        (graphpipe((ARRAY, ARRAY)), "infer_request.input_names"),
        (graphpipe({"a": ARRAY}, ("absent",)), "infer_request.output_names[0]"),
    ],
)
def test_a_wrong_graphpipe_message(body: bytes, field: str | None) -> None:
    reply = Function(lambda a: a, inputs={"a": A}).answer(Message(body, GRAPHPIPE))
    assert reply.status == 400
    assert isinstance(reply.error, InvalidMessage | InvalidTensor)
    if field:
        assert reply.error.field == field


def test_a_graphpipe_tensor_that_does_not_fit_is_named() -> None:
    body = graphpipe({"b": np.array([1], np.int64), "a": np.array([[1, 2, 3]], np.float32)})
    with pytest.raises(InvalidTensor) as raised:
        decode_arrays(Payload(body, GRAPHPIPE), (A, B), Limits())
    assert raised.value.field == "infer_request.input_tensors[1]"


def test_json_remembers_its_form() -> None:
    payload = Payload(b'{"shape": [1, 2], "data": [1, 2]}', "application/json")
    decode_arrays(payload, (A,), Limits())
    assert payload.form == "flat"


@pytest.mark.parametrize(
    ("payload", "error", "field"),
    [
        (Payload(b"", ""), InvalidTensor, "body"),
        (Payload(b"x", "image/png"), UnsupportedMedia, None),
        (Payload(b"abc", "application/octet-stream"), InvalidTensor, "body"),
        (Payload.from_event(Event(type="t", source="/")), InvalidEvent, "data"),
        (Payload.from_event(Event(type="t", source="/", data=[["x", 1]])), InvalidTensor, None),
    ],
)
def test_what_is_no_array(payload: Payload, error: type[Exception], field: str | None) -> None:
    with pytest.raises(error) as raised:
        decode_arrays(payload, (A,), Limits())
    if field:
        assert getattr(raised.value, "field", None) == field
