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
from gpfn.http.pending import Pending
from gpfn.models.pipeline.failures import cause_of, in_stage, may_be_asked_again
from gpfn.scope import SCOPE, CallScope

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.pipeline.stage import Stage
    from gpfn.models.signature import Array

__all__ = [
    "CATALOGUE",
    "OpenStage",
    "catalogue_file",
    "open_all",
    "open_target",
]

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
            if scope is None:
                return self._compute(arrays, outputs, limit)
            scope.check()
            if scope.timings is None:
                return self._compute(arrays, outputs, limit)
            return self._timed(scope, arrays, outputs, limit)
        except Exception as error:  # noqa: BLE001 - raised again, with the name
            raise in_stage(error, self.name) from cause_of(error)

    def begin(
        self, arrays: Mapping[str, Array], outputs: Sequence[str], deadline: Deadline, whole: float
    ) -> dict[str, Array] | Pending[dict[str, Array]]:
        """Compute all but the wait for the stage's server, where that can be left to a loop.

        Returns what is given, or what it will be taken from. Raises an error that names the
        stage.
        """
        begin = getattr(self.model, "begin_call", None)
        scope = SCOPE.get()
        timed = scope is not None and scope.timings is not None
        if begin is None or timed or self.stage.max_batch or self.stage.retries:
            return self(arrays, outputs, deadline, whole)
        try:
            if scope is not None:
                scope.check()
            limit = self._limit(deadline, whole)
            found: dict[str, Array] | Pending[dict[str, Array]]
            found = begin(arrays, outputs=outputs, deadline=limit)
        except Exception as error:  # noqa: BLE001 - raised again, with the name
            raise in_stage(error, self.name) from cause_of(error)
        return found.then(self._finished) if isinstance(found, Pending) else found

    def _finished(self, finish: Callable[[], dict[str, Array]]) -> dict[str, Array]:
        try:
            return finish()
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
        parts = []
        for part, rows in _slices(arrays, most):
            parts.append(self._ask(part, outputs, limit))
            _check_part(parts[-1], parts[0], rows)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

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
            if (scope := SCOPE.get()) is not None:
                scope.check()
            pause *= 2


def _open_stage(stage: Stage, opener: Callable[[Stage], Model]) -> OpenStage:
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


def open_all(stages: Sequence[Stage], opener: Callable[[Stage], Model]) -> tuple[OpenStage, ...]:
    """Open the stages, or none of them; raises an error that names the stage."""
    opened: list[OpenStage] = []
    try:
        opened.extend(_open_stage(stage, opener) for stage in stages)
    except BaseException:
        for each in opened:
            if each.owned:
                each.model.close()
        raise
    return tuple(opened)


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
    if stage.settings and backend.kind == "python":
        raise SetupError("name the file alone: a callable in it has none", field="settings")
    return open_model(target, settings=stage.settings)


def catalogue_file(target: str) -> str:
    """Return the file of ``catalogue:NAME``. Raises SetupError when it is not on this machine."""
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.files import local_path

    name = target.removeprefix(CATALOGUE)
    return str(local_path(name, default_catalogue().get(name).model))


def _slices(arrays: Mapping[str, Array], most: int) -> Iterator[tuple[dict[str, Array], int]]:
    """Give slices of the arrays, each with its rows; one without rows goes to each of them."""
    with_rows = {name: len(array) for name, array in arrays.items() if array.ndim}
    rows = max(with_rows.values())
    for name, count in with_rows.items():
        if count != rows:
            told = f"{count} rows, where another input has {rows}; max_batch slices rows"
            raise InvalidTensor(told, field=name)
    for start in range(0, rows, most):
        part = {n: a[start : start + most] if a.ndim else a for n, a in arrays.items()}
        yield part, min(most, rows - start)


def _check_part(part: Mapping[str, Array], first: Mapping[str, Array], rows: int) -> None:
    """Raise ModelFailed unless what a slice gave has its rows, and is like the first one's."""
    if part.keys() != first.keys():
        raise ModelFailed(f"gave {', '.join(part)}, and {', '.join(first)} for other rows")
    for name, array in part.items():
        if not array.ndim or len(array) != rows:
            raise ModelFailed(f"{name} has not a row for each of {rows}; max_batch is not for it")
        if array.dtype != first[name].dtype:
            told = f"{name} is {array.dtype} for some rows and {first[name].dtype} for others"
            raise ModelFailed(told)
