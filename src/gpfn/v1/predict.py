"""A request for predictions to arrays, by the inputs that the model declares.

Both forms are nested lists in the end, which `gpfn.tensors.nested` reads: ``inputs`` has a
whole array an input, ``instances`` a row of each in turn. A whole number in the place of a
float has to be one that the dtype has: 2^24 + 1 for FP32 is an error, not 2^24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from gpfn.errors import GpfnError, InvalidRequest, InvalidTensor
from gpfn.json_words import has_words
from gpfn.limits import Limits
from gpfn.tensors.nested import decode_nested, flatten
from gpfn.tensors.shapes import at, over_limit, shown, what
from gpfn.tensors.spec import TensorSpec
from gpfn.v1.envelope import (
    Form,
    check_signature,
    form_of,
    parse,
    refuse_twins,
    settled,
)

__all__ = ["PredictRequest", "decode_predict"]

_Array = npt.NDArray[np.generic]


class PredictRequest(NamedTuple):
    """What was asked: the arrays by the inputs' names, and the form, which the reply has too."""

    arrays: dict[str, _Array]
    form: Form


# What a NamedTuple's own constructor does, without the Python function around it.
_request: Callable[..., PredictRequest] = tuple.__new__


def decode_predict(
    body: bytes, inputs: Sequence[TensorSpec], limits: Limits, *, nan_words: bool = False
) -> PredictRequest:
    """Return the arrays of a ``:predict`` body: read-only, of the specs' dtypes and shapes.

    With ``nan_words`` the words NaN, Infinity and -Infinity are numbers of floating-point
    inputs. Raises InvalidRequest or InvalidTensor with the path of what is wrong, TooLarge
    over a limit.
    """
    members = parse(body, nan_words=nan_words)
    form = form_of(members)
    if len(members) > 1:
        check_signature(members)
    words = nan_words and has_words(body)
    if len(members) == len(inputs) == body.count(b":") == 1 and not words:
        array = _plain_lists(body, members[form], inputs[0], limits, form)
        if array is not None:
            return _request(PredictRequest, ({inputs[0].name: array}, form))
    refuse_twins(body, members)
    if not inputs:
        told = "the model declares no inputs, and this JSON tells no dtypes; ask it over /v2"
        raise InvalidRequest(told, field=form)
    reader = _Reader(inputs, limits, exact=words or _may_be_bent(body, inputs))
    value = (settled(members, body) if reader.exact else members)[form]
    arrays = reader.rows(value) if form == "instances" else reader.columns(value)
    _check_together(arrays, limits, form)
    return PredictRequest(arrays, form)


def _plain_lists(
    body: bytes, value: object, spec: TensorSpec, limits: Limits, form: Form
) -> _Array | None:
    """Return the array of a request that has nothing but lists of numbers; None of any other.

    As many points as numbers: each is a float. Of whole numbers the text is asked.
    """
    if type(value) is not list or not value:
        return None
    array = decode_nested(value, spec, limits, path=form)
    whole = spec.dtype in _LONG and body.count(b".") != array.size
    return None if whole and _may_be_bent(body, (spec,)) else array


