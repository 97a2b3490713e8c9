"""A function as a model."""

import os

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed, SetupError
from gpfn.function.model import open_function_model
from gpfn.models import open_model

TABLE = TensorSpec("float32", (None, None))
X = np.array([[0, 1], [2, 3]], np.float32)


def double(**more) -> Function:
    return Function(lambda x: {"y": 2 * x}, inputs={"x": TABLE}, **more)


def test_arrays_in_and_out():
    model = double(outputs={"y": TABLE}).as_model("double")
    assert (model.name, model.backend) == ("double", "function")
    assert model.inputs == (TensorSpec("float32", (None, None), "x"),)
    assert model.outputs == (TensorSpec("float32", (None, None), "y"),)
    assert model({"x": X})["y"].tolist() == (2 * X).tolist()
    assert [*model({"x": X}, outputs=["y"])] == ["y"]


def test_one_array_has_the_name_that_is_promised():
    promised = Function(lambda x: x, inputs={"x": TABLE}, outputs={"z": TABLE}).as_model()
    plain = Function(lambda x: x, inputs={"x": TABLE}).as_model()
    assert [*promised({"x": X})] == ["z"]
    assert [*plain({"x": X})] == ["output"]


def test_an_async_function_too():
    async def add(x):
        return {"y": x + 1}

    model = Function(add, inputs={"x": TABLE}).as_model()
    assert model({"x": X})["y"].tolist() == [[1, 2], [3, 4]]


def test_steps_around_a_model():
    function = Function(
        model="catalogue:digits",
        before=lambda image: image,
        after=lambda probabilities: {"best": probabilities.argmax(-1)},
        inputs={"image": TensorSpec("uint8", (None, 8, 8, 1))},
    )
    model = function.as_model()
    assert model({"image": np.zeros((2, 8, 8, 1), np.uint8)})["best"].shape == (2,)
    assert model.outputs == ()
    alone = Function(model="catalogue:digits").as_model()
    assert [spec.name for spec in alone.outputs] == ["probabilities"]


def test_a_handler_object_says_what_it_takes_and_gives():
    class Halves:
        takes = "arrays"
        waits = True

        def __init__(self):
            self.inputs = {"x": TABLE}
            self.outputs = {"low": TABLE, "high": TABLE}

        def predict(self, x):
            return {"low": x / 2, "high": x}

    model = Function(Halves()).as_model()
    assert [spec.name for spec in model.outputs] == ["low", "high"]
    assert model.waits
    assert not double().as_model().waits
    assert model({"x": X})["low"].tolist() == [[0, 0.5], [1, 1.5]]


def test_it_takes_arrays_only():
    with pytest.raises(SetupError, match="takes payload; what is served takes arrays"):
        Function(lambda payload: payload, takes="payload").as_model()


@pytest.mark.parametrize(
    ("given", "told"),
    [({"x": X[0]}, "expected shape"), ({"q": X}, "unknown input"), ({}, "missing input")],
)
def test_what_does_not_fit_is_the_callers(given, told):
    with pytest.raises(InvalidTensor, match=told):
        double().as_model()(given)


@pytest.mark.parametrize(
    ("result", "told"),
    [({"z": X}, "did not give the output y"), ({"y": X[0]}, "expected shape"),
     ({"y": object()}, "wrong output")],
)  # fmt: skip
def test_a_broken_promise_is_the_functions(result, told):
    model = Function(lambda x: result, inputs={"x": TABLE}, outputs={"y": TABLE}).as_model()
    with pytest.raises(ModelFailed, match=told):
        model({"x": X})


def test_an_exception_passes_through():
    def fail(x):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        Function(fail, inputs={"x": TABLE}).as_model()({"x": X})


def test_late_is_late():
    with pytest.raises(DeadlineExceeded):
        double().as_model()({"x": X}, deadline=Deadline(0))


SOURCE = """
import os
from gpfn import Function, TensorSpec
FACTOR = float(os.environ.get("FACTOR", "2"))
scale = Function(lambda x: {"y": x * FACTOR}, inputs={"x": TensorSpec("float32", (None, None))})
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "func.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("spelling", ["{}", "{}:scale"])
def test_a_functions_file_is_a_model(file, spelling):
    model = open_model(spelling.format(file))
    assert model({"x": X})["y"].tolist() == (2 * X).tolist()
    assert model.backend == "function"


def test_settings_hold_while_it_is_opened(file):
    two = open_model(file, settings={"FACTOR": "3"})
    assert two({"x": X})["y"].tolist() == (3 * X).tolist()
    assert open_function_model(str(file))({"x": X})["y"].tolist() == (2 * X).tolist()
    assert "FACTOR" not in os.environ


@pytest.mark.parametrize(
    ("source", "told"),
    [("x = 1\n", "defines no handler"), ("handler = 3\n", "expected a gpfn.Function, got a int"),
     ("1 / 0\n", "cannot be imported: ZeroDivisionError")],
)  # fmt: skip
def test_a_file_without_a_function_says_so(tmp_path, source, told):
    path = tmp_path / "func.py"
    path.write_text(source)
    with pytest.raises(SetupError, match=told):
        open_model(path)
