"""Shapes that are stated or worked out, windows, and the words of errors.

test_raw.py has the ways in which a stated shape can be wrong.
"""

import numpy as np
import pytest

from gpfn.tensors import decode_json, windows
from gpfn.tensors.shapes import (
    allows,
    at,
    complete_shape,
    counted,
    shape_from_text,
    shape_text,
    shown,
    what,
)
from tests.tensors.asking import LIMITS, refusal, spec


@pytest.mark.parametrize(
    ("wanted", "shape", "allowed"),
    [
        ((None, 20, 1), (3, 20, 1), True),
        ((None, 20, 1), (0, 20, 1), True),
        ((None, 20, 1), (3, 20), False),
        ((None, 20, 1), (3, 1, 20), False),
        ((), (), True),
        ((), (1,), False),
    ],
)
def test_which_shapes_are_allowed(
    wanted: tuple[int | None, ...], shape: tuple[int, ...], allowed: bool
) -> None:
    assert allows(wanted, shape) is allowed


@pytest.mark.parametrize(
    ("text", "shape"),
    [("", ()), ("[]", ()), ("3", (3,)), ("1,20,1", (1, 20, 1)), ("[2, 0]", (2, 0))],
)
def test_a_shape_from_text(text: str, shape: tuple[int, ...]) -> None:
    assert shape_from_text(text, LIMITS, path="shape") == shape


@pytest.mark.parametrize(
    ("shape", "count", "worked_out"),
    [
        ((None, 20, 1), 40, (2, 20, 1)),
        ((None, 20, 1), 0, (0, 20, 1)),
        ((None, 0), 0, (0, 0)),
        ((2, 3), 6, (2, 3)),
    ],
)
def test_the_unknown_size_is_worked_out(
    shape: tuple[int | None, ...], count: int, worked_out: tuple[int, ...]
) -> None:
    assert complete_shape(spec("int8", *shape), count, path="data") == worked_out


def test_a_scalar_and_an_open_rank() -> None:
    assert complete_shape(spec("int8"), 7, path="data") == (7,)


def test_paths_counts_and_shapes() -> None:
    assert at("data", (3, 7)) == "data[3][7]"
    assert at("data", ()) == "data"
    assert (counted(1, "number"), counted(0, "list")) == ("1 number", "0 lists")
    assert [shape_text(s) for s in ((), (3,), (None, 20, 1))] == ["()", "(3,)", "(any, 20, 1)"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("a\r\nb", r"'a\r\nb'"),
        ("x" * 10**6, "'" + "x" * 38 + "…"),
        (b"\xff", r"b'\xff'"),
    ],
)
def test_a_value_is_shown_short_and_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_huge_whole_number_is_not_spelled_out() -> None:
    assert shown(10**5000) == "a whole number of 16610 bits"


def test_a_json_value_is_told_by_its_type() -> None:
    assert [what(v) for v in ([1, 2], {}, "a", None)] == [
        "a list of 2",
        "an object",
        "the string 'a'",
        "null",
    ]


@pytest.mark.parametrize(
    "shape", [(20,), (1, 20), (3, 20), (1, 60, 1), (3, 20, 1), (60,), (60, 1), (2, 3, 20, 1)]
)
def test_every_shape_of_20k_numbers(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape)
    array = decode_json(values.tolist(), [spec("float32")], LIMITS)["x"]
    read = windows(array, (20, 1))
    assert read.shape == (values.size // 20, 20, 1)
    assert read.ravel().tolist() == values.ravel().tolist()
    assert np.shares_memory(read, array)


@pytest.mark.parametrize(("count", "got"), [(0, "0"), (1, "1"), (19, "19"), (41, "41")])
def test_other_counts_are_refused(count: int, got: str) -> None:
    error = refusal(lambda: windows(np.zeros(count), (20, 1), path="series"))
    assert error == f"series: expected 20 numbers or a multiple of 20, got {got}"
