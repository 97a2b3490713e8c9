"""The fast route: taken where it must be, and never accepting what the slow one refuses."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import GpfnError
from gpfn.limits import Limits
from gpfn.tensors import decode_json, nested
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.nested import decode_nested
from tests.tensors.asking import LIMITS, SERIES, spec


def windows(count: int) -> list[Any]:
    values = np.random.default_rng(7).standard_normal((count, 20, 1))
    return list(orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)))


def test_windows_become_one_read_only_array() -> None:
    value = windows(3)
    array = decode_nested(value, SERIES, LIMITS, path="data")
    assert array.dtype == np.float32
    assert np.array_equal(array, np.asarray(value, np.float32))
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (windows(1), "float32", (None, 20, 1)),
        (windows(5), "float32", None),
        ([[1, 2.5], [3, 4]], "float64", (2, 2)),
        ([[[1, 2, 3]], [[4, 5, 6]]], "int8", (None, 1, 3)),
        ([0, 2**64 - 1], "uint64", (2,)),
        ([True, False], "bool", (2,)),
        (["a", "ü", ""], "string", (3,)),
        ([], "float32", (None,)),
        ([[], []], "int32", (2, 0)),
    ],
)
def test_the_slow_route_is_not_taken(
    value: object, dtype: str, shape: tuple[int | None, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_args: object, **_named: object) -> None:
        raise AssertionError("took the slow route")

    slowly = nested._read_by_value(value, spec(dtype, *(shape or ())), LIMITS, path="data")
    monkeypatch.setattr(nested, "_read_by_value", slow)
    array = decode_nested(value, spec(dtype, *(shape or ())), LIMITS, path="data")
    assert array.dtype == slowly.dtype
    assert array.shape == slowly.shape
    assert array.tolist() == slowly.tolist()


def fastest(call: Callable[[], object], rounds: int, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(rounds):
            call()
        best = min(best, time.perf_counter() - start)
    return best / rounds


@pytest.mark.timing
def test_it_is_faster_than_numpy_and_than_walking() -> None:
    value = windows(128)
    ours = fastest(lambda: decode_json(value, [SERIES], LIMITS), 20, 15)
    numpys = fastest(lambda: np.asarray(value, np.float32), 20, 15)
    walked = fastest(lambda: nested._read_by_value(value, SERIES, LIMITS, path="data"), 2, 3)
    assert ours < numpys, f"{ours * 1e6:.0f} against {numpys * 1e6:.0f} us"
    assert ours < walked / 4


def scalars() -> st.SearchStrategy[object]:
    bounds = [value for dtype in DTYPE_TABLE.values() for value in (dtype.low, dtype.high)]
    edges = [edge + step for edge in bounds for step in (-1, 0, 1)]
    floats = [0.5, -0.0, 1.0, 3.5e38, -3.4028235677973366e38, 65519.99, 65520.0, 1e308, 2.0**63]
    return st.one_of(
        st.integers(-3, 300),
        st.sampled_from(edges),
        st.sampled_from([*floats, float("nan"), float("-inf"), 10**400]),
        st.floats(width=32),
        st.booleans(),
        st.none(),
        st.text(max_size=2),
        st.just({"b64": "AP8="}),
        st.just({"a": 1}),
        st.just(["x"]),
    )


@st.composite
def blocks(draw: st.DrawFn) -> object:
    """Return nested lists: regular, with at times a row too many or another value within."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    usual = draw(
        st.sampled_from([st.integers(0, 99), st.floats(-9, 9), st.booleans(), st.text(max_size=3)])
    )

    def block(sizes: list[int]) -> object:
        if draw(st.integers(0, 30)) == 0:
            return draw(scalars())
        if not sizes:
            return draw(usual)
        size = sizes[0] + (draw(st.integers(0, 40)) == 0)
        return [block(sizes[1:]) for _ in range(size)]

    return block(shape)


def outcome(decode: Callable[[], np.ndarray[Any, Any]]) -> tuple[object, ...]:
    try:
        array = decode()
    except GpfnError as error:
        return (type(error).__name__,)
    return array.dtype, array.shape, array.tolist(), array.flags.writeable


@settings(max_examples=1500, deadline=None)
@given(
    blocks(),
    st.sampled_from(sorted(DTYPE_TABLE)),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=3)),
)
def test_both_routes_agree(value: object, dtype: str, shape: list[int | None] | None) -> None:
    wanted = spec(dtype, *shape) if shape else spec(dtype)
    limits = Limits(elements=40, rank=3, string_bytes=60)
    fast = outcome(lambda: nested.decode_nested(value, wanted, limits, path="data"))
    slow = outcome(lambda: nested._read_by_value(value, wanted, limits, path="data"))
    assert fast == slow


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_numbers_round_as_numpy_rounds_them(values: list[float]) -> None:
    for name in ("float16", "float32", "float64"):
        with np.errstate(over="ignore"):
            rounded = np.array(values, np.float64).astype(name)
        if np.isfinite(rounded).all():
            array = decode_nested(values, spec(name), LIMITS, path="data")
            assert array.tobytes() == rounded.tobytes()
        else:
            assert outcome(lambda n=name: decode_nested(values, spec(n), LIMITS, path="d")) == (
                "InvalidTensor",
            )


@pytest.mark.parametrize("row", ["5", {"a": 1}, ["5"], [[1]], [None], [True], 1])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint64"])
def test_what_looks_like_a_row_of_one_number_is_none(row: object, dtype: str) -> None:
    with pytest.raises(GpfnError) as caught:
        decode_nested([[1], row, [3]], spec(dtype), LIMITS, path="data")
    assert (caught.value.field or "").startswith("data[1]")


def test_a_sum_that_overflows_is_no_fault() -> None:
    values = [1.5e308, 1.5e308, -1e308]
    array = decode_nested(values, spec("float64"), LIMITS, path="data")
    assert array.tolist() == values


def test_whole_numbers_beyond_a_floats_precision_round() -> None:
    array = decode_nested([2**24 + 1, 2**53 + 1], spec("float32"), LIMITS, path="data")
    assert array.tolist() == [2.0**24, 2.0**53]
