"""Requests to one call of the model, and its outputs back to the requests.

What is computed together is only ever rows of a model that has a batch axis. When such a
call fails, each request is computed for itself: the one that is to blame fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from gpfn.deadline import Deadline
from gpfn.errors import ModelFailed
from gpfn.http.pending import Pending
from gpfn.scope import SCOPE, CallScope
from gpfn.serving.engine.inference import Abandoned, Whole
from gpfn.traceparent import PARENT

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.serving.engine.inference import Inference

__all__ = ["Computation"]

_Arrays = Mapping[str, np.ndarray]


class _OtherRows(ModelFailed):
    """The model gave another number of rows than it was given: nobody's rows are certain."""


class Computation:
    """One turn's requests to a model, computed on whichever thread calls it.

    ``most`` is how many rows a call may have, 0 where the model has no batch axis; ``size``
    how many this one is filled up to, because that size is prepared: the last row again.
    """

    __slots__ = ("_model", "_most", "_size", "batch", "due", "pending", "refused", "scope")

    def __init__(self, model: Model, batch: list[Inference], most: int, size: int) -> None:
        self.batch = batch
        self.due = inf
        """When it hangs if it still runs, by time.monotonic()."""
        self.refused: Exception | None = None
        """Why the model did not compute the batch, where each request was computed for itself."""
        self.scope: CallScope | None = None
        """What its requests to other machines share, where there may be any."""
        self.pending: Pending[Any] | None = None
        """What another server is still to answer, when nothing else is left to do."""
        self._model = model
        self._most = most
        self._size = size

    def take_this_thread(self) -> None:
        """Let the requests to other machines of this thread be made in the name of the caller.

        Several requests have no such one.
        """
        batch = self.batch
        PARENT.set(getattr(batch[0].caller, "traceparent", "") if len(batch) == 1 else "")
        SCOPE.set(self.scope)

    def begin_scope(self) -> None:
        """Let what it asks of other machines be ended, and be timed if its caller wants that."""
        caller = self.batch[0].caller
        self.scope = CallScope(caller.timings, hops=caller.hops + 1)

    def end_unless_wanted(self) -> None:
        """End what it asks of other machines when nobody waits for it any more."""
        if self.scope is not None and not any(one.waited_for for one in self.batch):
            self.scope.cancel()

    def __call__(self) -> None:
        """Give each of them its results or its error; never raises."""
        batch = self.batch
        if len(batch) > 1:
            try:
                self._together()
            except _OtherRows as error:
                for inference in batch:
                    inference.error = error
            except Exception as error:  # noqa: BLE001 - a model may be anybody's code
                self.refused = error.with_traceback(None)  # which holds this
                for inference in batch:
                    self._alone(inference)
        else:
            self._alone(batch[0])

    def _alone(self, inference: Inference) -> None:
        if not inference.waited_for:  # any more
            inference.error = Abandoned("the caller has left")
            return
        try:
            if not self._most or inference.key.__class__ is Whole:
                self._whole(inference)
            elif inference.rows > self._most:
                inference.results = self._in_parts(inference)
            else:
                inference.results = self._call(inference.arrays, inference, inference.deadline)
                _check_rows(inference.results, inference.rows)
        except BaseException as error:  # noqa: BLE001 - a model may be anybody's code
            inference.error = error

    def _whole(self, inference: Inference) -> None:
        """Compute a request as it came, or as much of it as takes this thread."""
        model = self._model
        compute = getattr(model, "begin_call", model)
        found = compute(inference.inputs, outputs=inference.outputs, deadline=inference.deadline)
        if isinstance(found, Pending):
            self.pending = found
        else:
            inference.results = found

    def fail(self, error: BaseException | None) -> None:
        """Let all of them have failed, if there is an error."""
        for inference in self.batch if error is not None else ():
            inference.error = error

    def take_answer(self) -> None:
        """Take what was pending, and has come; never raises."""
        (inference,) = self.batch  # what asks others is not computed together
        try:
            if self.pending is not None:
                inference.results = self.pending.finish()
        except BaseException as error:  # noqa: BLE001 - a model may be anybody's code
            inference.error = error

    def _call(self, arrays: list[np.ndarray], asked: Inference, deadline: Deadline) -> _Arrays:
        """Call the model with arrays in its order, which fit; some take them without a look."""
        model = self._model
        fitted: Callable[..., _Arrays] | None = getattr(model, "fitted", None)
        if fitted is not None:
            return fitted(arrays, asked.outputs, deadline)
        named = {spec.name: array for spec, array in zip(model.inputs, arrays, strict=True)}
        return model(named, outputs=asked.outputs, deadline=deadline)

    def _in_parts(self, inference: Inference) -> _Arrays:
        """Compute a request of more rows than one call may have."""
        parts: list[_Arrays] = []
        for start in range(0, inference.rows, self._most):
            inference.deadline.check(f"row {start} of {inference.rows}")
            part = [array[start : start + self._most] for array in inference.arrays]
            given = self._call(part, inference, inference.deadline)
            _check_rows(given, min(self._most, inference.rows - start))
            parts.append(given)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _together(self) -> None:
        batch = self.batch
        rows = sum([inference.rows for inference in batch])
        size = max(rows, self._size) if rows else 0
        stacked = [
            _stacked([one.arrays[index] for one in batch], size - rows)
            for index in range(len(batch[0].arrays))
        ]
        latest = Deadline(max([inference.deadline.at for inference in batch]))
        given = self._call(stacked, batch[0], latest)
        _check_rows(given, size)
        _share(given, batch)


def _stacked(arrays: Sequence[np.ndarray], more: int) -> np.ndarray:
    if more:
        last = next(array[-1:] for array in reversed(arrays) if len(array))
        arrays = [*arrays, np.broadcast_to(last, (more, *last.shape[1:]))]
    return np.concatenate(arrays)


def _share(given: _Arrays, batch: Sequence[Inference]) -> None:
    """Give each request its rows."""
    start = 0
    if len(given) == 1:  # as nearly always
        ((name, array),) = given.items()
        for inference in batch:
            end = start + inference.rows
            inference.results = {name: array[start:end]}
            start = end
        return
    for inference in batch:
        end = start + inference.rows
        inference.results = {name: array[start:end] for name, array in given.items()}
        start = end


def _check_rows(given: _Arrays, rows: int) -> None:
    for name, array in given.items():
        if array.ndim == 0 or len(array) != rows:
            told = f"the model gave {name} in the shape {list(array.shape)} for {rows} rows"
            raise _OtherRows(told)
