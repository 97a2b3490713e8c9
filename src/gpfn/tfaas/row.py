"""A row of values in JSON, read as TFaaS's server reads it and as fast as it can be.

    {"keys": ["pt", "eta"], "values": [1.5, -0.2], "model": "dnn"}

TFaaS decodes this with Go's ``encoding/json``. So the names of members match in any case,
members that are not known are passed over, ``null`` is an empty list or an empty name and 0
among the values, and a number beyond float32 is an error. Keys may be absent, and fewer than
the values: TFaaS never looks at them. Two members of one name in different spellings are
refused here, for which of them counts is nobody's business to guess.

An extension: ``values`` may be a list of rows of one length, each a list. The answer is then a
list of lists. TFaaS refuses such values, so no old caller sends them.

Callers ask the same model over and over with other numbers. The text before the numbers and
behind them is then the same each time; what it means is remembered, as in `gpfn.oip.repeats`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import orjson

from gpfn import json_exact
from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.shapes import over_limit, shown, what

__all__ = ["FeatureRow", "RowDecoder", "decode_row", "encode_row"]

_Array = np.ndarray[Any, Any]
_NUMBERS = frozenset([int, float])
_NUMBERS_OR_NULL = frozenset([int, float, type(None)])
_VALUES = b'"values":'
_OF_NUMBERS = b"0123456789+-.eE, \t\r\n[]"
_MOST_BYTES = 16 << 10  # of a body: a larger one takes its time whatever stands around the numbers
_MOST = 256
_BEYOND = (OverflowError, struct.error)
"""What packing raises: for a number beyond float32, for a whole one beyond a double."""
_FLOAT32 = np.dtype(np.float32)
_ndarray = np.ndarray


class FeatureRow(NamedTuple):
    """What is asked: float32 ``values`` of shape (rows, n), the keys as they came, the model.

    The model's name may be empty, and there may be any number of keys. ``several`` says that
    the values came as a list of rows, and so are answered.
    """

    keys: tuple[str, ...]
    values: _Array
    model: str
    several: bool = False


_row: Callable[..., FeatureRow] = tuple.__new__


class _Known(NamedTuple):
    """What requests with these texts around their numbers mean, and what packs the numbers."""

    pack: Callable[..., bytes]
    shape: tuple[int, int]
    keys: tuple[str, ...]
    model: str


class RowDecoder:
    """Reads rows as :func:`decode_row` does, and those that repeat an earlier one faster."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[tuple[bytes, bytes], _Known | None] = {}  # None: nothing is gained
        self._met: set[tuple[bytes, bytes]] = set()

    def decode(self, body: bytes | memoryview) -> FeatureRow:
        """Return the row that a body holds; see :func:`decode_row`."""
        if type(body) is not bytes or len(body) > _MOST_BYTES:
            return decode_row(body, self._limits)
        start = body.find(_VALUES) + 9
        end = body.find(b"]", start) + 1
        around = body[:start], body[end:]
        known = self._known.get(around)
        if known is not None:
            text = body[start:end]
            if not text.translate(None, _OF_NUMBERS):  # true is no number, and null is for later
                try:
                    numbers = known.pack(*orjson.loads(text))
                except (orjson.JSONDecodeError, *_BEYOND, TypeError):
                    return decode_row(body, self._limits)  # where it is told what is wrong
                values = _ndarray(known.shape, _FLOAT32, numbers)  # read-only, as bytes are
                return _row(FeatureRow, (known.keys, values, known.model, False))
        row = decode_row(body, self._limits)
        if known is None and around not in self._known:
            self._meet(around, row)
        return row

    def _meet(self, around: tuple[bytes, bytes], row: FeatureRow) -> None:
        """Remember a text that came for the second time: some hold what no other does."""
        if around not in self._met:
            if len(self._met) >= _MOST:
                self._met.clear()
            self._met.add(around)
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[around] = _understood(around, row)


def _understood(around: tuple[bytes, bytes], row: FeatureRow) -> _Known | None:
    """Return what such requests mean, if they mean the same with any list in that place."""
    if row.several or not row.values.size:
        return None
    probes = [_document(around, probe) for probe in (b"[]", b"[[8],7]")]
    lists = [probe.pop("values", None) if type(probe) is dict else None for probe in probes]
    if lists != [[], [[8], 7]] or probes[0] != probes[1]:
        return None
    count = row.values.shape[1]
    return _Known(struct.Struct(f"={count}f").pack, (1, count), row.keys, row.model)


