"""A column as its input takes it: exact, or a reason for each row, whatever is beside it."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.data.values import taken
from gpfn.rows.values import RowColumn
from gpfn.tensors.dtypes import DTYPE_TABLE


def column(dtype: str, inner: str = "", **more: Any) -> RowColumn:
    return RowColumn("c", DTYPE_TABLE[inner or dtype], DTYPE_TABLE[dtype], **more)


@pytest.mark.parametrize(
    ("array", "dtype", "wanted", "wrong"),
    [
        (np.array([0.1, 1e39, np.nan, np.inf]), "float32", [0.1, None, np.nan, np.inf], "large"),
        (np.array([2**53, 2**53 + 1, -(2**60)]), "float32", [2**53, None, -(2**60)], "2\\*\\*53"),
        (np.array([2**63 + 1], np.uint64), "float64", [None], "2\\*\\*53"),
        (np.array([70000]), "float16", [None], "too large|2\\*\\*53"),
        (np.array([1.0, 1.5, np.nan, 2.0**53]), "int64", [1, None, None, None], "whole|finite|2"),
        (np.array([255, 256, -1]), "uint8", [255, None, None], "out of range for uint8"),
        (np.array([-1], np.int8), "uint64", [None], "out of range"),
        (np.array([True]), "float32", [None], "expected a number .* got true or false"),
        (np.array([1, 0]), "bool", [None, None], "expected true or false, got a number"),
        (np.array([1, 2], np.uint8), "bool", [True, None], "expected true or false"),
        (np.array([1.5]), "string", [None], "expected text, got a number"),
        (np.array(["1", " 2.5 ", "nan", "1_0", "x", "", "\u0661"], object), "float32",
         [1, 2.5, np.nan, None, None, None, None], "expected a number|missing"),
        (np.array(["1e400", "-inf"], object), "float64", [None, -np.inf], "too large"),
        (np.array(["7", "7.0", "7.5"], object), "int32", [7, 7, None], "whole number"),
        (np.array(["true", "0", "yes"], object), "bool", [True, False, None], "true or false"),
        (np.array(["a", None, 1], object), "string", ["a", None, None], "missing|expected text"),
        (np.array([1, 2**53 + 1, 0.5, True], object), "float32", [1, None, 0.5, None], "2|number"),
    ],
)  # fmt: skip
def test_values_are_exact_or_have_a_reason(
    array: np.ndarray, dtype: str, wanted: list[Any], wrong: str
) -> None:
    mask = np.array([value is None for value in array.tolist()]) if array.dtype == object else None
    mask = mask if mask is not None and mask.any() else None
    found = taken(array, mask, column(dtype))
    assert found.values.dtype == DTYPE_TABLE[dtype].numpy
    assert {*found.faults} == {at for at, value in enumerate(wanted) if value is None}
    for told in found.faults.values():
        assert re.search(wrong, told), told
    for at, value in enumerate(wanted):
        if value is not None:
            expected = np.array([value]).astype(found.values.dtype)[0]
            assert found.values[at] == expected or expected != expected


def test_defaults_and_texts_that_mean_a_gap() -> None:
    mask = np.array([False, True])
    with_default = column("float32", default=9.5, missing=frozenset({"?"}))
    assert taken(np.array([1, 0]), mask, with_default).values.tolist() == [1, 9.5]
    texts = np.array(["?", None], object)
    assert taken(texts, mask, with_default).values.tolist() == [9.5, 9.5]
    told = taken(texts, mask, column("float32", missing=frozenset({"?"}))).faults
    assert told == dict.fromkeys((0, 1), "missing, and the column has no default")


@pytest.mark.parametrize(
    ("array", "dtype", "default"),
    [
        (np.array([2**53 + 1, 0]), "float32", 0.5),
        (np.array([True, False]), "float32", 0.5),
        (np.array([2**60 + 1, 0], np.uint64), "int64", 7),
        (np.array([2**62 + 1, 0]), "uint64", 7),
        (np.array([1.0, np.nan]), "string", "none"),
        (np.array([1.0, np.nan]), "int32", 7),
        (np.array([2, 0], np.uint8), "bool", True),
    ],
)
def test_a_row_is_the_same_beside_one_that_has_the_default(
    array: np.ndarray, dtype: str, default: Any
) -> None:
    into = column(dtype, default=default)
    alone, beside = (taken(array[:1], None, into), taken(array, np.array([False, True]), into))
    assert beside.faults == alone.faults
    assert beside.faults or beside.values[0] == alone.values[0]
    assert beside.values[1] == default


def test_a_declared_dtype_holds_as_well_as_the_inputs() -> None:
    found = taken(np.array([1, 300, 2]), None, column("float32", "uint8"))
    assert {*found.faults} == {1}
    assert found.values.dtype == np.float32
    assert taken(np.array([1.5]), None, column("float32", "int32")).faults[0].startswith("expected")
    assert {*taken(np.array([1, 300]), None, column("int64", "uint8")).faults} == {1}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_truth_values_that_are_declared_are_one_and_zero(dtype: str) -> None:
    into = column(dtype, "bool", default=True)
    gap = np.array([False, False, True])
    for array in (np.array([True, False, False]), np.array([True, "false", None], object)):
        found = taken(array, gap, into)
        assert found.values.dtype == DTYPE_TABLE[dtype].numpy
        assert (found.values.tolist(), {**found.faults}) == ([1, 0, 1], {})
    numbers = taken(np.array([1, 0]), None, into).faults
    assert numbers == dict.fromkeys((0, 1), "expected true or false, got a number")


def test_plain_columns_are_not_copied() -> None:
    array = np.ones(5, np.float32)
    assert taken(array, None, column("float32")).values is array


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=64),
    st.sampled_from(["1", "x", "1e5", "nan", "-7", ""]),
    st.booleans(),
    st.none(),
)


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.sampled_from(["float32", "float64", "int32"]))
def test_a_row_is_taken_as_if_it_were_alone(values: list[Any], dtype: str) -> None:
    """As JSON lines bring them: columns of one kind, or of several, by what a chunk has."""
    from gpfn.data.json_columns import column_of

    def of(rows: list[Any]) -> Any:
        mask = np.array([value is None for value in rows])
        return taken(column_of(rows), mask if mask.any() else None, column(dtype))

    together = of(values)
    for at, value in enumerate(values):
        alone = of([value])
        assert together.faults.get(at) == alone.faults.get(0)
        if at not in together.faults:
            assert together.values[at : at + 1].tobytes() == alone.values.tobytes()
