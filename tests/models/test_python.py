"""Plain functions as models: how they are found, called, and held to what they declare."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.errors import InvalidTensor, ModelFailed, SetupError
from gpfn.models import PythonModel, declare, open_model
from gpfn.tensors.spec import TensorSpec

X = np.array([[1, 2], [3, 4]], np.float32)


def test_one_array_in_one_out_whatever_its_name() -> None:
    def double(x: np.ndarray) -> np.ndarray:
        return x * 2

    model = PythonModel(double)
    assert (model.name.rpartition(".")[2], model.backend) == ("double", "python")
    assert (model.inputs, model.outputs) == ((), ())
    assert model({"anything": X})["output"].tolist() == [[2, 4], [6, 8]]


def test_parameters_are_inputs() -> None:
    def scaled(x: np.ndarray, by: np.ndarray, plus: float = 0.0) -> np.ndarray:
        return x * by + plus

    model = PythonModel(scaled)
    assert model({"by": np.float32(2), "x": X})["output"].tolist() == [[2, 4], [6, 8]]  # type: ignore[dict-item]
    assert model({"by": X * 0, "x": X, "plus": X})["output"].tolist() == X.tolist()
    for inputs, field in (({"x": X}, "by"), ({"x": X, "by": X, "wrong": X}, "wrong")):
        with pytest.raises(InvalidTensor, match="takes x, by") as caught:
            model(inputs)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("raise SystemExit(3)", "SystemExit: 3 (line 2)"),
        ("import sys; sys.exit(0)", "SystemExit: 0 (line 2)"),
        ("raise ValueError('boom')", "ValueError: boom (line 2)"),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there' (line 2)"),
    ],
)
def test_whatever_a_file_raises_is_told_in_a_line(tmp_path: Path, last: str, told: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"predict = abs\n{last}\n")
    with pytest.raises(SetupError) as refused:
        open_model(f"{file}:predict")
    assert str(refused.value) == f"model: cannot import {file}:predict: {told}"


def dict_function(inputs: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_out": array + 1 for name, array in inputs.items()}


def mapping_function(inputs: "Mapping[str, Any]") -> dict[str, Any]:
    return dict_function(dict(inputs))


def keyword_function(**inputs: Any) -> dict[str, Any]:
    return dict_function(inputs)


@pytest.mark.parametrize("function", [dict_function, mapping_function, keyword_function])
def test_functions_of_all_inputs(function: Any) -> None:
    given = PythonModel(function)({"a": X, "b": X * 2})
    assert {name: array.tolist() for name, array in given.items()} == {
        "a_out": (X + 1).tolist(),
        "b_out": (X * 2 + 1).tolist(),
    }
    assert list(PythonModel(function)({"a": X}, outputs=["a_out"])) == ["a_out"]


def test_several_outputs() -> None:
    model = PythonModel(lambda x: (x, x.sum()))
    assert list(model({"x": X})) == ["output_0", "output_1"]
    with pytest.raises(InvalidTensor, match="gives 'output_0', 'output_1'"):
        model({"x": X}, outputs=["output"])


def test_c_functions() -> None:
    assert open_model("numpy:tanh")({"x": np.zeros(2)})["output"].tolist() == [0, 0]
    assert open_model("numpy:add")({"x1": X, "x2": X})["output"].tolist() == (X * 2).tolist()
    assert open_model("numpy.linalg:norm")({"x": X})["output"].shape == ()


@declare(
    inputs={"x": TensorSpec("float32", (None, 2))}, outputs={"y": TensorSpec("float32", (None,))}
)
def declared(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


def test_declared_ends_are_checked_before_the_call() -> None:
    model = PythonModel(declared)
    assert model.inputs == (TensorSpec("float32", (None, 2), "x"),)
    assert model.outputs == (TensorSpec("float32", (None,), "y"),)
    assert model({"x:0": X.astype(np.float64)})["y"].tolist() == [3, 7]
    with pytest.raises(InvalidTensor, match="expected shape") as caught:
        model({"x": X[0]})
    assert caught.value.field == "x"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (np.zeros((2, 2)), "expected shape"),
        (np.array(["a", "b"]), "expected float32, got string"),
        ((1, 2), "not give the declared output y, but output_0, output_1"),
        ({"z": 1}, "not give the declared output y, but z"),
    ],
)
def test_a_broken_promise_is_not_the_callers_fault(result: object, told: str) -> None:
    promise = declare(outputs={"y": TensorSpec("float32", (None,))})
    with pytest.raises(ModelFailed, match=told):
        PythonModel(promise(lambda x: result))({"x": X})


@pytest.mark.parametrize("result", [None, object(), np.zeros(2, np.complex64), {"y": {"z": 1}}])
def test_what_is_no_array_is_named(result: object) -> None:
    with pytest.raises(ModelFailed, match="gave a wrong output"):
        PythonModel(lambda x: result)({"x": X})


def test_strings_become_bytes() -> None:
    given = PythonModel(lambda x: np.array(["a", "é"]))({"x": X})
    assert given["output"].tolist() == [b"a", "é".encode()]


def test_its_own_exception_passes_through() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("a bug of the user's")

    with pytest.raises(ZeroDivisionError):
        PythonModel(broken)({"x": X})


def test_from_a_module_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "class Deep:\n    @staticmethod\n    def apply(x):\n        return x + 1\n"
        "apply = Deep.apply\n"
    )
    (tmp_path / "some_model_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for uri in (
        "some_model_module:apply",
        "some_model_module:Deep.apply",
        f"{tmp_path}/some_model_module.py:apply",
    ):
        model = open_model(uri)
        assert model.name == uri
        assert model({"x": X})["output"].tolist() == (X + 1).tolist()


def test_dataclasses_in_a_file(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Plus:\n    by: int\n"
        "    def __call__(self, x):\n        return x + self.by\nplus = Plus(3)\n"
    )
    (tmp_path / "my-model.py").write_text(source)
    model = open_model(f"{tmp_path}/my-model.py:plus")
    assert model({"x": X})["output"].tolist() == (X + 3).tolist()


def test_what_already_is_a_model_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_module_with_a_model")
    module.ready = PythonModel(declared, name="mine")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert open_model("a_module_with_a_model:ready") is module.ready


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("no_such_module_at_all:f", "No module named"),
        ("numpy:no_such_function", "no attribute"),
        ("numpy:pi", "is a float, not callable"),
        ("/nowhere/f.py:apply", "No such file"),
    ],
)
def test_what_cannot_be_imported(uri: str, told: str) -> None:
    with pytest.raises(SetupError, match=told) as caught:
        open_model(uri)
    assert uri in caught.value.detail


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    (tmp_path / "a.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "b.py").write_text("def (:\n")
    (tmp_path / "c.py").write_text("async def f(x): return x\n")
    for name in ("a.py:f", "b.py:f", "c.py:f"):
        with pytest.raises(SetupError):
            open_model(f"{tmp_path}/{name}")
    assert {name for name in set(sys.modules) - before if name.endswith(("a_py", "b_py"))} == set()


def test_masked_arrays_are_refused_in_and_out() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    given = {"x": TensorSpec("float64", (None,))}

    @declare(inputs=given)
    def same(x: object) -> object:
        return x

    with pytest.raises(InvalidTensor, match="a masked array") as caught:
        PythonModel(same, name="same")({"x": masked})
    assert caught.value.field == "x"
    results: list[object] = [masked, {"y": masked}, (masked, masked), [masked]]
    for result in results:
        model = PythonModel(lambda x, result=result: result, name="masking")
        with pytest.raises(ModelFailed, match="a masked array"):
            model({"x": np.ones(2)})
