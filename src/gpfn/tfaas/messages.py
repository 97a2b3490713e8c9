"""A row and its answer as protocol buffers: the messages of ``tfaaspb``, written by hand.

    Row          repeated string key = 1; repeated float value = 2; string model = 3
    Predictions  repeated Class prediction = 1
    Class        string label = 1; float probability = 2

Floats are read packed and one by one, as every reader of protobuf has to; fields that are not
known are passed over, and so is a known one in a form that it cannot have. A probability of 0
is left out of the answer, which is how proto3 writes a 0. The format is that of
protobuf.dev/programming-guides/encoding.

A caller's keys and model are the same in every call. So what stands before the values and
behind them is remembered, and of a later message that has the same there only the values
are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpfn.errors import InvalidRequest, TooLarge
from gpfn.limits import Limits
from gpfn.tensors.shapes import over_limit
from gpfn.tfaas.row import FeatureRow

__all__ = [
    "ClassProbability",
    "PredictionsEncoder",
    "RowMessageDecoder",
    "decode_predictions",
    "decode_row_message",
    "encode_row_message",
]

_Array = np.ndarray[Any, Any]
_Piece = bytes | memoryview
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RUN = 6
"""No wire type of protobuf: floats of field 2, each with its tag, that follow each other."""
_MOST_FIELDS = 1 << 17
"""Of one message. A field takes a microsecond, and only floats are read many at once."""
_FLOATS = re.compile(rb"(?:\x15[\x00-\xff]{4})+")
"""Values that are not packed: tag and four bytes, over and over."""
_MOST_BYTES = 16 << 10
_MOST, _MOST_ALIKE = 256, 8
_FLOAT = np.dtype("<f4")


class ClassProbability(NamedTuple):
    """One output: its label, which may be empty, and its value."""

    label: str
    probability: float


class _Layout(NamedTuple):
    """What stands around the values of a message, and what that says."""

    before: bytes
    behind: bytes
    size: int
    keys: tuple[str, ...]
    model: str


class RowMessageDecoder:
    """Reads messages as :func:`decode_row_message` does, and repeated ones faster."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[int, list[_Layout]] = {}  # by the length of the message

    def decode(self, body: bytes | memoryview) -> FeatureRow:
        """Return the row that a message holds; see :func:`decode_row_message`."""
        if type(body) is not bytes or len(body) > _MOST_BYTES:
            return decode_row_message(body, self._limits)
        for known in self._known.get(len(body), ()):
            if body.startswith(known.before) and body.endswith(known.behind):
                start = len(known.before)  # a piece of its own is aligned
                data = body[start : start + 4 * known.size]
                return FeatureRow(
                    known.keys, np.ndarray((1, known.size), _FLOAT, data), known.model
                )
        row, at = _read_row(body, self._limits)
        if at:
            self._remember(body, row, at)
        return row

    def _remember(self, body: bytes, row: FeatureRow, at: int) -> None:
        """Keep what stands around the values, which are one packed field that begins at ``at``."""
        if len(self._known) >= _MOST:
            self._known.clear()
        alike = self._known.setdefault(len(body), [])
        if len(alike) >= _MOST_ALIKE:
            alike.clear()
        count = row.values.shape[1]
        alike.append(_Layout(body[:at], body[at + 4 * count :], count, row.keys, row.model))


def decode_row_message(body: bytes | memoryview, limits: Limits) -> FeatureRow:
    """Return the row that a ``Row`` holds.

    Raises InvalidRequest for what is none, TooLarge over a limit.
    """
    return _read_row(bytes(body), limits)[0]


def _read_row(body: bytes, limits: Limits) -> tuple[FeatureRow, int]:
    """Return the row, and where its values begin if they are one packed field; else 0."""
    keys: list[str] = []
    pieces: list[_Array] = []
    model, start, total = "", 0, 0
    for number, kind, value, at in _fields(body):
        if kind == _BYTES and number == 1:
            keys.append(_text(value, f"key[{len(keys)}]"))
        elif kind == _BYTES and number == 3:
            model = _text(value, "model")
        elif number == 2 and kind in (_BYTES, _FIXED32, _RUN):
            pieces.append(_floats(value, tagged=kind == _RUN))
            start, total = at if kind == _BYTES else 0, total + len(pieces[-1])
    if total > limits.elements:
        raise over_limit("elements", limits, "value")
    values = np.concatenate(pieces) if len(pieces) > 1 else pieces[0] if pieces else _NOTHING
    row = FeatureRow(tuple(keys), values.reshape(1, total), model)
    return row, start if len(pieces) == 1 and total else 0


_NOTHING = np.empty(0, _FLOAT)


def _floats(value: _Piece, *, tagged: bool) -> _Array:
    if tagged:
        return np.frombuffer(value, np.uint8).reshape(-1, 5)[:, 1:].copy().view(_FLOAT).ravel()
    if len(value) % 4:
        raise InvalidRequest(f"{len(value)} bytes are no whole number of floats", field="value")
    return np.frombuffer(bytes(value), _FLOAT)  # a copy, which is aligned