class _Reader:
    """Reads what may have names, texts, long numbers or words for numbers in it."""

    def __init__(self, inputs: Sequence[TensorSpec], limits: Limits, *, exact: bool) -> None:
        self.inputs = inputs
        self.limits = limits
        self.exact = exact
        self.names = {spec.name for spec in inputs}

    def rows(self, value: object) -> dict[str, _Array]:
        """Return the arrays of ``instances``: values of a lone input, or objects of them all."""
        if type(value) is not list:
            told = f"Expecting 'instances' to be an list/array, got {what(value)}"
            raise InvalidTensor(told)
        if not value:
            raise InvalidTensor("No values in 'instances' array")
        rows: list[Any] = value
        if self._is_named(rows[0]):
            for index, row in enumerate(rows):
                self._check_names(row, f"instances[{index}]")
            return {spec.name: self._column(rows, spec) for spec in self.inputs}
        if len(self.inputs) > 1:
            told = "instances is a plain list, but expecting list of objects with"
            raise InvalidTensor(f"{told} {self._known()}")
        return {self.inputs[0].name: self._array(rows, self.inputs[0], "instances")}

    def columns(self, value: object) -> dict[str, _Array]:
        """Return the arrays of ``inputs``: the one of a lone input, or all in an object."""
        if self._is_named(value):
            columns = cast("dict[str, object]", value)
            self._check_names(columns, "inputs")
            return {
                spec.name: self._array(columns[spec.name], spec, f"inputs.{_shown(spec.name)}")
                for spec in self.inputs
            }
        if len(self.inputs) > 1:
            told = f"expected an object with {self._known()}, got {what(value)}"
            raise InvalidTensor(told, field="inputs")
        return {self.inputs[0].name: self._array(value, self.inputs[0], "inputs")}

    def _is_named(self, value: object) -> bool:
        """Say whether it is an object of inputs, not bytes in base64 for a lone one."""
        return type(value) is dict and (value.keys() != {"b64"} or "b64" in self.names)

    def _check_names(self, value: object, path: str) -> None:
        if type(value) is not dict:
            raise InvalidTensor(f"expected an object, got {what(value)}", field=path)
        if value.keys() == self.names:
            return
        for spec in self.inputs:
            if spec.name not in value:
                raise InvalidTensor(f"Missing named input: {spec.name}", field=path)
        name = next(name for name in value if name not in self.names)
        told = f"unknown input; known: {self._known()}"
        raise InvalidTensor(told, field=f"{path}.{_shown(name)}")

    def _known(self) -> str:
        return ", ".join(spec.name for spec in self.inputs)

    def _column(self, rows: list[dict[str, object]], spec: TensorSpec) -> _Array:
        """Return what the rows have of one input; in an error its name stands behind the row."""
        try:
            return self._array([row[spec.name] for row in rows], spec, "instances")
        except GpfnError as error:
            row, bracket, rest = (error.field or "").partition("]")
            error.field = f"{row}{bracket}.{_shown(spec.name)}{rest}"
            raise

    def _array(self, value: object, spec: TensorSpec, path: str) -> _Array:
        if not self.exact or spec.dtype not in _LONG:
            return decode_nested(value, spec, self.limits, path=path)
        return _exact(value, spec, self.limits, path)


def _shown(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 40 else shown(name)


# numbers


def _exact(value: object, spec: TensorSpec, limits: Limits, path: str) -> _Array:
    """Return a floating-point array of lists that may have long whole numbers or words in them."""
    array = decode_nested(_without_words(value, limits.rank), spec, limits, path=path)
    flattened = flatten(value, limits, path)
    assert flattened is not None, "lists that became an array are not ragged"  # noqa: S101
    flat = flattened[0]
    for index, (sent, kept) in enumerate(zip(flat, array.ravel().tolist(), strict=True)):
        if type(sent) is int and sent != kept:
            told = f"Cannot convert JSON value: {shown(sent)} to {spec.dtype}"
            place = [int(step) for step in np.unravel_index(index, array.shape)]
            raise InvalidTensor(f"{told} without loss of precision", field=at(path, place))
    return _with_words(array, flat)


_CLASSES = bytes([48 if 48 <= byte < 58 else 46 if byte == 46 else 32 for byte in range(256)])
"""Digits become ``0``, the point stays, all else becomes a space."""
_LONG = {"float16": b" 0000", "float32": b" 00000000", "float64": b" 0000000000000000"}
"""The shortest whole numbers that the dtype may lack; a fraction's digits have a point before."""


def _may_be_bent(body: bytes, inputs: Sequence[TensorSpec]) -> bool:
    """Say whether a whole number in the text may be one that a floating-point input lacks."""
    classes = b""
    for spec in inputs:
        if spec.dtype in _LONG:
            classes = classes or body.translate(_CLASSES)
            if _LONG[spec.dtype] in classes:
                return True
    return False


def _without_words(value: object, depth: int) -> object:
    """Return the lists with 0.0 where a number is NaN or infinite."""
    if type(value) is list and depth >= 0:
        return [_without_words(item, depth - 1) for item in value]
    return 0.0 if _is_word(value) else value


def _with_words(array: _Array, flat: list[object]) -> _Array:
    words = {index: cast("float", one) for index, one in enumerate(flat) if _is_word(one)}
    if not words:
        return array
    array = array.copy()
    array.reshape(-1)[[*words]] = np.array([*words.values()], array.dtype)
    array.flags.writeable = False
    return array


def _is_word(value: object) -> bool:
    return type(value) is float and value - value != 0


def _check_together(arrays: Mapping[str, _Array], limits: Limits, path: str) -> None:
    """Hold the limits, which each array keeps to, for all of them together."""
    if sum(array.size for array in arrays.values()) > limits.elements:
        raise over_limit("elements", limits, path)
    texts = [array.ravel().tolist() for array in arrays.values() if array.dtype.kind == "O"]
    if len(texts) > 1 and sum(map(len, chain.from_iterable(texts))) > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)
