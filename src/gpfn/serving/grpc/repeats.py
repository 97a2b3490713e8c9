"""Requests that differ from an earlier one in nothing but their numbers, read in one comparison.

A client mostly asks one model with arrays of one shape, so all bytes before the numbers are the
same, again and again. Where they are, the reading of the first such request holds for the
others. A request with an id or with strings is never the same as another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.oip.binary_values import numbers_of
from gpfn.oip.datatypes import DATATYPES, Datatype
from gpfn.oip.request import InferCall
from gpfn.serving.grpc.bounds import SMALL_MESSAGE, raw_spans

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RepeatedRequests"]

_call: Callable[..., InferCall] = tuple.__new__

_MOST = 256
"""Readings that are kept; all are dropped when there are more."""
_ALIKE = 4
"""Of those that are as long as each other."""
_LONGEST_HEAD = 2048


class _Tensor(NamedTuple):
    start: int
    kind: Datatype
    shape: tuple[int, ...]
    name: str


class _Reading(NamedTuple):
    """What was read once: the bytes that must be the same, where they begin, and the rest."""

    fixed: Sequence[tuple[int, bytes]]
    model: str
    version: str
    call: InferCall
    tensors: Sequence[_Tensor]


class RepeatedRequests:
    """Remembers readings by the length of their messages."""

    def __init__(self) -> None:
        self._by_length: dict[int, list[_Reading]] = {}

    def find(self, data: bytes) -> tuple[str, str, InferCall] | None:
        """Return model, version and request of a message that is like an earlier one, or None.

        Raises InvalidTensor for a BOOL that is neither 0 nor 1.
        """
        for fixed, model, version, call, tensors in self._by_length.get(len(data), ()):
            for start, same in fixed:
                if not data.startswith(same, start):
                    break
            else:
                arrays: dict[str, np.ndarray[Any, Any]] = {
                    name: numbers_of(data, start, kind, shape, name)
                    for start, kind, shape, name in tensors
                }
                _, parameters, _, datatypes, outputs, binary = call
                return (
                    model,
                    version,
                    _call(InferCall, ("", parameters, arrays, datatypes, outputs, binary)),
                )
        return None

    def keep(self, data: bytes, model: str, version: str, call: InferCall) -> None:
        """Remember how a message was read, where others can be like it."""
        if len(data) > SMALL_MESSAGE or call.id or "BYTES" in call.datatypes.values():
            return
        spans = raw_spans(data)
        if len(spans) != len(call.inputs) or not spans or spans[0][0] > _LONGEST_HEAD:
            return
        ends = [0, *[end for _, end in spans]]
        if ends[-1] != len(data):
            return
        fixed = [(end, data[end:start]) for end, (start, _) in zip(ends, spans, strict=False)]
        tensors = [
            _Tensor(start, DATATYPES[call.datatypes[name]], array.shape, name)
            for (name, array), (start, _) in zip(call.inputs.items(), spans, strict=True)
        ]
        if sum(map(len, self._by_length.values())) >= _MOST:
            self._by_length.clear()
        alike = self._by_length.setdefault(len(data), [])
        reading = _Reading(fixed, model, version, call._replace(inputs={}), tensors)
        alike[:] = [reading, *alike[: _ALIKE - 1]]