def _text(value: _Piece, field: str) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("not UTF-8", field=field) from None


def _fields(body: bytes) -> Iterator[tuple[int, int, memoryview, int]]:
    """Give number, wire type, bytes and place of each field.

    Floats of field 2 that follow each other come as one, a run, whose bytes hold the tags.
    """
    view, at, end = memoryview(body), 0, len(body)
    for _ in range(_MOST_FIELDS):
        if at >= end:
            return
        begun = at
        tag, at = _varint(body, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise InvalidRequest(f"field number {number} at byte {begun}", field="message")
        if run := _FLOATS.match(body, begun):
            at = run.end()
            yield 2, _RUN, view[begun:at], begun
            continue
        size, at = _size(body, at, kind)
        if size > end - at:
            told = f"field {number} needs {size} bytes at byte {at} of {end}"
            raise InvalidRequest(told, field="message")
        yield number, kind, view[at : at + size], at
        at += size
    if at < end:
        raise TooLarge(f"more than {_MOST_FIELDS} fields", field="message")


def _size(body: bytes, at: int, kind: int) -> tuple[int, int]:
    """Return how many bytes a field has, and where they begin."""
    if kind == _BYTES:
        return _varint(body, at)
    if kind == _VARINT:
        return _varint(body, at)[1] - at, at
    if kind in (_FIXED64, _FIXED32):
        return (8 if kind == _FIXED64 else 4), at
    raise InvalidRequest(f"wire type {kind} at byte {at}", field="message")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(body[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    told = "cut off" if len(body) - at < 10 else "a number of over 64 bits"
    raise InvalidRequest(f"{told} at byte {min(at + 10, len(body))}", field="message")


def _written(value: int) -> bytes:
    """Return a number as a varint."""
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _written(len(data)) + data


def encode_row_message(
    values: _Array | Sequence[float], *, keys: Sequence[str] = (), model: str = ""
) -> bytes:
    """Return the ``Row`` that asks a model for these values: packed, the model last."""
    pieces = [_field(1, key.encode()) for key in keys]
    floats = np.ascontiguousarray(values, _FLOAT).tobytes()
    if floats:
        pieces.append(_field(2, floats))
    if model:
        pieces.append(_field(3, model.encode()))
    return b"".join(pieces)


class PredictionsEncoder:
    """Writes the answers of one model: its labels are written once, and values put between.

    Outputs beyond the labels have none, which is how TFaaS leaves all of them.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self._labels = [_field(1, label.encode()) if label else b"" for label in labels]
        self._forms: dict[int, tuple[bytes, _Array]] = {}

    def encode(self, values: _Array) -> bytes:
        """Return the ``Predictions`` that these values are, a class for each."""
        floats = np.ascontiguousarray(values, _FLOAT).reshape(-1)
        if not floats.view(np.uint32).all():  # a 0 among them, which is left out; -0 is not
            return self._with_zeros(floats)
        form, places = self._form(len(floats))
        message = np.frombuffer(form, np.uint8).copy()
        message[places] = floats.view(np.uint8)
        return message.tobytes()

    def _form(self, count: int) -> tuple[bytes, _Array]:
        """Return the answer of so many outputs without their values, and where those belong."""
        found = self._forms.get(count)
        if found is None:
            pieces = [_field(1, self._label(at) + b"\x15\0\0\0\0") for at in range(count)]
            ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
            places = (ends[:, None] - np.arange(4, 0, -1)).ravel()
            found = b"".join(pieces), places
            if len(self._forms) >= _MOST_ALIKE:
                self._forms.clear()
            self._forms[count] = found
        return found

    def _label(self, at: int) -> bytes:
        return self._labels[at] if at < len(self._labels) else b""

    def _with_zeros(self, floats: _Array) -> bytes:
        pieces = []
        for at, value in enumerate(floats):
            written = b"\x15" + value.tobytes() if value.view(np.uint32) else b""
            pieces.append(_field(1, self._label(at) + written))
        return b"".join(pieces)


def decode_predictions(body: bytes | memoryview) -> tuple[ClassProbability, ...]:
    """Return the outputs that a ``Predictions`` holds. Raises InvalidRequest, TooLarge."""
    classes: list[ClassProbability] = []
    for number, kind, value, _ in _fields(bytes(body)):
        if number == 1 and kind == _BYTES:
            classes.append(_class(bytes(value), f"prediction[{len(classes)}]"))
    return tuple(classes)


def _class(body: bytes, field: str) -> ClassProbability:
    label, probability = "", 0.0
    for number, kind, value, _ in _fields(body):
        if number == 1 and kind == _BYTES:
            label = _text(value, f"{field}.label")
        elif number == 2 and kind in (_FIXED32, _RUN):
            (probability,) = struct.unpack("<f", value[-4:])
    return ClassProbability(label, probability)
