"""The table of dtypes is complete, and its bounds are NumPy's."""

import struct

import numpy as np

from gpfn.tensors import DTYPES
from gpfn.tensors.dtypes import DTYPE_TABLE, OPEN_INFERENCE_NAMES, find_dtype


def test_every_dtype_that_a_spec_may_have_is_known() -> None:
    assert set(DTYPE_TABLE) == DTYPES
    assert set(OPEN_INFERENCE_NAMES) == DTYPES


def test_letters_have_the_size_of_their_dtype() -> None:
    for dtype in DTYPE_TABLE.values():
        if dtype.code:
            assert struct.calcsize(f"={dtype.code}") == dtype.numpy.itemsize
        if dtype.whole:
            info = np.iinfo(dtype.numpy)
            assert (dtype.low, dtype.high) == (info.min, info.max)


def test_both_spellings_are_known_and_no_other() -> None:
    assert find_dtype("FP32") is find_dtype("float32") is DTYPE_TABLE["float32"]
    assert [find_dtype(name) for name in ("f4", "", None, 3, ["FP32"])] == [None] * 5
