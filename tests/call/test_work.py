"""before → predict → after, and what each of them is given."""

import numpy as np
import orjson

from gpfn.call.contract import Call
from gpfn.function.function import Function
from gpfn.message import Message
from gpfn.tensors import TensorSpec


def body_of(function: Function, body: bytes) -> object:
    reply = function.answer(Message(body, "application/json"), Call(id="c"))
    assert reply.error is None, reply.message.body
    return orjson.loads(reply.message.body)


def test_hooks_take_arrays_and_extras() -> None:
    function = Function(
        lambda a, b: {"total": a + b, "product": a * b},
        inputs={"a": TensorSpec("int64"), "b": TensorSpec("int64")},
        before=lambda b, a: {"a": a + 1, "b": b},
        after=lambda total, product, call, event: [total[0], product[0], call.id, event],
    )
    assert body_of(function, b'{"a": [1], "b": [3]}') == [5, 6, "c", None]


def test_before_may_return_one_array() -> None:
    function = Function(
        lambda x: x.sum(), inputs={"x": TensorSpec("int64")}, before=lambda x: x.reshape(-1)
    )
    assert body_of(function, b"[[1,2],[3,4]]") == 10


def test_before_makes_arrays_of_a_payload_and_after_sees_the_payload() -> None:
    function = Function(
        lambda values, model: values * 2,
        takes="payload",
        before=lambda payload: np.array(payload.json()["values"]),
        after=lambda values, payload: dict.fromkeys(payload.json()["names"], values.tolist()),
    )
    assert body_of(function, b'{"values": [1, 2], "names": ["a"]}') == {"a": [2, 4]}


def test_stages_are_named_in_order() -> None:
    function = Function(
        lambda x: x, inputs={"x": TensorSpec("int64")}, before=lambda x: x, after=lambda x: x
    )
    function.open()
    stages = function.answer(Message(b"[1]")).stages
    assert [name for name, _ in stages] == ["decode", "before", "predict", "after", "encode"]
