"""Arrays to the reply, in the form that the request had.

The row form has a list of values for one output and a list of objects for several, the
column form a value or an object of values. Floats are written with the fewest digits that
their dtype reads back, always with a point or an exponent. Strings are text; those of an
output whose name ends in ``_bytes`` are ``{"b64": …}``. NaN and Infinity are no JSON: they
are bare words with ``nan_words``, else an error that says so.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from gpfn.errors import BackendError, InvalidTensor
from gpfn.json_words import words_for_nulls
from gpfn.tensors.cast import MASKED, cast_to, is_masked, nonfinite_index
from gpfn.tensors.shapes import at
from gpfn.tensors.spec import TensorSpec
from gpfn.v1.envelope import Form

__all__ = ["encode_predictions", "encode_request"]

_Array = npt.NDArray[Any]
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def encode_predictions(
    outputs: Mapping[str, _Array], form: Form, *, nan_words: bool = False
) -> bytes:
    """Return the reply's body for the outputs by name.

    Raises InvalidTensor when the outputs are not of the form that was asked for, or hold
    what JSON has no way to write: bytes that are no text, NaN and infinity; BackendError for
    an array that is no tensor.
    """
    if form == "instances":
        _check_rows(outputs)
    values = {name: _value(name, array) for name, array in outputs.items()}
    text = _text(values, form)
    # orjson writes null for NaN and infinity; strings and names may have that word, too
    if b"null" in text and _check_finite(outputs, nan_words=nan_words):
        text = _text({name: _worded(array) for name, array in values.items()}, form)
    return text


def encode_request(inputs: Mapping[str, _Array]) -> bytes:
    """Return the body of a request for predictions: by rows where all inputs have equally many.

    Raises InvalidTensor for what JSON cannot hold, BackendError for what is no tensor.
    """
    counts = {array.shape[0] if array.ndim else -1 for array in inputs.values()}
    form: Form = "instances" if len(counts) == 1 and -1 not in counts else "inputs"
    _check_finite(inputs, nan_words=False)
    values = {name: _value(name, array) for name, array in inputs.items()}
    return _text(values, form, form)


def _text(values: Mapping[str, object], form: Form, key: str = "") -> bytes:
    """Return the document; ``key`` is its member, the one of a reply in this form when empty."""
    if len(values) == 1:
        document: object = next(iter(values.values()))
    elif form == "inputs":
        document = values
    else:
        document = _row_objects(values)
    key = key or ("predictions" if form == "instances" else "outputs")
    return b'{"%b":%b}' % (key.encode(), orjson.dumps(document, option=_NUMPY))


def _row_objects(values: Mapping[str, Any]) -> list[dict[str, object]]:
    columns = [[*value] for value in values.values()]
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def _check_rows(outputs: Mapping[str, _Array]) -> None:
    """Raise InvalidTensor unless every output has rows, all of them equally many."""
    counts = {name: array.shape[0] if array.ndim else -1 for name, array in outputs.items()}
    for name, count in counts.items():
        if count < 0 or count != next(iter(counts.values())):
            got = "one value" if count < 0 else f"{count} rows"
            told = f"{got}, which makes no rows with the other outputs"
            hint = "send 'inputs' instead of 'instances'"
            raise InvalidTensor(f"{told}; {hint}", field=f"predictions.{name}")


def _value(name: str, array: _Array) -> Any:
    """Return the array as orjson takes it: native, contiguous; strings and scalars as they are."""
    kind = array.dtype.kind
    if is_masked(array):
        raise BackendError(MASKED, field=name)
    if kind in "OSU":
        return _strings(name, array)
    if kind not in "biuf" or array.dtype.itemsize > 8:
        raise BackendError(f"an array of {array.dtype} is no tensor", field=name)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.ndim:
        return array[()]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _strings(name: str, array: _Array) -> object:
    texts = cast_to(array, TensorSpec("string"), path=name)
    if name.endswith("_bytes"):
        items = [{"b64": b64encode(text).decode()} for text in texts.ravel().tolist()]
        return _nested(items, array.shape)
    items = []
    for index, text in enumerate(texts.ravel().tolist()):
        try:
            items.append(text.decode())
        except UnicodeDecodeError:
            place = [int(step) for step in np.unravel_index(index, array.shape)]
            told = "bytes that are no UTF-8 text; an output whose name ends in _bytes is base64"
            hint = "/v2 has binary data"
            raise InvalidTensor(f"{told}, and {hint}", field=at(name, place)) from None
    return _nested(items, array.shape)


def _nested(items: list[Any], shape: tuple[int, ...]) -> object:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape).tolist()


# NaN and Infinity


def _check_finite(outputs: Mapping[str, _Array], *, nan_words: bool) -> bool:
    """Say whether a value is NaN or infinite; raise InvalidTensor for it unless words are asked."""
    for name, array in outputs.items():
        index = nonfinite_index(array) if array.dtype.kind == "f" else None
        if index is not None:
            if nan_words:
                return True
            told = f"the result is {array[index]}, which JSON cannot hold; /v2 has binary data"
            hint = "with --nan-words the server writes it as a bare word"
            raise InvalidTensor(f"{told}, and {hint}", field=at(name, index))
    return False


def _worded(value: Any) -> Any:
    """Return what stands for the values in a text with bare words, a fragment a row."""
    if isinstance(value, np.ndarray):
        return [_fragment(row) for row in value]
    return _fragment(value)


def _fragment(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind != "f":
        return value
    numbers = np.asarray(value)
    words = numbers[~np.isfinite(numbers)].ravel().tolist()
    return orjson.Fragment(words_for_nulls(orjson.dumps(value, option=_NUMPY), words))
