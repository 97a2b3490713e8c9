"""One stage of a pipeline, open: its model, and how it is called.

Here are the bounds of a stage: its share of the time, its slices of rows, its retries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed, SetupError
from gpfn.models.pipeline.failures import cause_of, in_stage, may_be_asked_again
from gpfn.scope import SCOPE, CallScope

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.pipeline.stage import Stage
    from gpfn.models.signature import Array

__all__ = ["CATALOGUE", "OpenStage", "catalogue_file", "open_stage", "open_target"]

CATALOGUE = "catalogue:"
"""What a target begins with that is a model of the catalogue."""

_PAUSE = 0.05
"""Seconds before a stage is asked again, doubled each time."""


class OpenStage:
    """A stage and its model; ``owned`` is whether it is closed with the pipeline."""

    __slots__ = ("model", "name", "owned", "stage")

    def __init__(self, stage: Stage, model: Model, *, owned: bool) -> None:
        self.stage = stage
        self.name = stage.name
        self.model = model
        self.owned = owned

    def __call__(
        self, arrays: Mapping[str, Array], outputs: Sequence[str], deadline: Deadline, whole: float
    ) -> dict[str, Array]:
        """Compute; ``whole`` is how many seconds the pipeline had in all.

        Raises an error that names the stage.
        """
        try:
            limit = self._limit(deadline, whole)
            scope = SCOPE.get()
            if scope is None or scope.timings is None:
                return self._compute(arrays, outputs, limit)
            return self._timed(scope, arrays, outputs, limit)
        except Exception as error:  # noqa: BLE001 - raised again, with the name
            raise in_stage(error, self.name) from cause_of(error)

    def _limit(self, deadline: Deadline, whole: float) -> Deadline:
        """Return until when it may take. Raises DeadlineExceeded when that cannot be enough."""
        if deadline is NEVER:
            return deadline
        left = deadline.at - time.monotonic()
        share = self.stage.share
        if share < 1 and whole * share < left:
            left = whole * share
            deadline = Deadline.after(left)
        if left <= self.stage.least:
            told = f"{max(0.0, left):.3f} s are left of {whole:.3f}, before it began"
            needs = f"; it needs {self.stage.least:g}" if self.stage.least else ""
            raise DeadlineExceeded(f"{told}{needs}")
        return deadline

    def _timed(
        self, scope: CallScope, arrays: Mapping[str, Array], outputs: Sequence[str], limit: Deadline
    ) -> dict[str, Array]:
        part = scope.within(self.name)
        token, began = SCOPE.set(part), time.perf_counter()
        try:
            return self._compute(arrays, outputs, limit)
        finally:
            SCOPE.reset(token)
            scope.forget(part.cancel)
            scope.note(self.name, time.perf_counter() - began)

    def _compute(
        self, arrays: Mapping[str, Array], outputs: Sequence[str], limit: Deadline
    ) -> dict[str, Array]:
        most = self.stage.max_batch
        if not most or all(len(array) <= most for array in arrays.values() if array.ndim):
            return self._ask(arrays, outputs, limit)
        return _joined([self._ask(part, outputs, limit) for part in _slices(arrays, most)], most)

    def _ask(
        self, arrays: Mapping[str, Array], outputs: Sequence[str], limit: Deadline
    ) -> dict[str, Array]:
        pause, left = _PAUSE, self.stage.retries
        while True:
            try:
                return self.model(arrays, outputs=outputs, deadline=limit)
            except Exception as error:
                if not left or not may_be_asked_again(error) or limit.remaining() <= pause:
                    raise
            left -= 1
            time.sleep(pause)
            pause *= 2


def open_stage(stage: Stage, opener: Callable[[Stage], Model]) -> OpenStage:
    """Open a stage; raises an error that names it."""
    target = stage.target
    try:
        if isinstance(target, str):
            return OpenStage(stage, opener(stage), owned=True)
        if hasattr(target, "inputs"):
            return OpenStage(stage, target, owned=stage.owned)  # type: ignore[arg-type]
        from gpfn.models.python import PythonModel

        return OpenStage(stage, PythonModel(target), owned=True)
    except Exception as error:  # noqa: BLE001 - raised again, with the name
        raise in_stage(error, stage.name) from cause_of(error)


def open_target(stage: Stage) -> Model:
    """Open what a stage names. Raises as ``open_model`` does."""
    from gpfn.models.open import backend_of, open_model

    target = str(stage.target)
    if target.startswith(CATALOGUE):
        target = catalogue_file(target)
    backend = backend_of(target)
    if stage.config:
        if backend.kind != "graphpipe":
            told = f"only a GraphPipe server is sent one, not {backend.title}"
            raise SetupError(told, field="config")
        from gpfn.models.graphpipe import GraphPipeModel

        return GraphPipeModel(target, config=stage.config)
    return open_model(target, settings=stage.settings)


def catalogue_file(target: str) -> str:
    """Return the file of ``catalogue:NAME``. Raises SetupError when it is not on this machine."""
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.files import local_path

    name = target.removeprefix(CATALOGUE)
    return str(local_path(name, default_catalogue().get(name).model))


def _slices(arrays: Mapping[str, Array], most: int) -> Iterator[dict[str, Array]]:
    counts = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    rows = max(count for count in counts.values() if count is not None)
    for name, count in counts.items():
        if count != rows:
            told = f"{count} rows, where another input has {rows}; max_batch slices rows"
            raise InvalidTensor(told, field=name)
    for start in range(0, rows, most):
        yield {name: array[start : start + most] for name, array in arrays.items()}


def _joined(parts: Sequence[Mapping[str, Array]], most: int) -> dict[str, Array]:
    """Return the rows of slices together; each had ``most``, the last perhaps fewer."""
    for name, array in parts[0].items():
        if not array.ndim or len(array) != most:
            raise ModelFailed(f"{name} has not a row for each of {most}; max_batch is not for it")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
