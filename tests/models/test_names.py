"""Names: two tensors never share one, whatever they are called and whoever asks."""

from pathlib import Path

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.errors import InvalidTensor, SetupError
from gpfn.graphpipe import InferRequest, decode_response
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.models import Model, PythonModel, declare, open_model
from gpfn.serving.protocols.graphpipe_tensors import Questions
from gpfn.tensors.spec import find_name, plain_names
from tests.serving.serving import unmatched

X = np.array([-2.0], np.float32)
ONNX = {"y": -4.0, "y:0": 2.0, "x": 2.0, "z": -2.0}
SAVED = {"y": -1.0, "y:0": 0.0, "x": 1.0}


def test_an_ending_is_left_out_where_the_name_stays_its_own() -> None:
    names = ["a:0", "b:0", "b", "c", "d:1", "e:0:0", "e:0"]
    assert list(plain_names(names).values()) == ["a", "b:0", "b", "c", "d:1", "e:0:0", "e"]
    assert [find_name(name, ["a", "b", "b:0"]) for name in ("a", "a:0", "b", "b:0", "a:1")] == [
        "a", "a", "b", "b:0", None
    ]  # fmt: skip


def values(given: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(array.item()) for name, array in given.items()}


@pytest.mark.parametrize(("name", "right"), [("twins.onnx", ONNX), ("twins", SAVED)])
def test_outputs_that_differ_by_their_ending_alone(
    made: Path, name: str, right: dict[str, float]
) -> None:
    model = open_model(made / name)
    assert sorted(spec.name for spec in model.outputs) == sorted(right)
    assert values(model({"x": X})) == right
    assert values(model({"x:0": X})) == right
    for wanted, value in right.items():
        assert values(model({"x": X}, outputs=[wanted])) == {wanted: value}
    assert values(model({"x": X}, outputs=["y:0", "y"])) == {"y:0": right["y:0"], "y": right["y"]}
    assert values(model({"x": X}, outputs=["x:0"])) == {"x": right["x"]}
    only = open_model(made / name, outputs=["y:0"])
    assert values(only({"x": X})) == {"y:0": right["y:0"]}


def served(model: Model, *outputs: str, inputs: tuple[str, ...] = ("x:0",)) -> list[float]:
    questions = Questions(model)
    request = questions.complete(InferRequest((X,), inputs, outputs))
    given = model(questions.inputs(request), outputs=request.output_names)
    tensors = questions.outputs(given, request.output_names)
    return [float(tensor.item()) for tensor in tensors]


@pytest.mark.parametrize(("name", "right"), [("twins.onnx", ONNX), ("twins", SAVED)])
def test_a_graphpipe_request_gets_what_it_asks_for(
    made: Path, name: str, right: dict[str, float]
) -> None:
    model = open_model(made / name)
    asked = [*right, *reversed(right), "x:0"]
    assert served(model, *asked) == [right.get(name, right["x"]) for name in asked]
    assert served(model, inputs=()) == [right[spec.name] for spec in model.outputs]


def test_a_function_answers_with_the_one_that_it_names(made: Path) -> None:
    for name in ("y", "y:0", "z:0"):
        function = Function(model=str(made / "twins.onnx"), output=name)
        reply = function.answer(Message(b"[-2.0]", "application/json"))
        assert float(reply.message.body.strip(b"[]")) == ONNX[name if name in ONNX else "z"]


def test_a_graphpipe_message_to_a_function_may_write_the_ending(made: Path) -> None:
    function = Function(model=str(made / "twins.onnx"))
    for names in (("x:0",), ("x:0", "x:0"), ()):  # graphpipe-batcher sends names twice
        outputs = ("y:0", "z:0", "y", "x:0")
        body = unmatched((X,), names, outputs)
        reply = function.answer(Message(body, "application/vnd.graphpipe"))
        assert reply.status == 200
        tensors = decode_response(reply.message.body, Limits()).tensors
        assert [float(tensor.item()) for tensor in tensors] == [2.0, -2.0, -4.0, 2.0]


def test_an_input_under_both_spellings_is_refused(made: Path) -> None:
    for model in (
        open_model(made / "twins.onnx"),
        open_model(made / "order.tflite"),
        PythonModel(declare({"x": TensorSpec("float32")})(lambda x: x)),
    ):
        name = model.inputs[0].name
        with pytest.raises(InvalidTensor, match=f"the input '{name}' is given twice"):
            model({name: X, f"{name}:0": X})


def test_names_of_a_configuration(made: Path) -> None:
    with pytest.raises(SetupError, match="not 'w:0'"):
        open_model(made / "twins.onnx", outputs=["w:0"])
    model = open_model(made / "twins.onnx", inputs=["x:0"], outputs=["z:0", "y"])
    assert [spec.name for spec in (*model.inputs, *model.outputs)] == ["x", "z", "y"]
