"""An array fits as it is, or after a cast that every value survives; else its place is told."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.errors import InvalidTensor
from gpfn.tensors import TensorSpec, cast_to
from gpfn.tensors.cast import dtype_name
from gpfn.tensors.dtypes import DTYPE_TABLE
from tests.tensors.asking import SERIES, refusal, spec

NUMBERS = [name for name in DTYPE_TABLE if name not in {"bool", "string"}]


def test_what_fits_is_returned_as_it_is() -> None:
    array = np.zeros((3, 20, 1), np.float32)
    assert cast_to(array, SERIES, path="x") is array
    assert cast_to(array, spec("float32"), path="x") is array


@pytest.mark.parametrize("shape", [(20,), (3, 19, 1), (3, 20, 1, 1), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    error = refusal(lambda: cast_to(np.zeros(shape, np.float32), SERIES, path="x"))
    assert error == f"x: expected shape (any, 20, 1), got {shape}"


@pytest.mark.parametrize(
    ("array", "dtype", "error"),
    [
        (np.array([[1, 0.1]]), "float32", "x[0][1]: 0.1 is not exact in float32 (was float64)"),
        (np.array([1e300]), "float32", "x[0]: 1e+300 is not exact in float32 (was float64)"),
        (np.array([2**24 + 1]), "float32", "x[0]: 16777217 is not exact in float32 (was int64)"),
        (np.array([2**63 - 1]), "float64", "x[0]: 9223372036854775807 is not exact in float64"),
        (np.array([70000]), "float16", "x[0]: 70000 is not exact in float16 (was int64)"),
        (np.array([1, 256]), "uint8", "x[1]: 256 is not exact in uint8 (was int64)"),
        (np.array([1, -1]), "uint64", "x[1]: -1 is not exact in uint64 (was int64)"),
        (np.array([2**63], np.uint64), "int64", "x[0]: 9223372036854775808 is not exact in int64"),
        (np.array([1.5]), "int32", "x[0]: 1.5 is not exact in int32 (was float64)"),
        (np.array([np.nan]), "int32", "x[0]: nan is not exact in int32 (was float64)"),
        (np.array([2.0**63]), "int64", "x[0]: 9.223372036854776e+18 is not exact in int64"),
        (np.array(1.5), "int32", "x: 1.5 is not exact in int32 (was float64)"),
        (np.array([0, 2], np.uint8), "bool", "x[1]: 2 is not exact in bool (was uint8)"),
        (np.array([True]), "float32", "x: expected float32, got bool"),
        (np.array([1]), "bool", "x: expected bool, got int64"),
        (np.array(["1"]), "float32", "x: expected float32, got string"),
        (np.array([1j]), "float32", "x: expected float32, got complex128"),
        (np.array([None]), "float32", "x: expected float32, got string"),
        (np.array(["2020-01-01"], "M8[D]"), "int64", "x: expected int64, got datetime64[D]"),
        (np.array([1.0]), "string", "x: expected strings, got float64"),
        (np.array(["a", 1], object), "string", "x[1]: expected a string, got 1"),
        (np.array(1, object), "string", "x: expected a string, got 1"),
        (np.array(["\ud800"], object), "string", "x[0]: expected Unicode text, got a lone surr"),
    ],
)
def test_a_value_that_would_change_is_refused(array: Any, dtype: str, error: str) -> None:
    assert refusal(lambda: cast_to(array, spec(dtype), path="x")).startswith(error)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1.0, 2.5]), "float32"),
        (np.array([np.nan, np.inf, -0.0]), "float16"),
        (np.array([3.0, -4.0], np.float32), "int8"),
        (np.array([2**24, -(2**24)]), "float32"),
        (np.array([2**30]), "float32"),
        (np.array([2**63], np.uint64), "float64"),
        (np.array([1, 0], np.uint8), "bool"),
        (np.array([True, False]), "uint8"),
        (np.array([1.5], ">f4"), "float32"),
        (np.array([7], ">i8"), "int16"),
        (np.zeros((0, 3)), "int8"),
    ],
)
def test_a_value_that_survives_is_cast(array: Any, dtype: str) -> None:
    done = cast_to(array, spec(dtype), path="x")
    assert done.dtype == np.dtype(dtype)
    assert done.dtype.isnative
    assert np.array_equal(done, array, equal_nan=True)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(list(product(NUMBERS, NUMBERS))))
def test_no_cast_changes_a_value(data: st.DataObject, pair: tuple[str, str]) -> None:
    source, target = pair
    array = data.draw(arrays.arrays(source, st.integers(0, 4)))
    exact = all(survives(value, target) for value in array.tolist())
    try:
        done = cast_to(array, spec(target), path="x")
    except InvalidTensor:
        assert not exact
    else:  # Python compares whole numbers and floats exactly
        assert exact
        pairs = zip(done.tolist(), array.tolist(), strict=True)
        assert all(new == old or old != old for new, old in pairs)


def survives(value: Any, target: str) -> bool:
    """Say, in Python's exact numbers, whether the dtype ``target`` holds this value."""
    dtype = DTYPE_TABLE[target]
    if value != value:
        return dtype.floating
    if dtype.whole:
        return (
            abs(value) != float("inf") and value == int(value) and dtype.low <= value <= dtype.high
        )
    with np.errstate(over="ignore"):
        return bool(dtype.numpy.type(value).item() == value)


def test_strings_become_bytes_objects() -> None:
    for array in (np.array(["a", "ü"]), np.array(["a", "ü"], object)):
        assert cast_to(array, spec("string", 2), path="x").tolist() == [b"a", "ü".encode()]
    kept = np.array([b"a\x00", b"\xff"], object)
    assert cast_to(kept, spec("string"), path="x") is kept
    assert cast_to(np.array([b"a"]), spec("string"), path="x").tolist() == [b"a"]


def test_nan_is_refused_where_the_spec_says_finite() -> None:
    array = np.array([[0, 1], [np.nan, np.inf]], np.float32)
    assert cast_to(array, spec("float32"), path="x") is array
    finite = TensorSpec("float32", None, "x", finite=True)
    assert (
        refusal(lambda: cast_to(array, finite, path="x"))
        == "x[1][0]: expected a finite number, got nan"
    )
    assert cast_to(array[:1], finite, path="x").shape == (1, 2)


def test_dtypes_have_the_names_of_specs() -> None:
    assert dtype_name(np.zeros(1, ">f2")) == "float16"
    assert dtype_name(np.array(["a"])) == "string"
