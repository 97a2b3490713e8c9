"""What counts as agreement, and what both sides are asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.convert.comparing import Agreement, compare
from gpfn.convert.samples import BATCHES, given_samples, random_samples
from gpfn.errors import InvalidTensor, SetupError
from gpfn.tensors.spec import TensorSpec

NAN, INF = float("nan"), float("inf")


def refusal(ours, theirs, tolerance: float = 1e-5) -> str:
    found = compare("y", [(np.asarray(ours), np.asarray(theirs))])
    return Agreement((found,)).refusal(tolerance)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([1.0, NAN], [1.0, NAN]),
        ([INF, -INF], [INF, -INF]),
        ([1e6], [1e6 + 1]),
        ([[1.0], [2.0]], [1.0, 2.0]),
        ([1, 2], [1, 2]),
        (["a", "b"], [b"a", b"b"]),
        ([True, False], [1, 0]),
        ([1.0, 1e3], [1.001, 1e3]),
        ([1.0, 2.0], [1, 2]),
        ([0.0, 0.0], [0.0, 1e-9]),
        ([1e-9, 2e-9], [1e-9, 2.001e-9]),
    ],
)
def test_these_agree(ours, theirs) -> None:
    assert refusal(ours, theirs) == ""


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ([1.0, NAN], [1.0, 2.0], "differs by inf"),
        ([1.0, 2.0], [1.0, NAN], "differs by inf"),
        ([INF], [-INF], "differs by inf"),
        ([INF], [1.0], "differs by inf"),
        ([0.5], [0.6], "differs by 0.1, over the tolerance of 1e-05"),
        ([1, 2, 3], [1, 2, 4], "1 of 3 values are not equal"),
        (["a"], ["b"], "1 of 1 values are not equal"),
        ([1.0, 2e6], [1, 2_000_001], "1 of 2 values are not equal"),
        ([1, 2], ["1", "2.0"], "1 of 2 values are not equal"),
        ([1e-9, 2e-9], [0.0, 0.0], "differs by"),
        ([1e30, 5.0, 6.0], [1e30, 6.0, 5.0], "differs by"),
        ([[1e30], [5.0], [6.0]], [[1e30], [6.0], [5.0]], "differs by"),
        ([NAN, NAN], [NAN, NAN], "is NaN throughout"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "no output has a value"),
        ([1.0, 2.0], [1.0], "has the shape [1], and the source's [2]"),
    ],
)
def test_these_do_not(ours, theirs, told: str) -> None:
    assert told in refusal(ours, theirs)


def test_a_small_column_beside_a_large_one_counts_by_itself() -> None:
    ours = np.array([[1e6, 0.1], [2e6, 0.2]])
    assert "differs" in refusal(ours, ours + np.array([0, 0.01]))
    assert refusal(ours, ours + np.array([1.0, 0])) == ""


@given(arrays.arrays(np.float32, (4, 2)))
def test_anything_agrees_with_itself(array) -> None:
    array[0] = 1
    assert refusal(array, array.copy(), 0.0) == ""


def test_random_samples_are_the_same_each_time_and_nest() -> None:
    specs = [TensorSpec("float32", (None, 3), "x"), TensorSpec("int64", (None, None), "n")]
    first, again = (random_samples(specs, {}, 7) for _ in range(2))
    assert [len(sample["x"]) for sample in first] == [*BATCHES]
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert np.array_equal(first[0]["x"], first[3]["x"][:1])
    assert first[3]["n"].min() >= 0
    assert random_samples(specs, {}, 8)[3]["x"][0, 0] != first[3]["x"][0, 0]


def test_samples_lie_where_the_framework_says() -> None:
    specs = [TensorSpec("float32", (None, 2), "x"), TensorSpec("string", (None, 1), "s")]
    facts = {"ranges": {"x": [[10, 20], [-5, -4]]}, "values": {"s": ["p", "q"]}, "gaps": True}
    sample = random_samples(specs, facts, 1)[-1]
    assert np.nanmin(sample["x"][:, 0]) >= 10
    assert np.nanmax(sample["x"][:, 1]) <= -4
    assert np.isnan(sample["x"]).any()
    assert {*sample["s"].ravel()} == {"p", "q"}
    tokens = [TensorSpec("int32", (None, 4), "t")]
    found = random_samples(tokens, {"ranges": {"t": [[0, 3]]}}, 1)[-1]["t"]
    assert {*found.ravel().tolist()} == {0, 1, 2}


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_nonsense_of_a_framework_is_passed_over(told) -> None:
    specs = [TensorSpec("float32", (None, 2), "x")]
    assert random_samples(specs, {"ranges": {"x": told}}, 1)[0]["x"].shape == (1, 2)
    assert random_samples(specs, {"ranges": told}, 1)


def test_a_fixed_number_of_rows_is_asked_as_it_is() -> None:
    fixed = [TensorSpec("float32", (3, 2), "x")]
    assert {sample["x"].shape for sample in random_samples(fixed, {}, 1)} == {(3, 2)}
    rows = np.zeros((7, 2), np.float32)
    assert [len(sample["x"]) for sample in given_samples({"x": rows}, fixed)] == [3, 3]
    with pytest.raises(InvalidTensor, match="takes 3 rows at a time, and there are 2"):
        given_samples({"x": rows[:2]}, fixed)


def test_samples_that_cannot_be() -> None:
    with pytest.raises(SetupError, match="shape of x is not known"):
        random_samples([TensorSpec("float32", None, "x")], {}, 1)
    with pytest.raises(SetupError, match="too large"):
        random_samples([TensorSpec("float32", (None, 1 << 30), "x")], {}, 1)
    free = [TensorSpec("float32", (None, 1), "x")]
    with pytest.raises(InvalidTensor, match="as many rows"):
        given_samples({"x": np.zeros((0, 1))}, free)
    assert random_samples([TensorSpec("float32", (None, 0), "x")], {}, 1)[0]["x"].shape == (1, 0)


def test_no_outputs_are_no_agreement() -> None:
    assert Agreement(()).refusal(1.0) == "no output has a value that could be compared"
