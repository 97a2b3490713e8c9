"""Arrays of every datatype, for property tests."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from gpfn.oip.datatypes import DATATYPES, round_bfloat16

__all__ = ["NUMBERS", "named_arrays", "same"]

NUMBERS = [kind for kind in DATATYPES.values() if kind.size and kind.name != "BF16"]

_shapes = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def _arrays(draw: st.DrawFn, *, as_json: bool) -> tuple[str, np.ndarray[Any, Any]]:
    """A datatype and an array of it; with ``as_json`` one that JSON can hold."""
    name = draw(st.sampled_from(sorted(DATATYPES)))
    kind = DATATYPES[name]
    shape = draw(_shapes)
    if name == "BYTES":
        texts = st.text(max_size=9).map(str.encode) if as_json else st.binary(max_size=9)
        count = int(np.prod(shape))
        array: np.ndarray[Any, Any] = np.empty(count, object)
        array[:] = draw(st.lists(texts, min_size=count, max_size=count))
        return name, array.reshape(shape)
    elements = None
    if kind.dtype.floating and as_json:
        width = kind.dtype.numpy.itemsize * 8
        elements = st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
        if name == "BF16":
            elements = st.floats(-(2.0**99), 2.0**99, width=32)
    array = draw(st_numpy.arrays(kind.dtype.numpy, shape, elements=elements))
    return name, round_bfloat16(array) if name == "BF16" else array


def named_arrays(*, as_json: bool) -> st.SearchStrategy[dict[str, tuple[str, Any]]]:
    """Datatypes and arrays by name."""
    return st.dictionaries(st.text(max_size=8), _arrays(as_json=as_json), max_size=4)


def same(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> bool:
    """Say whether two arrays are the same to the last bit; a NaN is any NaN."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    if first.dtype == object:
        return bool(first.tolist() == second.tolist())
    if first.dtype.kind == "f":
        both = np.isnan(first) & np.isnan(second)
        first, second = np.where(both, 0, first), np.where(both, 0, second)
    return first.tobytes() == second.tobytes()
