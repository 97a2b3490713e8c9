"""Reads JSON requests that differ from an earlier one in their numbers only.

A client asks the same model over and over with other numbers. The text before the list of
numbers and the text behind it then say the same each time. What a request with one flat list
means is therefore remembered by these two texts: only the list of a later one is read.

That the list may be exchanged is not guessed: when a request is remembered, it is read once
more with another list in the same place, and has to mean the same but for that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import orjson

from gpfn.limits import Limits
from gpfn.oip.datatypes import DATATYPES
from gpfn.oip.request import InferCall, decode_infer

__all__ = ["InferDecoder"]

_DATA = b'"data":'
_MOST_BYTES = 16 << 10
"""Of a body: reading a larger one is what takes the time, whatever stands around it."""
_MOST = 256
_OF_NUMBERS = b"0123456789+-.eE, \t\r\n[]"
_ndarray = np.ndarray
_call: Callable[..., InferCall] = tuple.__new__


class _Known(NamedTuple):
    """What requests with these texts around their numbers mean, and what packs the numbers."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pack: Callable[..., bytes]
    call: InferCall


class InferDecoder:
    """Reads requests as `decode_infer` does, and those that repeat an earlier one faster."""

    def __init__(self, limits: Limits, *, nan_words: bool = False) -> None:
        self._limits = limits
        self._nan_words = nan_words
        self._known: dict[tuple[bytes, bytes], _Known | None] = {}  # None: nothing is gained
        self._met: set[tuple[bytes, bytes]] = set()

    def decode(self, body: bytes | memoryview, json_size: str | None) -> InferCall:
        """Return the request that a body holds; see `decode_infer`."""
        whole = json_size is None or json_size == str(len(body))  # no numbers behind the JSON
        if whole and type(body) is bytes and len(body) <= _MOST_BYTES:
            start = body.find(_DATA) + 7
            end = body.find(b"]", start) + 1
            around = body[:start], body[end:]
            known = self._known.get(around)
            if known is not None:
                call = self._repeated(known, body[start:end])
                if call is not None:
                    return call
            call = decode_infer(body, json_size, self._limits, nan_words=self._nan_words)
            if known is None and around not in self._known:
                self._meet(around, call)
            return call
        return decode_infer(body, json_size, self._limits, nan_words=self._nan_words)

    def _repeated(self, known: _Known, text: bytes) -> InferCall | None:
        """Return the request with these numbers; None when they are none, or too many."""
        if text.translate(None, _OF_NUMBERS):  # true is no number, and a list no value
            return None
        try:
            numbers = known.pack(*orjson.loads(text))
        except (orjson.JSONDecodeError, struct.error, OverflowError, TypeError):
            return None  # where the whole of it is read, it is told what is wrong
        array = _ndarray(known.shape, known.dtype, numbers)  # read-only, as bytes are
        identity, parameters, _, *rest = known.call
        return _call(InferCall, (identity, parameters, {known.name: array}, *rest))

    def _meet(self, around: tuple[bytes, bytes], call: InferCall) -> None:
        """Remember a request that came for the second time: many have an id of their own."""
        if around not in self._met:
            if len(self._met) >= _MOST:
                self._met.clear()
            self._met.add(around)
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[around] = self._understood(around, call)

    def _understood(self, around: tuple[bytes, bytes], call: InferCall) -> _Known | None:
        """Return what such requests mean, if they mean the same with any list in that place."""
        if len(call.inputs) != 1:
            return None
        ((name, array),) = call.inputs.items()
        dtype = DATATYPES[call.datatypes[name]].dtype
        if not array.size or dtype.numpy != array.dtype or dtype.numpy.kind not in "iuf":
            return None
        documents = [_document(around, probe) for probe in (b"[]", b"[[8],7]")]
        entries = [_data_of(document) for document in documents]
        if entries != [[], [[8], 7]] or documents[0] != documents[1]:
            return None
        packer = struct.Struct(f"={array.size}{dtype.code}")
        return _Known(name, dtype.numpy, array.shape, packer.pack, call)


def _document(around: tuple[bytes, bytes], probe: bytes) -> Any:
    try:
        return orjson.loads(around[0] + probe + around[1])
    except orjson.JSONDecodeError:  # the list is part of something else
        return None


def _data_of(document: Any) -> Any:
    """Take the data of the only input out of a document, and return them."""
    try:
        (entry,) = document["inputs"]
        return entry.pop("data")
    except (KeyError, TypeError, ValueError, AttributeError):  # it is made in another way
        return None
