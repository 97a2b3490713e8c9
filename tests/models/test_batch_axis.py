"""Which models compute rows of several requests in one call."""

from pathlib import Path
from typing import Any

import pytest

from gpfn.models import declare, open_model
from gpfn.models.batch_axis import (
    batch_obstacle,
    computes_here,
    has_batch_axis,
    output_elements,
)
from gpfn.models.python import PythonModel
from gpfn.tensors import TensorSpec
from tests.call.asking import Rowwise


@declare(
    inputs={"x": TensorSpec("float32", (None, 3))}, outputs={"y": TensorSpec("float32", (None, 3))}
)
def same(x: Any) -> dict[str, Any]:
    return {"y": x}


@pytest.mark.parametrize(
    "name", ["forecast.tflite", "digits.tflite", "forecast.onnx", "forecast_savedmodel"]
)
def test_models_that_are_files_say_it_themselves(root: Path, name: str) -> None:
    model = open_model(str(root / "models" / name))
    assert batch_obstacle(model) == ""
    assert has_batch_axis(model)
    assert computes_here(model)
    assert batch_obstacle(model, [spec.name for spec in model.outputs]) == ""
    assert batch_obstacle(model, [f"{spec.name}:0" for spec in model.outputs]) == ""
    model.close()


def test_a_tensor_that_is_no_output_promises_nothing(root: Path) -> None:
    model: Any = open_model(str(root / "models" / "rnn_ts_model.pb"))
    inner = next(name for name in ("x", "X", model.inputs[0].name) if model.gives(name))
    assert "none of the model's outputs" in batch_obstacle(model, [inner])
    assert batch_obstacle(model) == ""
    model.close()


def test_a_function_promises_nothing() -> None:
    model = PythonModel(same)
    assert "python promises nothing" in batch_obstacle(model)
    assert not has_batch_axis(model)
    assert not computes_here(model)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inputs": ()}, "tells no inputs"),
        ({"inputs": (TensorSpec("float32", (1, 3), "x"),)}, "x does not leave its first size open"),
        ({"inputs": (TensorSpec("float32", None, "x"),)}, "x does not leave its first size open"),
        ({"outputs": (TensorSpec("float32", (), "y"),)}, "y does not leave its first size open"),
        ({"rows_are_apart": False}, "not certain to be computed apart"),
        ({"backend": "oip"}, "the backend oip promises nothing"),
    ],
)
def test_what_stands_in_the_way_is_told(change: dict[str, Any], told: str) -> None:
    model: Any = Rowwise()
    assert has_batch_axis(model)
    for name, value in change.items():
        setattr(model, name, value)
    assert told in batch_obstacle(model)
    assert not has_batch_axis(model)


def test_one_that_waits_for_others_does_not_only_compute() -> None:
    model: Any = Rowwise()
    assert computes_here(model)
    model.waits = True
    assert not computes_here(model)


def test_what_a_row_gives() -> None:
    model = Rowwise()
    assert output_elements(model) == 3
    model.outputs = (
        TensorSpec("float32", (None, 4, 5), "a"),
        TensorSpec("float32", (None, None), "b"),
        TensorSpec("float32", (None,), "c"),
        TensorSpec("float32", None, "d"),
    )
    assert output_elements(model) == 22
