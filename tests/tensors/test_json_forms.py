"""The JSON forms: nested, named, flat, Open Inference."""

from typing import Any

import numpy as np
import pytest

from gpfn.errors import TooLarge
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec, decode_json, form_of
from tests.tensors.asking import LIMITS, SERIES, refusal, spec

A = spec("float32", None, name="a")
B = spec("int8", 2, name="b")


def tensor(**changes: Any) -> dict[str, Any]:
    """Return an Open Inference tensor of two windows, changed."""
    given = {"name": "series", "shape": [2, 20, 1], "datatype": "FP32", "data": [0.5] * 40}
    return {**given, **changes}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([1], "nested"),
        (1, "nested"),
        ({"a": [1]}, "named"),
        ({"shape": [1], "data": [1]}, "flat"),
        ({"inputs": []}, "open-inference"),
    ],
)
def test_the_form_is_told(value: object, form: str) -> None:
    assert form_of(value, [A]) == form


def test_a_declared_name_comes_before_a_forms_key() -> None:
    inputs, shape, data = (spec("int8", name=name) for name in ("inputs", "shape", "data"))
    assert form_of({"inputs": [1]}, [inputs]) == "named"
    assert decode_json({"inputs": [1]}, [inputs], LIMITS)["inputs"].tolist() == [1]
    both = decode_json({"shape": [1], "data": [2, 3]}, [shape, data], LIMITS)
    assert [array.tolist() for array in both.values()] == [[1], [2, 3]]


def test_several_inputs_come_by_name_in_the_specs_order() -> None:
    arrays = decode_json({"b": [1, 2], "a": {"shape": [3], "data": [1, 2, 3]}}, [A, B], LIMITS)
    assert list(arrays) == ["a", "b"]
    assert arrays["a"].tolist() == [1, 2, 3]
    assert arrays["b"].dtype == np.int8


def test_one_input_may_be_named_too() -> None:
    assert decode_json({"a": [1.5]}, [A], LIMITS)["a"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([1], "data: expected an object with a, b, got a list of 1"),
        ({"a": [1]}, "data.b: missing"),
        ({"a": [1], "b": [1, 2], "c": 1}, "data.c: unknown input; known: a, b"),
        ({"a": [1], "b": [1, 300]}, "data.b[1]: 300 is out of range for int8 (-128 to 127)"),
        ({"\r\n" * 99: 1}, "data.'" + "\\r\\n" * 9 + "\\r…: unknown input; known: a, b"),
    ],
)
def test_named_inputs_that_are_wrong(value: object, error: str) -> None:
    assert refusal(lambda: decode_json(value, [A, B], LIMITS)) == error


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]])
def test_flat_data_may_be_nested(data: object) -> None:
    array = decode_json({"shape": [2, 2], "data": data}, [spec("int8", 2, None)], LIMITS)["x"]
    assert array.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"shape": [2, 2], "data": [1, 2, 3]}, "data.data: expected 4 numbers, got 3"),
        ({"shape": [2, 2], "data": [[1, 2], [3]]}, "data.data[1]: expected 2 numbers, got 1"),
        ({"shape": [2, 1], "data": [[1, 2], [3, 4]]}, "data.data[0]: expected 1 number, got 2"),
        ({"shape": [4], "data": [[1, 2], [3, 4]]}, "data: expected shape (2, any), got (4,)"),
        ({"shape": [1, 4], "data": [1, 2, 3, 4]}, "data: expected shape (2, any), got (1, 4)"),
        ({"shape": [2, -1], "data": []}, "data.shape[1]: expected a whole number from 0 up"),
        ({"shape": [True, 2], "data": []}, "data.shape[0]: expected a whole number from 0 up"),
        ({"shape": 4, "data": []}, "data.shape: expected a list of sizes, got 4"),
        ({"shape": [1], "data": [1], "x": 1}, "data.x: unknown; known: shape, data, dtype"),
        ({"shape": [1], "data": [1], "dtype": "int9"}, "data.dtype: unknown datatype 'int9'"),
        ({"shape": [2, 2], "data": [0] * 3 + [1.5]}, "data.data[3]: 1.5 is not a whole number"),
    ],
)
def test_flat_data_that_is_wrong(value: object, error: str) -> None:
    got = refusal(lambda: decode_json(value, [spec("int8", 2, None)], LIMITS))
    assert got.startswith(error)


def test_an_empty_batch_needs_its_shape_stated() -> None:
    array = decode_json({"shape": [0, 20, 1], "data": []}, [SERIES], LIMITS)["series"]
    assert array.shape == (0, 20, 1)


