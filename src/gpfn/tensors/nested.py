"""Nested lists to an array: in few steps where all is right, else value by value.

The first way flattens and checks each level with calls that loop in C, and `struct.pack`
checks every number's range. It has no words for what it refuses: then the second way
reads one value after another, which is slower, and finds the index of what is wrong. It
also reads whole numbers that came as ``2.0`` and strings in base64. What both accept
gives the same array.

NumPy's own reading of nested lists is not used: it takes ``"1"`` and ``True`` for
numbers and ``None`` for NaN, and it is slower.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.json_exact import decode_base64
from gpfn.limits import Limits
from gpfn.tensors.dtypes import DTYPE_TABLE, Dtype
from gpfn.tensors.shapes import at, check_rows, check_shape, counted, over_limit, what
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_nested", "flatten", "pack"]

_Array = npt.NDArray[np.generic]
_ndarray = np.ndarray


def decode_nested(value: object, spec: TensorSpec, limits: Limits, *, path: str) -> _Array:
    """Return the array that nested lists spell: read-only, of the spec's dtype and shape.

    A number takes the nearest value that a floating-point dtype has, as any JSON number
    does; everything else has to be exact. Raises InvalidTensor with the path of what is
    wrong and TooLarge over a limit.
    """
    dtype = DTYPE_TABLE[spec.dtype]
    flattened = flatten(value, limits, path, texts=not dtype.code)
    if flattened is not None and flattened[1]:
        flat, shape = flattened
        wanted = spec.shape
        if wanted is not None and len(wanted) != len(shape):
            check_shape(shape, wanted, path)  # no path into the data tells it better
        for want, size in zip(wanted or shape, shape):  # noqa: B905 - of one length
            if want != size and want is not None:
                break
        else:
            array = pack(flat, dtype, limits, shape)
            if array is not None:
                return array
    return _read_by_value(value, spec, limits, path=path)


def flatten(
    value: object, limits: Limits, path: str, *, texts: bool = True
) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return the values in row-major order with their shape, or None if ragged.

    With ``texts`` false, a text of one character may stand for a row of one value: it is
    among the values then, and `pack` refuses it.
    """
    if type(value) is not list:
        return [value], ()
    flat: list[Any] = value
    sizes = [len(flat)]
    while flat and type(flat[0]) is list:
        width = len(flat[0])
        try:
            if len(flat) == 1:
                flat = flat[0]
            elif width == 1 and not texts:
                flat = [one for (one,) in flat]  # checks the length and halves the time
            else:
                flat = _joined(flat)
        except (TypeError, ValueError):  # rows that are no lists, or of other lengths
            return None
        sizes.append(width)
    if len(sizes) > limits.rank:
        raise over_limit("rank", limits, path)
    if len(flat) > limits.elements:
        raise over_limit("elements", limits, path)
    if not flat:
        check_rows(sizes, path)
    return flat, tuple(sizes)


_LISTS = {list}


def _joined(rows: list[list[Any]]) -> list[Any]:
    """Return the rows one after another; raise ValueError unless all are lists of one length."""
    if {*map(type, rows)} != _LISTS:
        raise ValueError("not lists only")
    if len({*map(len, rows)}) != 1:
        raise ValueError("ragged")
    return list(chain.from_iterable(rows))


def pack(flat: list[Any], dtype: Dtype, limits: Limits, shape: tuple[int, ...]) -> _Array | None:
    """Return a read-only array of the values, or None if one of them is not right as it is."""
    types = [*map(type, flat)]
    # Counting compares identities first, which takes half the time of making a set.
    all_floats = dtype.floating and types.count(float) == len(types)
    if not (all_floats or dtype.json_types.issuperset(types)):
        return None
    if dtype.name == "string":
        texts = _strings(flat, limits)
        return None if texts is None else texts.reshape(shape)
    try:
        body = _packer(dtype.code, len(flat))(*flat)
        if dtype.floating:
            total = sum(flat)
            if total - total != 0:  # NaN or infinity is among them, or the sum overflowed
                return None
    except (struct.error, OverflowError):  # out of the dtype's range
        return None
    return _ndarray(shape, dtype.numpy, body)  # read-only, as bytes are


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


def _read_by_value(value: object, spec: TensorSpec, limits: Limits, *, path: str) -> _Array:
    """Return what `decode_nested` returns, or raise what it raises."""
    shape = spec.shape if spec.shape is not None else (None,) * _depth(value, limits, path)
    reader = _ValueReader(DTYPE_TABLE[spec.dtype], list(shape), limits, path)
    reader.read(value, ())
    return reader.array()


