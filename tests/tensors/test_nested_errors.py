"""Every fault in nested lists is told by its path; bounds are the dtypes' own."""

import numpy as np
import pytest

from gpfn.errors import TooLarge
from gpfn.limits import Limits
from gpfn.tensors import decode_json, nested
from tests.tensors.asking import LIMITS, SERIES, refusal, spec

NUMBERS: list[object] = [[float(i)] for i in range(20)]


def changed(*path: int, to: object) -> list[object]:
    """Return five windows of 20 numbers with one value changed."""
    data: list[object] = [[list(row) for row in NUMBERS] for _ in range(5)]
    target = data
    for index in path[:-1]:
        target = target[index]  # type: ignore[assignment]
    target[path[-1]] = to
    return data


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (changed(3, 7, to=[1, 2]), "data[3][7]: expected 1 number, got 2"),
        (changed(3, 7, to=[]), "data[3][7]: expected 1 number, got 0"),
        (changed(3, 7, to=1), "data[3][7]: expected a list of 1 number, got 1"),
        (changed(0, to=NUMBERS[:19]), "data[0]: expected 20 lists, got 19"),
        (changed(4, to="ab"), "data[4]: expected a list of 20 lists, got the string 'ab'"),
        (changed(3, 7, 0, to="1"), "data[3][7][0]: expected a number, got the string '1'"),
        (changed(3, 7, 0, to=None), "data[3][7][0]: expected a number, got null"),
        (changed(3, 7, 0, to=True), "data[3][7][0]: expected a number, got true"),
        (changed(3, 7, 0, to=[1]), "data[3][7][0]: expected a number, got a list of 1"),
        (changed(3, 7, 0, to={"a": 1}), "data[3][7][0]: expected a number, got an object"),
        (changed(3, 7, 0, to=1e39), "data[3][7][0]: 1e+39 is too large for float32"),
        (changed(3, 7, 0, to=float("nan")), "data[3][7][0]: expected a finite number, got nan"),
        (changed(3, 7, 0, to=-float("inf")), "data[3][7][0]: expected a finite number, got -inf"),
        ([[NUMBERS[:19]]], "data: expected shape (any, 20, 1), got (1, 1, 19, 1)"),
        (list(range(20)), "data: expected shape (any, 20, 1), got (20,)"),
        ([], "data: expected shape (any, 20, 1), got (0,)"),
        ("1,2,3", "data: expected a list of lists, got the string '1,2,3'"),
        (3.5, "data: expected a list of lists, got 3.5"),
        (None, "data: expected a list of lists, got null"),
    ],
)
def test_a_fault_is_told_by_its_path(value: object, error: str) -> None:
    assert refusal(lambda: decode_json(value, [SERIES], LIMITS)) == error


