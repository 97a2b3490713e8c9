"""What gpfn knows about each dtype, as one table; its other spellings, as another."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

__all__ = ["DTYPE_TABLE", "OPEN_INFERENCE_NAMES", "Dtype", "find_dtype"]


class Dtype(NamedTuple):
    """One dtype.

    ``numpy`` is NumPy's dtype (of objects for ``string``), ``code`` the letter for
    `struct.pack`, which checks every range by itself; ``json_types`` are the Python types
    that JSON values of it have; ``noun`` names one value in an error. ``low`` and ``high``
    bound the whole-number dtypes.
    """

    name: str
    numpy: "np.dtype[np.generic]"
    code: str
    json_types: frozenset[type]
    noun: str
    low: int = 0
    high: int = 0
    floating: bool = False
    whole: bool = False


def _whole(name: str, code: str) -> Dtype:
    info = np.iinfo(name)
    json_types: frozenset[type] = frozenset({int})
    low, high = int(info.min), int(info.max)
    return Dtype(name, np.dtype(name), code, json_types, "number", low, high, whole=True)


def _floating(name: str, code: str) -> Dtype:
    return Dtype(name, np.dtype(name), code, frozenset({int, float}), "number", floating=True)


_ALL = (
    Dtype("bool", np.dtype(np.bool_), "?", frozenset({bool}), "boolean"),
    _whole("uint8", "B"),
    _whole("int8", "b"),
    _whole("uint16", "H"),
    _whole("int16", "h"),
    _whole("uint32", "I"),
    _whole("int32", "i"),
    _whole("uint64", "Q"),
    _whole("int64", "q"),
    _floating("float16", "e"),
    _floating("float32", "f"),
    _floating("float64", "d"),
    Dtype("string", np.dtype(object), "", frozenset({str}), "string"),
)

DTYPE_TABLE: Mapping[str, Dtype] = MappingProxyType({dtype.name: dtype for dtype in _ALL})
"""Every dtype by the name that specs use."""

OPEN_INFERENCE_NAMES: Mapping[str, str] = MappingProxyType(
    {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "string": "BYTES"}
    | {dtype.name: dtype.name.upper() for dtype in _ALL if dtype.whole}
)
"""Each dtype's ``datatype`` in the Open Inference Protocol."""

_SPELLINGS = {name: DTYPE_TABLE[name] for name in DTYPE_TABLE} | {
    spelled: DTYPE_TABLE[name] for name, spelled in OPEN_INFERENCE_NAMES.items()
}


def find_dtype(spelled: object) -> Dtype | None:
    """Return the dtype of a name that specs or the Open Inference Protocol use, or None."""
    return _SPELLINGS.get(spelled) if isinstance(spelled, str) else None
