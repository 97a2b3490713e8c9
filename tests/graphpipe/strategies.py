"""Messages of every kind, for property tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataResponse,
    Type,
)

__all__ = [
    "NUMBERS",
    "arrays",
    "infer_requests",
    "infer_responses",
    "metadata_responses",
    "same_arrays",
    "string_arrays",
]

NUMBERS = [kind.dtype for kind in Type if kind not in (Type.NULL, Type.STRING)]

_shapes = st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
_texts = st.text(max_size=12)
_long = st.integers(-(2**63), 2**63 - 1)


@st.composite
def string_arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Arrays of any bytes."""
    shape = draw(_shapes)
    array = np.empty(int(np.prod(shape)), object)
    for index in range(array.size):
        array[index] = draw(st.binary(max_size=9))
    return array.reshape(shape)


def _number_arrays() -> st.SearchStrategy[np.ndarray[Any, Any]]:
    dtypes = st.sampled_from([np.dtype(name) for name in NUMBERS])
    return dtypes.flatmap(lambda dtype: st_numpy.arrays(dtype, _shapes))


def arrays() -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Arrays of all twelve types."""
    return _number_arrays() | string_arrays()


@st.composite
def infer_requests(draw: st.DrawFn) -> InferRequest:
    """Requests with none to three tensors, with names or without."""
    tensors = tuple(draw(st.lists(arrays(), max_size=3)))
    count = len(tensors)
    names = draw(st.just(()) | st.tuples(*[_texts] * count))
    return InferRequest(tensors, names, tuple(draw(st.lists(_texts, max_size=3))), draw(_texts))


def infer_responses() -> st.SearchStrategy[InferResponse]:
    """Replies with tensors, with errors or with both."""
    errors = st.builds(Error, code=_long, message=_texts)
    return st.builds(
        InferResponse,
        tensors=st.lists(arrays(), max_size=3).map(tuple),
        errors=st.lists(errors, max_size=3).map(tuple),
    )


def metadata_responses() -> st.SearchStrategy[MetadataResponse]:
    """Descriptions of models with unknown dimensions among the shapes."""
    entry = st.builds(
        IOMetadata,
        name=_texts,
        description=_texts,
        shape=st.lists(st.just(-1) | st.integers(0, 2**63 - 1), max_size=5).map(tuple),
        type=st.sampled_from(Type),
    )
    entries = st.lists(entry, max_size=3).map(tuple)
    return st.builds(MetadataResponse, _texts, _texts, _texts, _texts, entries, entries)


def same_arrays(
    left: Sequence[np.ndarray[Any, Any]], right: Sequence[np.ndarray[Any, Any]]
) -> bool:
    """Say whether two messages have the same tensors, to the bit (NaN included)."""
    return len(left) == len(right) and all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and (a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes())
        for a, b in zip(left, right, strict=True)
    )
