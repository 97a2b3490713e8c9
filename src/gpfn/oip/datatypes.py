"""The datatypes of the protocol beside those of gpfn, and BF16, which NumPy does not have.

An array of BF16 is one of float32 here: each value of BF16 is one of float32 as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gpfn.errors import InvalidTensor
from gpfn.tensors.dtypes import DTYPE_TABLE, OPEN_INFERENCE_NAMES, Dtype
from gpfn.tensors.shapes import at

__all__ = [
    "DATATYPES",
    "Datatype",
    "narrow_bfloat16",
    "round_bfloat16",
    "widen_bfloat16",
]

_Array = np.ndarray[Any, Any]


class Datatype(NamedTuple):
    """One datatype: its name, the one it has in a model's configuration, its array, its bytes.

    ``wire`` is the NumPy dtype of the bytes and ``size`` how many one value takes; of BYTES
    both are without meaning, and ``size`` is 0.
    """

    name: str
    config: str
    dtype: Dtype
    wire: np.dtype[Any]
    size: int


def _row(name: str, config: str, dtype: str, wire: str = "") -> Datatype:
    found = DTYPE_TABLE[dtype]
    on_wire = np.dtype(wire or found.numpy).newbyteorder("<")
    return Datatype(name, config, found, on_wire, on_wire.itemsize if dtype != "string" else 0)


DATATYPES: Mapping[str, Datatype] = MappingProxyType(
    {
        name: _row(name, "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}", dtype)
        for dtype, name in OPEN_INFERENCE_NAMES.items()
    }
    | {"BF16": _row("BF16", "TYPE_BF16", "float32", "uint16")}
)
"""Every datatype by its name."""


def widen_bfloat16(halves: _Array) -> _Array:
    """Return the float32 values of BF16's bits, which come as uint16; all are exact."""
    wide = halves.ravel().astype(np.uint32) << 16
    return wide.view(np.float32).reshape(halves.shape)


def round_bfloat16(array: _Array) -> _Array:
    """Return the nearest BF16 value of each float32, ties to even, as float32.

    What is beyond BF16's largest value becomes infinite; NaN stays NaN.
    """
    flat = np.ascontiguousarray(array, np.float32).ravel()
    bits = flat.view(np.uint32)
    rounded = bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))
    no_infinity = np.where(bits & np.uint32(0x7F0000), bits, bits | np.uint32(0x400000))
    kept = np.where(np.isnan(flat), no_infinity, rounded)
    return (kept & np.uint32(0xFFFF0000)).view(np.float32).reshape(array.shape)


def narrow_bfloat16(array: _Array, *, path: str) -> _Array:
    """Return BF16's bits of float32 values, as uint16.

    Raises InvalidTensor for a value that BF16 does not have: :func:`round_bfloat16` is for
    who may change it. Of a NaN the bits that do not fit are left out.
    """
    rounded = round_bfloat16(array)
    lost = (rounded != array) & ~np.isnan(array)
    if lost.any():
        index = tuple(int(i) for i in np.argwhere(lost)[0])
        raise InvalidTensor(f"{array[index]} is not exact in BF16", field=at(path, index))
    return (rounded.ravel().view(np.uint32) >> 16).astype(np.uint16).reshape(array.shape)
