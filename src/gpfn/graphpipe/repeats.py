"""Decodes messages that differ from an earlier one in their numbers only.

A server, and a client, reads the same message over and over with other numbers in it. What
a message means depends on its length and on the bytes that its reader looked at. A reader
that notes where it looked (:class:`_NotingFlatbuffer`) therefore knows which bytes are
numbers only. A later message that is as long, and has the same bytes everywhere else, means
the same: it needs new views and no new checks.

A message in which bytes of a tensor are also read as something else is not remembered, so
this holds for messages that were made to deceive, too.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from gpfn.graphpipe.messages import InferRequest, InferResponse, MetadataRequest
from gpfn.graphpipe.reader import Flatbuffer, TableKind
from gpfn.graphpipe.tensors import memory
from gpfn.limits import Limits

__all__ = ["Repeats"]

_MOST_SHAPES = 128
_MOST_BYTES = 4096
"""Bytes of a message outside of its numbers: comparing more of them gains nothing."""

_Message = TypeVar("_Message", bound=InferRequest | InferResponse | MetadataRequest)
_Span = tuple[int, int]


class _Shape(NamedTuple):
    """What messages of one length mean when they have the ``same`` bytes."""

    limits: Limits
    same: tuple[tuple[int, int, bytes], ...]
    views: tuple[tuple[tuple[int, ...], "np.dtype[Any]", int], ...]
    rest: tuple[Any, ...]
    make: Callable[..., Any]


class Repeats(Generic[_Message]):
    """Decodes messages with ``read``, and those that repeat an earlier one much faster."""

    def __init__(self, read: Callable[[Flatbuffer], _Message]) -> None:
        self._read = read
        self._shapes: dict[int, _Shape] = {}
        self._met: set[int] = set()

    def __call__(self, body: bytes | bytearray | memoryview, limits: Limits) -> _Message:
        """Decode ``body``, with the result and the errors of ``read``."""
        data = body if type(body) is bytes else memoryview(body).toreadonly().cast("B")
        shape = self._shapes.get(len(data))
        if shape is None or shape.limits != limits:
            return self._check(data, limits)
        for start, end, piece in shape.same:
            if data[start:end] != piece:
                return self._check(data, limits)
        ndarray, whole = np.ndarray, memory(data)
        tensors = [ndarray(sizes, dtype, whole, start) for sizes, dtype, start in shape.views]
        message: _Message = shape.make(tuple(tensors), *shape.rest)
        return message

    def _check(self, data: bytes | memoryview, limits: Limits) -> _Message:
        """Read a message in full; when its length comes again, remember its shape."""
        size = len(data)
        if size not in self._met:
            message = self._read(Flatbuffer(data, limits))
            if len(self._met) >= _MOST_SHAPES:
                self._met.clear()
            self._met.add(size)
            return message
        self._met.discard(size)
        body = _NotingFlatbuffer(data, limits)
        message = self._read(body)
        shape = None if isinstance(message, MetadataRequest) else body.shape(message)
        if shape is not None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            self._shapes[size] = shape
        return message


class _NotingFlatbuffer(Flatbuffer):
    """A flatbuffer that notes which bytes were looked at, and which are numbers."""

    __slots__ = ("_looked_at", "_numbers")

    def __init__(self, data: bytes | memoryview, limits: Limits) -> None:
        super().__init__(data, limits)
        self._looked_at: list[_Span] = []
        self._numbers: list[_Span] = []

    def table(self, position: int, kind: TableKind, field: str = "") -> tuple[int, tuple[int, ...]]:
        at, layout = super().table(position, kind, field)
        vtable = at - int.from_bytes(self.bytes[at : at + 4], "little", signed=True)
        self._looked_at += (
            (position, position + 4),
            (at, at + layout[0]),
            (vtable, vtable + kind.fields.size),
        )
        return at, layout

    def vector(self, position: int, width: int, field: str) -> _Span:
        start, count = super().vector(position, width, field)
        self._looked_at += (position, position + 4), (start - 4, start + count * width)
        return start, count

    def numbers(self, position: int, field: str) -> _Span:
        start, length = super().vector(position, 1, field)
        self._looked_at += (position, position + 4), (start - 4, start)
        self._numbers.append((start, start + length))
        return start, length

    def shape(self, message: InferRequest | InferResponse) -> _Shape | None:
        """Return what to compare with the next message; None where a repeat cannot be proved."""
        same = self._same()
        if (
            sum(end - start for start, end in same) > _MOST_BYTES
            or any(array.dtype == object for array in message.tensors)
            or any(a < d and c < b for a, b in self._looked_at for c, d in self._numbers)
        ):
            return None
        starts = iter([start for start, end in self._numbers if end > start])
        return _Shape(
            limits=self.limits,
            same=tuple((start, end, bytes(self.bytes[start:end])) for start, end in same),
            views=tuple(
                (array.shape, array.dtype, next(starts) if array.size else 0)
                for array in message.tensors
            ),
            rest=message[1:],
            make=type(message),
        )

    def _same(self) -> list[_Span]:
        """Return the spans between the numbers."""
        spans, at = [], 0
        for start, end in sorted(self._numbers):
            if start > at:
                spans.append((at, start))
            at = max(at, end)
        if at < self.size:
            spans.append((at, self.size))
        return spans
