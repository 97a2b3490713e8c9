"""Shapes that are stated or worked out; the octets tests have the ways they go wrong."""

import pytest

from gpfn.tensors.shapes import allows, filled, shape_from_text
from tests.tensors.asking import LIMITS, spec


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
    assert filled(spec("int8", *shape), count, path="data") == worked_out


def test_a_scalar_and_an_open_rank() -> None:
    assert filled(spec("int8"), 7, path="data") == (7,)