def _depth(value: object, limits: Limits, path: str) -> int:
    """Return how deep the first elements are nested: the rank, if all is well."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        if depth > limits.rank:
            raise over_limit("rank", limits, path)
        if not value:
            break
        value = value[0]
    return depth


class _ValueReader:
    """Reads nested lists value by value; an unknown size is that of the first list there."""

    def __init__(self, dtype: Dtype, sizes: list[int | None], limits: Limits, path: str) -> None:
        self.dtype = dtype
        self.sizes = sizes
        self.limits = limits
        self.path = path
        self.flat: list[object] = []
        self.string_bytes = 0

    def read(self, value: object, index: tuple[int, ...]) -> None:
        """Add the values in ``value``, which stands at ``index``, in row-major order."""
        axis = len(index)
        if axis == len(self.sizes):
            self.flat.append(self._leaf(value, index))
            return
        rows = self._list(value, index)
        if len(self.flat) + len(rows) > self.limits.elements:
            raise over_limit("elements", self.limits, self.path)
        for number, row in enumerate(rows):
            self.read(row, (*index, number))

    def array(self) -> _Array:
        array: npt.NDArray[Any] = np.empty(len(self.flat), self.dtype.numpy)
        array[:] = self.flat
        array.flags.writeable = False
        return array.reshape([size or 0 for size in self.sizes])

    def _list(self, value: object, index: tuple[int, ...]) -> list[object]:
        axis = len(index)
        noun = self.dtype.noun if axis == len(self.sizes) - 1 else "list"
        size = self.sizes[axis]
        if type(value) is not list:
            wanted = f"{noun}s" if size is None else counted(size, noun)
            raise self._wrong(f"expected a list of {wanted}, got {what(value)}", index)
        rows = cast("list[object]", value)
        if size is None:
            self.sizes[axis] = len(rows)
        elif size != len(rows):
            raise self._wrong(f"expected {counted(size, noun)}, got {len(rows)}", index)
        if not rows and axis < len(self.sizes) - 1:
            raise self._wrong("expected a list of lists, got an empty list", index)
        return rows

    def _leaf(self, value: object, index: tuple[int, ...]) -> object:
        dtype = self.dtype
        if dtype.name == "string":
            return self._string(value, index)
        if type(value) not in dtype.json_types and not (dtype.whole and type(value) is float):
            raise self._wrong(f"expected a {dtype.noun}, got {what(value)}", index)
        try:
            return _CHECKS[dtype.numpy.kind](cast("float", value), dtype)
        except ValueError as error:
            raise self._wrong(str(error), index) from None

    def _string(self, value: object, index: tuple[int, ...]) -> bytes:
        encoded = value.get("b64") if isinstance(value, dict) else None
        if isinstance(encoded, str) and len(encoded) * 3 // 4 - 2 > self.limits.string_bytes:
            raise over_limit("string_bytes", self.limits, at(self.path, index))
        try:
            text = _bytes_of(value)
        except ValueError as error:
            raise self._wrong(str(error), index) from None
        self.string_bytes += len(text)
        if self.string_bytes > self.limits.string_bytes:
            raise over_limit("string_bytes", self.limits, at(self.path, index))
        return text

    def _wrong(self, detail: str, index: tuple[int, ...]) -> InvalidTensor:
        return InvalidTensor(detail, field=at(self.path, index))


def _bytes_of(value: object) -> bytes:
    """Return a string's bytes: UTF-8 of a JSON string, or what ``{"b64": …}`` holds."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"expected Unicode text, got a lone surrogate ({error})") from None
    if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        try:
            return decode_base64(value["b64"])
        except ValueError as error:
            raise ValueError(f"not base64: {error}") from None
    raise ValueError(f'expected a string or {{"b64": …}}, got {what(value)}')


def _boolean(value: float, _dtype: Dtype) -> object:
    return value


def _whole(value: float, dtype: Dtype) -> int:
    if isinstance(value, float) and not value.is_integer():  # infinity is none either
        raise ValueError(f"{value!r} is not a whole number ({dtype.name})")
    number = int(value)
    if not dtype.low <= number <= dtype.high:
        bounds = f"{dtype.name} ({dtype.low} to {dtype.high})"
        raise ValueError(f"{what(value)} is out of range for {bounds}")
    if isinstance(value, float) and abs(value) >= _EXACT:
        detail = "may be another number than was sent; from 2**53 on leave out point and exponent"
        raise ValueError(f"{value!r} {detail} ({dtype.name})")
    return number


def _floating(value: float, dtype: Dtype) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    try:
        number = float(value)
        fits = abs(number) < _BOUNDS[dtype.name]
    except OverflowError:
        fits = False
    if not fits:
        raise ValueError(f"{what(value)} is too large for {dtype.name}")
    return number


_BOUNDS = {
    # Half a step above the largest value: what lies below still rounds to that value.
    "float16": 65520.0,
    "float32": (2.0 - 2.0**-24) * 2.0**127,
    "float64": math.inf,
}

_EXACT = 2.0**53  # from here on a double stands for several whole numbers
_CHECKS: dict[str, Callable[[float, Dtype], object]] = {
    "b": _boolean,
    "u": _whole,
    "i": _whole,
    "f": _floating,
}
