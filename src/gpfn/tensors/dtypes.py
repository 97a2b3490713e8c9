"""What gpfn knows about each dtype, as one table; its other spellings, as another."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

__all__ = ["KINDS", "OPEN_INFERENCE_NAMES", "Kind", "kind_named"]


class Kind(NamedTuple):
    """One dtype.

    ``code`` is the letter for `struct.pack`, which checks every range by itself;
    ``takes`` are the Python types that JSON values of it have; ``noun`` names one
    value in an error. ``low`` and ``high`` bound the whole-number dtypes.
    """

    name: str
    dtype: "np.dtype[np.generic]"
    code: str
    takes: frozenset[type]
    noun: str
    low: int = 0
    high: int = 0
    floating: bool = False
    whole: bool = False


def _whole(name: str, code: str) -> Kind:
    info = np.iinfo(name)
    takes: frozenset[type] = frozenset({int})
    low, high = int(info.min), int(info.max)
    return Kind(name, np.dtype(name), code, takes, "number", low, high, whole=True)


def _floating(name: str, code: str) -> Kind:
    return Kind(name, np.dtype(name), code, frozenset({int, float}), "number", floating=True)


_ALL = (
    Kind("bool", np.dtype(np.bool_), "?", frozenset({bool}), "boolean"),
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
    Kind("string", np.dtype(object), "", frozenset({str}), "string"),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every dtype by the name that specs use."""

OPEN_INFERENCE_NAMES: Mapping[str, str] = MappingProxyType(
    {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "string": "BYTES"}
    | {kind.name: kind.name.upper() for kind in _ALL if kind.whole}
)
"""Each dtype's ``datatype`` in the Open Inference Protocol."""

_SPELLINGS = {name: KINDS[name] for name in KINDS} | {
    spelled: KINDS[name] for name, spelled in OPEN_INFERENCE_NAMES.items()
}


def kind_named(spelled: object) -> Kind | None:
    """Return the dtype that NumPy or the Open Inference Protocol calls so, or None."""
    return _SPELLINGS.get(spelled) if isinstance(spelled, str) else None
