"""Nested lists to an array, fast; whatever is not plainly right goes to `walking`.

NumPy's own reading of nested lists is not used: it takes ``"1"`` and ``True`` for
numbers and ``None`` for NaN, and it is slower. Here each level is flattened and checked
by a few calls that loop in C, and `struct.pack` checks every number's range.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.limits import Limits
from gpfn.tensors import walking
from gpfn.tensors.kinds import KINDS, Kind
from gpfn.tensors.places import over_limit
from gpfn.tensors.shapes import allows, check_shape
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_nested", "flatten", "pack"]

_Array = npt.NDArray[np.generic]


def decode_nested(value: object, spec: TensorSpec, limits: Limits, *, path: str) -> _Array:
    """Return the array that nested lists spell: read-only, of the spec's dtype and shape.

    A number takes the nearest value that a floating-point dtype has, as any JSON number
    does; everything else has to be exact. Raises InvalidTensor with the path of what is
    wrong and TooLarge over a limit.
    """
    flattened = flatten(value, limits, path, texts=spec.dtype == "string")
    if flattened is not None and flattened[1]:
        flat, shape = flattened
        wanted = spec.shape
        if wanted is not None and len(wanted) != len(shape):
            check_shape(shape, wanted, path)  # no path into the data tells it better
        if wanted is None or allows(wanted, shape):
            array = pack(flat, KINDS[spec.dtype], limits, shape)
            if array is not None:
                return array
    return walking.decode_nested(value, spec, limits, path=path)


def flatten(
    value: object, limits: Limits, path: str, *, texts: bool = True
) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return the values in row-major order with their shape, or None if ragged.

    Unless the values may be ``texts``, one among them may have been a row of its own:
    `pack` refuses every text then.
    """
    if type(value) is not list:
        return [value], ()
    flat: list[Any] = value
    shape: tuple[int, ...] = (len(flat),)
    while flat and type(flat[0]) is list:
        width = len(flat[0])
        try:
            flat = flat[0] if len(flat) == 1 else _joined(flat, width, texts)
        except (TypeError, ValueError):  # rows that are no lists, or of other lengths
            return None
        shape = (*shape, width)
        if len(shape) > limits.rank:
            raise over_limit("rank", limits, path)
    if len(flat) > limits.elements:
        raise over_limit("elements", limits, path)
    return flat, shape


_LISTS = {list}


def _joined(rows: list[list[Any]], width: int, texts: bool) -> list[Any]:
    """Return the rows one after another; raise ValueError unless all are lists so wide."""
    if width == 1:
        joined = [value for (value,) in rows]  # checks the length and halves the time
        # a text of one character would pass for a row, and an object for its key
        if texts and str in {*map(type, joined)} and {*map(type, rows)} != _LISTS:
            raise ValueError("not lists only")
        return joined
    if {*map(type, rows)} != _LISTS:
        raise ValueError("not lists only")
    if len({*map(len, rows)}) != 1:
        raise ValueError("ragged")
    return list(chain.from_iterable(rows))


def pack(flat: list[Any], kind: Kind, limits: Limits, shape: tuple[int, ...]) -> _Array | None:
    """Return a read-only array of the values, or None if any is not plainly right."""
    if not {*map(type, flat)} <= kind.takes:
        return None
    if kind.name == "string":
        texts = _strings(flat, limits)
        return None if texts is None else texts.reshape(shape)
    try:
        body = _packer(kind.code, len(flat))(*flat)
        if kind.floating:
            total = sum(flat)
            if total - total != 0:  # NaN or infinity is among them, or the sum overflowed
                return None
    except (struct.error, OverflowError):  # out of the dtype's range
        return None
    return np.ndarray(shape, kind.dtype, body)  # read-only, as bytes are


@lru_cache(maxsize=64)
def _packer(code: str, count: int) -> Callable[..., bytes]:
    return struct.Struct(f"={count}{code}").pack


def _strings(flat: list[str], limits: Limits) -> _Array | None:
    try:
        encoded = [text.encode() for text in flat]
    except UnicodeEncodeError:
        return None
    if sum(map(len, encoded)) > limits.string_bytes:
        return None
    array = np.empty(len(encoded), object)
    array[:] = encoded
    array.flags.writeable = False
    return array
