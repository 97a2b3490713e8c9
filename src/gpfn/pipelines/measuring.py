"""What calling costs: the placements of a pipeline beside direct calls to each of its stages.

One thread asks, over one connection to each server. The ways take turns, a slice of the time
each: what else the machine does meets all of them.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BrokenReply
from gpfn.models.pipeline.executor import Pipeline
from gpfn.models.pipeline.opened import open_target
from gpfn.pipelines.placement import Placement

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.pipeline.stage import Stage

__all__ = ["Times", "measure_ways", "open_entry", "same_answers", "stage_calls"]

_Arrays = Mapping[str, np.ndarray[Any, Any]]
_Call = Callable[[], object]

_ROUNDS = 8
_WARM_CALLS = 20
_CLOSE = 1e-5


class Times(NamedTuple):
    """The seconds of each call, ascending."""

    seconds: array[float]

    def percentile(self, part: int) -> float:
        """Return the milliseconds that so many percent of the calls did not exceed."""
        return self.seconds[math.ceil(part / 100 * len(self.seconds)) - 1] * 1e3

    @property
    def rate(self) -> float:
        """Calls a second, one after the other."""
        return len(self.seconds) / sum(self.seconds)


class _Remembering:
    """A stage's model that keeps what it was called with last."""

    waits = True

    def __init__(self, model: Model) -> None:
        self._model = model
        self.called: tuple[_Arrays, tuple[str, ...]] = {}, ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(
        self, inputs: _Arrays, *, outputs: Sequence[str] = (), deadline: Deadline = NEVER
    ) -> dict[str, np.ndarray[Any, Any]]:
        self.called = inputs, tuple(outputs)
        return self._model(inputs, outputs=outputs, deadline=deadline)

    def again(self) -> object:
        """Call it as it was called last."""
        inputs, outputs = self.called
        return self._model(inputs, outputs=outputs)


def open_entry(
    placement: Placement, name: str, opener: Callable[[Stage], Model] = open_target
) -> Pipeline:
    """Return the pipeline that the caller of a placement runs."""
    return Pipeline(placement.entry, outputs=placement.outputs, name=name, opener=opener)


def stage_calls(placement: Placement, name: str, inputs: _Arrays) -> list[_Call]:
    """Return a direct call for each stage that the caller calls, with what it is given then."""
    found: list[_Remembering] = []

    def remember(stage: Stage) -> Model:
        found.append(_Remembering(open_target(stage)))
        return found[-1]

    open_entry(placement, name, remember)(inputs)
    return [each.again for each in found]


def measure_ways(ways: Mapping[str, _Call], seconds: float) -> dict[str, Times]:
    """Call each way again and again, for so many seconds each in all."""
    found = {name: array("d") for name in ways}
    for call in ways.values():
        for _ in range(_WARM_CALLS):
            call()
    for _ in range(_ROUNDS):
        for name, call in ways.items():
            _measure(call, seconds / _ROUNDS, found[name])
    return {name: Times(array("d", sorted(times))) for name, times in found.items()}


def _measure(call: _Call, seconds: float, times: array[float]) -> None:
    clock = time.perf_counter
    now = clock()
    until = now + seconds
    while now < until:
        began = now
        call()
        now = clock()
        times.append(now - began)


def same_answers(answers: Mapping[str, _Arrays]) -> None:
    """Raise BrokenReply unless all ways have answered the same."""
    [(first, expected), *others] = answers.items()
    for name, found in others:
        if len(found) != len(expected) or not all(map(_equal, expected.values(), found.values())):
            raise BrokenReply(f"{name} and {first} do not answer the same")


def _equal(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE, equal_nan=True))
    return bool(np.array_equal(one, other))