def test_a_stated_dtype_is_fitted_to_the_declared_one() -> None:
    value = {"shape": [2], "data": [1, 2.5], "dtype": "float64"}
    assert decode_json(value, [A], LIMITS)["a"].dtype == np.float32
    value["data"] = [1, 0.1]
    error = "data.data[1]: 0.1 is not exact in float32 (was float64)"
    assert refusal(lambda: decode_json(value, [A], LIMITS)) == error


def test_open_inference_inputs() -> None:
    value = {"id": "7", "inputs": [tensor()], "outputs": [{"name": "y"}], "parameters": {}}
    array = decode_json(value, [SERIES], LIMITS)["series"]
    assert array.shape == (2, 20, 1)
    assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("datatype", "data", "dtype"),
    [
        ("BOOL", [True, False], "bool"),
        ("UINT8", [0, 255], "uint8"),
        ("INT64", [-(2**63), 2**63 - 1], "int64"),
        ("UINT64", [0, 2**64 - 1], "uint64"),
        ("FP16", [0.5, 2], "float16"),
        ("FP64", [0.1, 1e300], "float64"),
        ("BYTES", ["a", {"b64": "AP8="}], "string"),
    ],
)
def test_open_inference_datatypes_without_a_spec(
    datatype: str, data: list[object], dtype: str
) -> None:
    inputs = [{"name": "x", "shape": [2], "datatype": datatype, "data": data}]
    array = decode_json({"inputs": inputs}, [], LIMITS)["x"]
    expected = [b"a", b"\x00\xff"] if dtype == "string" else data
    assert array.tolist() == expected
    assert array.dtype == (object if dtype == "string" else dtype)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ({}, "data.inputs: expected a list, got an object"),
        ([], "data.inputs: the input series is missing"),
        ([1], "data.inputs[0]: expected an object, got 1"),
        ([{"name": "series"}], "data.inputs[0].shape: missing"),
        ([tensor(name=1)], "data.inputs[0].name: expected a string, got 1"),
        ([tensor(name="y")], "data.inputs[0].name: unknown input; known: series"),
        ([tensor(), tensor()], "data.inputs[1].name: 'series' occurs twice"),
        ([tensor(datatype="BF16")], "data.inputs[0].datatype: unknown datatype 'BF16'; known: B"),
        ([tensor(datatype=["FP32"])], "data.inputs[0].datatype: unknown datatype ['FP32']"),
        ([tensor(shape=[40])], "data.inputs[0]: expected shape (any, 20, 1), got (40,)"),
        ([tensor(data=[0.5] * 39)], "data.inputs[0].data: expected 40 numbers, got 39"),
        ([tensor(data=[0.5] * 39 + ["1"])], "data.inputs[0].data[39]: expected a number, got"),
        ([tensor(datatype="INT8", data=[0.5] * 40)], "data.inputs[0].data[0]: 0.5 is not a whole"),
        ([tensor(datatype="FP64", data=[0.1] * 40)], "data.inputs[0].data[0]: 0.1 is not exact"),
        (
            [tensor(datatype="BOOL", data=[True] * 40)],
            "data.inputs[0].data: expected float32, got bool",
        ),
    ],
)
def test_open_inference_inputs_that_are_wrong(inputs: object, error: str) -> None:
    assert refusal(lambda: decode_json({"inputs": inputs}, [SERIES], LIMITS)).startswith(error)


def test_without_a_declaration_bare_lists_have_no_dtype() -> None:
    for value in ([1], {"shape": [1], "data": [1]}):
        assert "nothing declares it" in refusal(lambda v=value: decode_json(v, [], LIMITS))
    value = {"shape": [1], "data": [1], "dtype": "int8"}
    assert decode_json(value, [], LIMITS)[""].dtype == np.int8


def test_limits_hold_over_all_tensors_together() -> None:
    specs = [TensorSpec("int8", None, name) for name in "abc"]
    value = {name: [1, 2] for name in "abc"}
    error = refusal(lambda: decode_json(value, specs, Limits(elements=5)), TooLarge)
    assert error.startswith("data: more than 5 elements")
    texts = [TensorSpec("string", None, name) for name in "abc"]
    words = {name: ["ab"] for name in "abc"}
    error = refusal(lambda: decode_json(words, texts, Limits(string_bytes=5)), TooLarge)
    assert error.startswith("data: more than 5 bytes in strings")
    many = {"inputs": [tensor()] * 3}
    error = refusal(lambda: decode_json(many, [SERIES], Limits(tensors=2)), TooLarge)
    assert error == "data.inputs: more than 2 tensors; GPFN_MAX_TENSORS sets this"


@pytest.mark.parametrize("shape", [[2**31, 2**31], [10**30], [0, 2**40, 2**40], [1] * 17])
def test_a_huge_shape_costs_nothing(shape: list[int]) -> None:
    value = {"shape": shape, "data": []}
    error = refusal(lambda: decode_json(value, [A], LIMITS), TooLarge)
    assert error.startswith("data.shape: more than ")
