"""The Open Inference Protocol's JSON through a whole call: id, outputs, and who is to blame."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.call.contract import Reply
from gpfn.errors import CallerError
from gpfn.function.function import Function
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.tensors import TensorSpec
from gpfn.tensors.json_forms import asked_of

ROWS = TensorSpec("float32", (None, 2))


@pytest.fixture
def both() -> Function:
    return Function(lambda x: {"double": x * 2, "half": x / 2}, inputs={"x": ROWS})


def tensor(name: str, rows: int) -> dict[str, object]:
    return {"name": name, "shape": [rows, 2], "datatype": "FP32", "data": [1.0] * (2 * rows)}


def asked(function: Function, *tensors: dict[str, object], **more: object) -> Reply:
    body = orjson.dumps({"inputs": list(tensors) or [tensor("x", 1)], **more})
    return function.answer(Message(body, "application/json"))


def document(reply: Reply) -> Any:
    return orjson.loads(reply.message.body)


def test_the_answer_repeats_the_id(both: Function) -> None:
    found = document(asked(both, id='a "quoted" é'))
    assert list(found) == ["id", "outputs"]
    assert found["id"] == 'a "quoted" é'
    assert [output["name"] for output in found["outputs"]] == ["double", "half"]
    assert list(document(asked(both))) == ["outputs"]
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    data = {"id": "7", "inputs": [tensor("x", 1)], "outputs": [{"name": "half"}]}
    reply = both.answer(Message(orjson.dumps({**event, "data": data}), "text/plain"))
    assert document(reply)["data"] == {
        "id": "7",
        "outputs": [{"name": "half", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 0.5]}],
    }


def test_the_outputs_are_those_that_were_asked_for_in_their_order(both: Function) -> None:
    half = {"name": "half", "parameters": {"binary_data": False}}
    for outputs, names in (
        ([half], ["half"]),
        ([half, {"name": "double"}], ["half", "double"]),
        ([], ["double", "half"]),
    ):
        found = document(asked(both, outputs=outputs))["outputs"]
        assert [output["name"] for output in found] == names
        assert {output["name"]: output["data"] for output in found}.items() <= {
            "double": [2.0, 2.0],
            "half": [0.5, 0.5],
        }.items()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"outputs": [{"name": "half"}, {"name": "none"}]}, "body.outputs[1].name"),
        ({"outputs": {"name": "half"}}, "body.outputs"),
        ({"outputs": ["half"]}, "body.outputs[0]"),
        ({"outputs": [{"name": 1}]}, "body.outputs[0]"),
        ({"outputs": [{"name": "half"}] * 65}, "body.outputs"),
        ({"id": 5}, "body.id"),
    ],
)
def test_what_is_asked_wrongly_is_named(
    both: Function, more: dict[str, object], field: str
) -> None:
    reply = asked(both, **more)
    assert reply.status in (400, 413)
    assert document(reply)["error"]["field"] == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name"]), inner),
)


@settings(max_examples=300, deadline=None)
@given(JSON, JSON)
def test_any_request_is_understood_or_refused(request_id: object, outputs: object) -> None:
    try:
        found, names = asked_of({"id": request_id, "outputs": outputs}, Limits(tensors=2))
    except CallerError as error:
        assert (error.field or "").startswith(("data.id", "data.outputs"))  # noqa: PT017
        return
    assert found == request_id
    assert [{"name": name} for name in names] == [{"name": item["name"]} for item in outputs]  # type: ignore[attr-defined]


SUM = """
import numpy as np
from gpfn import TensorSpec
from gpfn.errors import ModelFailed
from gpfn.models.python import declare

ROWS = TensorSpec("float32", (None, 2))

@declare(inputs={"x": ROWS, "y": ROWS}, outputs={"sum": ROWS})
def add(x, y):
    if len(x) != len(y):
        raise ModelFailed("/models/secret.onnx: shapes do not agree")
    return x + y

@declare(inputs={"x": ROWS, "y": ROWS}, outputs={"rows": TensorSpec("int64", (2,))})
def count(x, y):
    return np.array([len(x), len(y)])
"""


def test_rows_that_do_not_fit_together_are_the_callers_fault(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(SUM)
    add = Function(model=f"{tmp_path}/sums.py:add")
    assert document(asked(add, tensor("x", 2), tensor("y", 2)))["outputs"][0]["shape"] == [2, 2]
    reply = asked(add, tensor("x", 3), tensor("y", 2))
    assert reply.status == 400
    error = document(reply)["error"]
    assert (error["type"], error["field"]) == ("invalid-tensor", "body.y")
    assert error["detail"] == "2 along axis 0, but x has 3: the model refuses it"
    named = b'{"x":[[1,1],[1,1],[1,1]],"y":[[1,1],[1,1]]}'
    assert add.answer(Message(named, "application/json")).status == 400


def test_a_model_that_takes_other_rows_gets_them(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(SUM)
    count = Function(model=f"{tmp_path}/sums.py:count")
    reply = asked(count, tensor("x", 3), tensor("y", 2))
    assert document(reply)["outputs"][0]["data"] == [3, 2]


def test_a_model_that_fails_for_another_reason_is_to_blame(tmp_path: Path) -> None:
    failing = (
        "from gpfn.errors import ModelFailed\ndef broken(x, y):\n    raise ModelFailed('no')\n"
    )
    (tmp_path / "broken.py").write_text(failing)
    broken = Function(model=f"{tmp_path}/broken.py:broken", inputs={"x": ROWS, "y": ROWS})
    assert asked(broken, tensor("x", 2), tensor("y", 2)).status == 502
    wide = {"x": TensorSpec("float32"), "y": TensorSpec("float32")}
    broken = Function(model=f"{tmp_path}/broken.py:broken", inputs=wide)
    assert asked(broken, tensor("x", 2), tensor("y", 3)).status == 400


def test_arrays_agree_with_a_plain_call(both: Function) -> None:
    plain = both(np.ones((1, 2), np.float32))
    assert isinstance(plain, dict)
    wire = document(both.answer(Message(b"[[1,1]]", "application/json")))
    assert wire == {name: array.tolist() for name, array in plain.items()}
