"""The table of dtypes is complete, and its bounds are NumPy's."""

import struct

import numpy as np

from gpfn.tensors import DTYPES
from gpfn.tensors.dtypes import KINDS, OPEN_INFERENCE_NAMES, kind_named


def test_every_dtype_that_a_spec_may_have_is_known() -> None:
    assert set(KINDS) == DTYPES
    assert set(OPEN_INFERENCE_NAMES) == DTYPES


def test_letters_have_the_size_of_their_dtype() -> None:
    for kind in KINDS.values():
        if kind.code:
            assert struct.calcsize(f"={kind.code}") == kind.dtype.itemsize
        if kind.whole:
            info = np.iinfo(kind.dtype)
            assert (kind.low, kind.high) == (info.min, info.max)


def test_both_spellings_are_known_and_no_other() -> None:
    assert kind_named("FP32") is kind_named("float32") is KINDS["float32"]
    assert [kind_named(name) for name in ("f4", "", None, 3, ["FP32"])] == [None] * 5
