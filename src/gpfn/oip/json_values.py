"""A tensor's values as a list in JSON; the one that is written is flat.

What most lists are is read by `gpfn.tensors.nested`; here is what it leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from gpfn.errors import InvalidTensor
from gpfn.json_words import words_for_nulls
from gpfn.limits import Limits
from gpfn.oip.binary_values import DATATYPE_NAMES, prepared
from gpfn.oip.datatypes import Datatype, narrow_bfloat16, round_bfloat16
from gpfn.tensors.nested import decode_nested
from gpfn.tensors.shapes import at, what
from gpfn.tensors.spec import TensorSpec

__all__ = ["json_data", "read_unusual", "rounded"]

_Array = np.ndarray[Any, Any]
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def read_unusual(  # noqa: PLR0917 - the way from here to the message of an error
    flat: list[Any],
    kind: Datatype,
    limits: Limits,
    sizes: tuple[int, ...],
    path: str,
    nan_words: bool,
) -> _Array:
    """Return the flat array of values that are right in an unusual way; raise for what is wrong.

    Those that are right: NaN and infinity where they are allowed, and large numbers whose
    sum is beyond a double. ``sizes`` are those of the lists that ``flat`` was in, for the
    field of the InvalidTensor that is raised.
    """
    dtype = kind.dtype
    for number, value in enumerate(flat):
        if type(value) not in dtype.json_types:
            noun = "whole number" if dtype.whole else dtype.noun
            told = f"expected a {noun} ({kind.name}), got {what(value)}"
            raise InvalidTensor(told, field=_place(path, sizes, number))
    words: dict[int, float] = {}
    if nan_words and dtype.floating:
        words = {number: value for number, value in enumerate(flat) if _is_word(value)}
        flat = [0.0 if number in words else value for number, value in enumerate(flat)]
    try:
        array = decode_nested(flat, TensorSpec(dtype.name, (len(flat),)), limits, path="")
    except InvalidTensor as error:
        number = int((error.field or "[0]")[1:-1])
        raise InvalidTensor(error.detail, field=_place(path, sizes, number)) from None
    if not words:
        return array
    array = array.copy()
    array[list(words)] = list(words.values())
    array.flags.writeable = False
    return array


def _is_word(value: float) -> bool:
    return type(value) is float and value - value != 0


def _place(path: str, sizes: tuple[int, ...], number: int) -> str:
    return at(path, [int(index) for index in np.unravel_index(number, sizes)])


def rounded(array: _Array, sizes: tuple[int, ...], path: str) -> _Array:
    """Return the nearest values that BF16 has; raise InvalidTensor for one beyond all of them."""
    nearest = round_bfloat16(array)
    beyond = (np.isinf(nearest) & ~np.isinf(array)).ravel()
    if beyond.any():
        number = int(np.argmax(beyond))
        told = f"{array.ravel()[number]} is too large for BF16"
        raise InvalidTensor(told, field=_place(path, sizes, number))
    nearest.flags.writeable = False
    return nearest


def json_data(
    array: _Array, datatype: str = "", *, path: str, nan_words: bool = False
) -> tuple[str, bytes]:
    """Return an array's datatype, and its values as a flat list in JSON.

    A float32 is written in as few digits as tell it from its neighbours.

    Raises InvalidTensor for an array that has no datatype, for strings that are no UTF-8, and
    for NaN and infinity unless ``nan_words`` are wanted: binary data hold all of those.
    """
    name = DATATYPE_NAMES.get(array.dtype) if array.__class__ is np.ndarray else None
    if name is None or (datatype and datatype != name):
        name, array = prepared(array, datatype, path)
        if name == "BYTES":
            return name, _texts(array, path)
        if name == "BF16":
            narrow_bfloat16(array, path=path)  # only its check is of use here
    text = orjson.dumps(array if array.ndim == 1 else array.ravel(), None, _NUMPY)
    if b"null" in text:
        text = _with_words(text, array, path, nan_words=nan_words)
    return name, text


def _with_words(text: bytes, array: _Array, path: str, *, nan_words: bool) -> bytes:
    flat = array.ravel()
    beyond = flat[~np.isfinite(flat)].tolist()
    if not nan_words:
        told = f"{beyond[0]} is no number in JSON; binary data (binary_data: true) hold it"
        raise InvalidTensor(told, field=path)
    return words_for_nulls(text, beyond)


def _texts(array: _Array, path: str) -> bytes:
    try:
        return orjson.dumps([text.decode() for text in array.ravel().tolist()])
    except UnicodeDecodeError:
        told = "bytes that are no UTF-8; binary data (binary_data: true) hold them"
        raise InvalidTensor(told, field=path) from None
