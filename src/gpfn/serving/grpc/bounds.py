"""A large request over gRPC, taken apart before protobuf reads it.

protobuf makes an object of every part of a message, and a part of two bytes may become one of
a hundred; so parts are counted first. It also copies all bytes, twice until they are an array;
so the tensors' raw bytes are left out of what it reads, and stay where they are. Lists of
numbers and strings are read value by value, which takes the loop's time: long ones are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpfn.errors import InvalidRequest, TooLarge
from gpfn.limits import Limits
from gpfn.models.protobuf import Field, ProtobufError, fields, varint
from gpfn.tensors.shapes import over_limit

__all__ = ["MOST_LISTED", "SMALL_MESSAGE", "raw_spans", "split_request"]

SMALL_MESSAGE = 64 << 10
"""Messages up to this many bytes need not be looked at: they become a few megabytes at most."""

MOST_LISTED = 1 << 21
"""Numbers in lists of one request: more take over half a second, and have to be sent raw."""
_MOST_TEXTS = 1 << 18
"""Strings in lists of one request, for the same reason."""

_PARAMETERS, _INPUTS, _OUTPUTS, _RAW = 4, 5, 6, 7
_CONTENTS = 5
_VARINTS, _BYTES = (2, 3, 4, 5), 8
_MOST_PARAMETERS = 1000


def split_request(data: bytes, limits: Limits) -> tuple[bytes, list[memoryview]]:
    """Return a ``ModelInferRequest`` without its raw contents, and those as views into it.

    Raises TooLarge for one of more parts than the limits let through, InvalidRequest for what
    is no message at all.
    """
    try:
        return _split(memoryview(data), limits)
    except ProtobufError as error:
        raise InvalidRequest(f"not a ModelInferRequest: {error}", field="message") from None


def raw_spans(data: bytes) -> list[tuple[int, int]]:
    """Return where the raw contents of a ``ModelInferRequest`` begin and end, in their order.

    The message is one that protobuf has read.
    """
    spans = _spans(memoryview(data))
    raw = (_RAW, _DELIMITED)
    try:
        return [(start, end) for number, kind, _, start, end in spans if (number, kind) == raw]
    except ProtobufError:  # a form that protobuf passes over
        return []


def _split(view: memoryview, limits: Limits) -> tuple[bytes, list[memoryview]]:
    counts = dict.fromkeys((_PARAMETERS, _INPUTS, _OUTPUTS, _RAW), 0)
    lists = _Lists(limits)
    rest: list[memoryview] = []
    raw: list[memoryview] = []
    for number, kind, tag, start, end in _spans(view):
        if number in counts:
            counts[number] += 1
            _check_counts(counts, limits)
        if number == _RAW and kind == _DELIMITED:
            raw.append(view[start:end])
            continue
        rest.append(view[tag:end])
        if number == _INPUTS and kind == _DELIMITED:
            for part in fields(view[start:end]):
                lists.take(part) if part.number == _CONTENTS else lists.add(2 + len(part.bytes))
        else:
            lists.add(end - tag)
    return b"".join(rest), raw


def _spans(view: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield each field: its number, how it is encoded, where its tag, its value and it end."""
    at, whole = 0, len(view)
    while at < whole:
        tag = at
        key, at = varint(view, at)
        kind = key & 7
        start = at
        if kind == _VARINT:
            _, at = varint(view, at)
        elif kind == _DELIMITED:
            size, start = varint(view, at)
            at = start + size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ProtobufError(f"wire type {kind} at byte {tag}")
        if at > whole or key < 8:
            raise ProtobufError(f"no whole field at byte {tag} of {whole}")
        yield key >> 3, kind, tag, start, at


_VARINT, _DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}


class _Lists:
    """Counts the values that stand in lists, and the bytes of all that is no value."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._elements = self._strings = self._texts = self._rest = 0

    def take(self, contents: Field) -> None:
        """Count the values of an input's lists."""
        limits = self._limits
        for values in fields(contents.bytes):
            if values.number == _BYTES:
                self._texts += 1
                self._strings += 4 + len(values.bytes)
                if self._strings > limits.string_bytes:
                    raise over_limit("string_bytes", limits, "inputs")
                if self._texts > _MOST_TEXTS:
                    raise _too_long(_MOST_TEXTS, "strings")
                continue
            self.add(2)  # how a list begins: all clients send it in one piece
            self._elements += _count(values)
            if self._elements > limits.elements:
                raise over_limit("elements", limits, "inputs")
            if self._elements > MOST_LISTED:
                raise _too_long(MOST_LISTED, "numbers")

    def add(self, size: int) -> None:
        """Count bytes that are no value."""
        self._rest += size
        if self._rest > SMALL_MESSAGE:
            told = f"more than {SMALL_MESSAGE} bytes besides the tensors' data"
            raise TooLarge(told, field="message")


def _too_long(most: int, noun: str) -> TooLarge:
    return TooLarge(f"lists of more than {most} {noun}: send raw_input_contents", field="inputs")


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
