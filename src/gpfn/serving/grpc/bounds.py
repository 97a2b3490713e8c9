"""What a request over gRPC may make of memory, told by its bytes before they are read.

protobuf makes an object of every part of a message, and a part of two bytes may become one of
a hundred. So parts are counted first. Arrays need no such care: their bytes become as many,
or eight times as many at most where they are lists of small numbers.
"""

from __future__ import annotations

import numpy as np

from gpfn.errors import InvalidRequest, TooLarge
from gpfn.limits import Limits
from gpfn.models.protobuf import Field, ProtobufError, fields
from gpfn.tensors.shapes import over_limit

__all__ = ["SMALL_MESSAGE", "check_bounds"]

SMALL_MESSAGE = 64 << 10
"""Messages up to this many bytes need not be looked at: they become a few megabytes at most."""

_PARAMETERS, _INPUTS, _OUTPUTS, _RAW = 4, 5, 6, 7
_CONTENTS = 5
_VARINTS, _BYTES = (2, 3, 4, 5), 8
_MOST_PARAMETERS = 1000


def check_bounds(data: bytes, limits: Limits) -> None:
    """Raise TooLarge for a ``ModelInferRequest`` of more parts than the limits let through.

    Raises InvalidRequest for what is no message at all.
    """
    try:
        _check_request(data, limits)
    except ProtobufError as error:
        raise InvalidRequest(f"not a ModelInferRequest: {error}", field="message") from None


def _check_request(data: bytes, limits: Limits) -> None:
    counts = dict.fromkeys((_PARAMETERS, _INPUTS, _OUTPUTS, _RAW), 0)
    lists = _Lists(limits)
    for field in fields(data):
        if field.number in counts:
            counts[field.number] += 1
            _check_counts(counts, limits)
        if field.number == _INPUTS:
            for part in fields(field.bytes):
                lists.take(part) if part.number == _CONTENTS else lists.beside(part)
        elif field.number != _RAW:
            lists.beside(field)


class _Lists:
    """Counts the values that stand in lists, and the bytes of all that is no value."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._elements = self._strings = self._rest = 0

    def take(self, contents: Field) -> None:
        limits = self._limits
        for values in fields(contents.bytes):
            if values.number == _BYTES:
                self._strings += 4 + len(values.bytes)
                if self._strings > limits.string_bytes:
                    raise over_limit("string_bytes", limits, "inputs")
                continue
            self._add(2)  # how a list begins: all clients send it in one piece
            self._elements += _count(values)
            if self._elements > limits.elements:
                raise over_limit("elements", limits, "inputs")

    def beside(self, part: Field) -> None:
        self._add(2 + len(part.bytes))

    def _add(self, size: int) -> None:
        self._rest += size
        if self._rest > SMALL_MESSAGE:
            told = f"more than {SMALL_MESSAGE} bytes besides the tensors' data"
            raise TooLarge(told, field="message")


def _check_counts(counts: dict[int, int], limits: Limits) -> None:
    for number, name in ((_INPUTS, "inputs"), (_OUTPUTS, "outputs"), (_RAW, "raw_input_contents")):
        if counts[number] > limits.tensors:
            raise over_limit("tensors", limits, name)
    if counts[_PARAMETERS] > _MOST_PARAMETERS:
        raise TooLarge(f"more than {_MOST_PARAMETERS}", field="parameters")


def _count(values: Field) -> int:
    """Return how many numbers a list of them has, at least."""
    if values.integer is not None:
        return 1
    if values.number in _VARINTS:  # the last byte of each is below 128
        return int(np.count_nonzero(np.frombuffer(values.bytes, np.int8) >= 0))
    return len(values.bytes) // 8
