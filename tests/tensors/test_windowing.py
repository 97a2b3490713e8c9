"""Anything with 20·k numbers is read as k windows."""

import numpy as np
import pytest

from gpfn.tensors import decode_json, windows
from tests.tensors.asking import LIMITS, refusal, spec


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
