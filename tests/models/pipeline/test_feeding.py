"""Which outputs become which inputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import SetupError
from gpfn.models.pipeline.feeding import Feed, feed

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


@pytest.mark.parametrize(
    ("gives", "takes", "expected"),
    [
        (["y"], ["x"], Feed({"x": "y"})),
        (["b", "a"], ["a", "b"], Feed({"a": "a", "b": "b"})),
        (["image", "problems"], ["input"], Feed({"input": "image"}, ("problems",))),
        (["problems", "image"], ["image"], Feed({"image": "image"}, ("problems",))),
        (["p", "q", "r"], ["x", "y"], Feed({"x": "p", "y": "q"}, ("r",))),
        (["p", "q"], [], Feed({"p": "p", "q": "q"})),
    ],
)
def test_by_name_or_else_in_order(gives, takes, expected):
    assert feed(gives, takes) == expected


@pytest.mark.parametrize(
    ("gives", "takes", "missing"),
    [(["a"], ["x", "y"], "x, y is missing"), (["a", "b"], ["a", "c"], "c is missing"),
     ([], ["x"], "gets nothing")],
)  # fmt: skip
def test_what_is_missing_is_named(gives, takes, missing):
    with pytest.raises(SetupError, match=missing):
        feed(gives, takes)


@given(NAMES, NAMES)
def test_every_output_goes_to_one_place(gives, takes):
    try:
        found = feed(gives, takes)
    except SetupError:
        return
    assert sorted([*found.taken.values(), *found.passing]) == sorted(gives)
    assert not takes or [*found.taken] == takes