def _document(around: tuple[bytes, bytes], probe: bytes) -> Any:
    try:
        return orjson.loads(around[0] + probe + around[1])
    except orjson.JSONDecodeError:  # the list is part of something else
        return None


def decode_row(body: bytes | memoryview, limits: Limits) -> FeatureRow:
    """Return the row that a body holds.

    Raises InvalidTensor, which names the member and the place, and TooLarge over a limit.
    """
    try:
        document = json_exact.loads_loosely(body)
    except json_exact.UnreadableNumber as error:
        raise InvalidTensor(error.detail, field=json_exact.path_of("", error.steps)) from None
    except orjson.JSONDecodeError as error:
        raise InvalidTensor(f"not JSON: {error}") from None
    members = _members(document)
    model = members.get("model")
    if model is not None and type(model) is not str:
        raise InvalidTensor(f"expected a name, got {what(model)}", field="model")
    values, several = _values(members.get("values"), limits)
    return FeatureRow(_keys(members.get("keys"), limits), values, model or "", several)


def _members(document: object) -> dict[str, object]:
    """Return the three members by their names, in whatever case they are spelled."""
    if type(document) is not dict:
        raise InvalidTensor(f"expected an object with keys, values and model, got {what(document)}")
    found: dict[str, object] = {}
    for name, value in document.items():
        folded = name.casefold()
        if folded in ("keys", "values", "model"):
            if folded in found:
                raise InvalidTensor(f"given twice, once as {shown(name)}", field=folded)
            found[folded] = value
    return found


def _keys(value: object, limits: Limits) -> tuple[str, ...]:
    if value is None:
        return ()
    if type(value) is not list:
        raise InvalidTensor(f"expected a list of names, got {what(value)}", field="keys")
    if len(value) > limits.elements:
        raise over_limit("elements", limits, "keys")
    for index, key in enumerate(value):
        if type(key) is not str and key is not None:
            raise InvalidTensor(f"expected a name, got {what(key)}", field=f"keys[{index}]")
    return tuple([key or "" for key in value])


def _values(value: object, limits: Limits) -> tuple[_Array, bool]:
    """Return the values as rows, and whether they came as rows."""
    if value is None:
        return np.empty((1, 0), np.float32), False
    if type(value) is not list:
        raise InvalidTensor(f"expected a list of numbers, got {what(value)}", field="values")
    if not value or type(value[0]) is not list:
        return _numbers(value, limits, "values").reshape(1, len(value)), False
    width = len(value[0])
    for index, row in enumerate(value):
        if type(row) is not list:
            raise InvalidTensor(f"expected a list, got {what(row)}", field=f"values[{index}]")
        if len(row) != width:
            told = f"expected {width} numbers as in the first row, got {len(row)}"
            raise InvalidTensor(told, field=f"values[{index}]")
    if len(value) * width > limits.elements:
        raise over_limit("elements", limits, "values")
    rows = [_numbers(row, limits, f"values[{index}]") for index, row in enumerate(value)]
    return np.stack(rows), True


def _numbers(items: list[Any], limits: Limits, path: str) -> _Array:
    if len(items) > limits.elements:
        raise over_limit("elements", limits, path)
    kinds = set(map(type, items))
    if not kinds <= _NUMBERS:
        if not kinds <= _NUMBERS_OR_NULL:
            raise _wrong(items, path)
        items = [0 if item is None else item for item in items]
    try:
        return np.frombuffer(struct.pack(f"={len(items)}f", *items), np.float32)
    except _BEYOND:
        raise _wrong(items, path) from None


def _wrong(items: list[Any], path: str) -> InvalidTensor:
    """Return the error for the first item that is no number, or none of float32."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if type(item) not in _NUMBERS_OR_NULL:
            return InvalidTensor(f"expected a number, got {what(item)}", field=where)
        try:
            struct.pack("=f", item or 0)
        except _BEYOND:
            return InvalidTensor(f"{shown(item)} is beyond the range of float32", field=where)
    raise AssertionError("all of them are numbers")  # pragma: no cover


def encode_row(
    values: _Array | list[Any], *, keys: tuple[str, ...] | list[str] = (), model: str = ""
) -> bytes:
    """Return the body that asks a model for a row, or for several when there are lists of it.

    Raises InvalidTensor for values that JSON has not.
    """
    document: dict[str, Any] = {"keys": list(keys), "values": values}
    if model:
        document["model"] = model
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise InvalidTensor("NaN and infinities are not in JSON", field="values")
    return body
