"""A model asked for many rows: in slices where rows do not influence each other, else one by one.

A slice that fails is halved until the rows that are wrong stand alone; the others are answered.
What is not a row's fault, such as a server that is gone, is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpfn.data.input_column import row_shape
from gpfn.data.seam import Array
from gpfn.errors import (
    BackendTimeout,
    CannotConnect,
    GpfnError,
    ModelFailed,
    Overloaded,
    RefusedByModel,
    SetupError,
)
from gpfn.models.batch_axis import batch_obstacle, computes_here
from gpfn.tensors.dtypes import DTYPE_TABLE

if TYPE_CHECKING:
    from gpfn.models.model import Model

__all__ = ["HOPELESS", "Answers", "Hopeless", "RowAsker", "row_bytes"]

HOPELESS = 100
"""Rows that fail before the first one is answered: then it is the file or the model."""

_SLICE_ROWS = 8192
_SLICE_BYTES = 4 << 20
"""What the inputs of one call have at most, for models that do not slice by themselves."""
_NOT_OF_ROWS = {401, 403, 404, 405, 408, 429, 502, 503, 504}
"""Statuses of a server that would not answer any other row either."""
_NOT_THE_ROWS = (CannotConnect, BackendTimeout, Overloaded, SetupError)


class Hopeless(ModelFailed):
    """The first rows of a file all failed; ``faults`` are those of the chunk, by their numbers."""

    def __init__(self, told: str, faults: dict[int, str]) -> None:
        super().__init__(told)
        self.faults = faults


class Answers(NamedTuple):
    """Outputs for the rows that were answered (None: all), and why others were not."""

    arrays: dict[str, Array]
    rows: Array | None
    faults: dict[int, str]


class RowAsker:
    """An open model, and how it is asked.

    ``outputs`` are those wanted, all when empty. ``largest`` is the most rows of one call that
    the model's owner allows, None when nothing is said.
    """

    def __init__(
        self, model: Model, outputs: Sequence[str] = (), largest: int | None = None
    ) -> None:
        self.model = model
        self._outputs = tuple(outputs)
        self.obstacle = _obstacle(model, outputs, largest)
        self._step = 1 if self.obstacle else min(_slice_rows(model), largest or _SLICE_ROWS << 4)
        self._answered = False
        shapes = {spec.name: (spec.shape, row_shape(spec)) for spec in model.inputs}
        self._bare = {name for name, (whole, row) in shapes.items() if whole and whole == row}
        """Inputs without an axis of rows."""

    def begin(self) -> None:
        """Begin with another file, which may have rows that fail at its begin."""
        self._answered = False

    def ask(self, arrays: Mapping[str, Array]) -> Answers:
        """Return the outputs for all rows of ``arrays``; each has them along its first axis.

        Raises GpfnError when it is not the rows that are wrong, Hopeless when all first ones are.
        """
        count = len(next(iter(arrays.values())))
        parts: list[dict[str, Array]] = []
        faults: dict[int, str] = {}
        for at in range(0, count, self._step):
            end = min(count, at + self._step)
            self._part({name: a[at:end] for name, a in arrays.items()}, at, parts, faults)
        if not parts:
            return Answers({}, np.zeros(0, np.intp), faults)
        joined = parts[0] if len(parts) == 1 else _joined(parts)
        if not faults:
            return Answers(joined, None, faults)
        right = np.ones(count, np.bool_)
        right[[*faults]] = False
        return Answers(joined, np.flatnonzero(right), faults)

    def _part(
        self,
        arrays: Mapping[str, Array],
        at: int,
        parts: list[dict[str, Array]],
        faults: dict[int, str],
    ) -> None:
        """Add the outputs of a slice, and the faults of its rows; it is halved when it fails."""
        count = len(next(iter(arrays.values())))
        try:
            parts.append(self._call(arrays, count))
        except _NOT_THE_ROWS:
            raise
        except Exception as error:
            if isinstance(error, RefusedByModel) and error.code in _NOT_OF_ROWS:
                raise
            if count == 1:
                faults[at] = _told(error)
                if not (self._answered or parts) and len(faults) >= HOPELESS:
                    told = f"the first {HOPELESS} rows all failed; the last one: {_told(error)}"
                    raise Hopeless(told, faults) from None
                return
        else:
            self._answered = True
            return
        half = count // 2
        self._part({name: a[:half] for name, a in arrays.items()}, at, parts, faults)
        self._part({name: a[half:] for name, a in arrays.items()}, at + half, parts, faults)

    def _call(self, arrays: Mapping[str, Array], count: int) -> dict[str, Array]:
        if self._bare:
            arrays = {name: a[0] if name in self._bare else a for name, a in arrays.items()}
        given = self.model(arrays, outputs=self._outputs)
        for name, array in given.items():
            if array.ndim and len(array) == count:
                continue
            if count == 1:
                given[name] = array.reshape(1, *array.shape)
                continue
            told = f"it gave {name} in the shape {list(array.shape)} for {count} rows"
            raise ModelFailed(told)
        return given


def _told(error: Exception) -> str:
    told = str(error) if isinstance(error, GpfnError) else f"{type(error).__name__}: {error}"
    return " ".join(told.split())


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except ValueError:
        shapes = {name: {part[name].shape[1:] for part in parts} for name in parts[0]}
        name = next(name for name, found in shapes.items() if len(found) > 1)
        told = f"{name} has another shape for some rows, so it is no column: {shapes[name]}"
        raise SetupError(told) from None


def _obstacle(model: Model, outputs: Sequence[str], largest: int | None) -> str:
    """Return why rows are asked one by one; nothing when they are asked together."""
    if largest is not None:
        return "" if largest > 1 else "its model.toml allows one row a call"
    if computes_here(model):
        return batch_obstacle(model, outputs)
    for spec in model.inputs:
        if spec.shape is None or not spec.shape or spec.shape[0] is not None:
            return f"{spec.name} does not leave its first size open"
    return ""


def _slice_rows(model: Model) -> int:
    """Return the rows of one call: a model of LiteRT cuts its own slices out of any number."""
    if getattr(model, "backend", "") == "litert":
        return 1 << 30
    return max(1, min(_SLICE_ROWS, _SLICE_BYTES // row_bytes(model)))


def row_bytes(model: Model) -> int:
    """Return about how many bytes a row of a model's inputs and outputs has, at least 1."""
    total = 0
    for spec in (*model.inputs, *model.outputs):
        count = prod(size or 1 for size in row_shape(spec) or ())
        total += count * DTYPE_TABLE[spec.dtype].numpy.itemsize
    return max(1, total)