@pytest.mark.parametrize(
    ("dtype", "value", "error"),
    [
        ("uint8", [1, 256], "data[1]: 256 is out of range for uint8 (0 to 255)"),
        ("uint8", [-1], "data[0]: -1 is out of range for uint8 (0 to 255)"),
        ("int8", [-129], "data[0]: -129 is out of range for int8 (-128 to 127)"),
        ("int32", [1.5], "data[0]: 1.5 is not a whole number (int32)"),
        ("int32", [True], "data[0]: expected a number, got true"),
        ("int64", [2.0**63], "data[0]: 9.223372036854776e+18 is out of range for int64"),
        ("int64", [1, 2.0**53], "data[1]: 9007199254740992.0 may be another number than was sent"),
        ("int64", [-(2.0**53)], "data[0]: -9007199254740992.0 may be another number than was"),
        ("int64", [-(2.0**63)], "data[0]: -9.223372036854776e+18 may be another number than"),
        ("uint64", [[0], [2.0**63]], "data[1][0]: 9.223372036854776e+18 may be another number"),
        ("uint64", [2.0**64], "data[0]: 1.8446744073709552e+19 is out of range for uint64"),
        ("int32", [float("inf")], "data[0]: inf is not a whole number (int32)"),
        ("int32", [10**400], "data[0]: a whole number of 1329 bits is out of range for int32"),
        ("float16", [65520], "data[0]: 65520 is too large for float16"),
        ("float64", [10**400], "data[0]: a whole number of 1329 bits is too large for float64"),
        ("bool", [True, 1], "data[1]: expected a boolean, got 1"),
        ("bool", ["true"], "data[0]: expected a boolean, got the string 'true'"),
        ("string", ["a", 1], """data[1]: expected a string or {"b64": …}, got 1"""),
        ("string", [{"b64": "?"}], "data[0]: not base64: "),
        ("string", ["\ud800"], "data[0]: expected Unicode text, got a lone surrogate"),
        ("string", [{"b64": 1}], """data[0]: expected a string or {"b64": …}, got an object"""),
        ("float32", [[1, 2], [3]], "data[1]: expected 2 numbers, got 1"),
        ("float32", [[], [1]], "data[1]: expected 0 numbers, got 1"),
        ("float32", [1, [2]], "data[1]: expected a number, got a list of 1"),
        ("float32", [[1], 2], "data[1]: expected a list of 1 number, got 2"),
    ],
)
def test_each_dtype_has_its_bounds(dtype: str, value: object, error: str) -> None:
    assert refusal(lambda: decode_json(value, [spec(dtype)], LIMITS)).startswith(error)


def test_a_whole_number_may_be_spelled_as_a_float() -> None:
    array = decode_json([1, 2.0, -0.0], [spec("int16")], LIMITS)["x"]
    assert array.dtype == np.int16
    assert array.tolist() == [1, 2, 0]


def test_strings_are_utf8_or_base64() -> None:
    array = decode_json([["ü", {"b64": "AP8="}]], [spec("string")], LIMITS)["x"]
    assert array.tolist() == [["ü".encode(), b"\x00\xff"]]
    assert array.dtype == object


def test_a_scalar_has_no_axes() -> None:
    array = decode_json(2.5, [spec("float32")], LIMITS)["x"]
    assert array.shape == ()
    assert array == 2.5
    assert decode_json("a", [spec("string")], LIMITS)["x"].tolist() == b"a"


@pytest.mark.parametrize(
    ("value", "limits", "error"),
    [
        ([[1, 2], [3, 4]], Limits(elements=3), "data: more than 3 elements; GPFN_MAX_ELEMENTS"),
        ([1, 2, 3, 4], Limits(elements=3), "data: more than 3 elements"),
        ([[[1]]], Limits(rank=2), "data: more than 2 dimensions; GPFN_MAX_RANK sets this"),
    ],
)
def test_limits_hold(value: object, limits: Limits, error: str) -> None:
    assert refusal(lambda: decode_json(value, [spec("int8")], limits), TooLarge).startswith(error)
    slowly = refusal(
        lambda: nested._read_by_value(value, spec("int8"), limits, path="data"), TooLarge
    )
    assert slowly.startswith(error)


def test_bytes_in_strings_are_limited() -> None:
    limits = Limits(string_bytes=5)
    texts = ["abc", "def"]
    error = "data[1]: more than 5 bytes in strings; GPFN_MAX_STRING_BYTES sets this"
    assert refusal(lambda: decode_json(texts, [spec("string")], limits), TooLarge) == error
    assert decode_json(["abc", "de"], [spec("string")], limits)["x"].size == 2


def test_nesting_is_bounded_before_it_is_read() -> None:
    value: object = 1
    for _ in range(50_000):
        value = [value]
    error = refusal(lambda: decode_json(value, [spec("float32")], LIMITS), TooLarge)
    assert error.startswith("data: more than 16 dimensions")
    while isinstance(value, list):  # taken apart by hand: freeing it whole would recurse
        value = value.pop()
