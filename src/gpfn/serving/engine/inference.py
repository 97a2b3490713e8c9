"""One request to one version of a model, from the protocol that read it to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gpfn.deadline import Deadline
from gpfn.errors import InvalidTensor
from gpfn.models.signature import arguments
from gpfn.tensors.dtypes import DTYPE_TABLE

if TYPE_CHECKING:
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Caller", "Done", "Form", "Inference"]

_ndarray = np.ndarray

Done = Callable[[Any, BaseException | None], object]
"""Hears the results, named arrays, or the error; on the loop's thread."""


class Caller(Protocol):
    """Who waits for an answer."""

    gone: bool
    """Whether nobody will read it."""


class _Present:
    """A caller that waits, whatever happens."""

    gone = False


class Form:
    """What a model takes, prepared so that arrays that fit as they are cost next to nothing."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self.specs = specs
        self._exact = [
            (spec.name, DTYPE_TABLE[spec.dtype].numpy, spec.shape[1:])
            for spec in specs
            if spec.shape and None not in spec.shape[1:] and spec.dtype != "string"
            if not spec.finite
        ]
        if len(self._exact) != len(specs):
            self._exact = []

    def taken(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the arrays in the model's order, as it takes them; raises InvalidTensor."""
        if len(inputs) == len(self._exact):
            arrays = []
            for name, dtype, shape in self._exact:
                array = inputs.get(name)
                if (
                    array.__class__ is not _ndarray
                    or array.dtype != dtype
                    or array.ndim != len(shape) + 1
                    or array.shape[1:] != shape
                    or not array.flags.c_contiguous
                ):
                    break
                arrays.append(array)
            else:
                return arrays
        return arguments(inputs, self.specs)


class Inference:
    """Named arrays, the outputs asked for (all when empty), and who is told.

    ``done(results, error)`` is called once. ``began`` is when it was asked, by
    time.monotonic(). ``caller`` is looked at before anything is computed.
    """

    __slots__ = (
        "arrays", "began", "caller", "deadline", "done", "error", "inputs", "key", "outputs",
        "results", "rows",
    )  # fmt: skip

    def __init__(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        deadline: Deadline,
        done: Done,
        caller: Caller = _Present(),  # noqa: B008 - it has no state
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.deadline = deadline
        self.done: Done | None = done
        self.caller = caller
        self.began = 0.0
        self.arrays: list[np.ndarray] = []
        self.rows = 0
        self.key: object = None
        self.results: Mapping[str, np.ndarray] | None = None
        self.error: BaseException | None = None

    def fit(self, form: Form) -> None:
        """Make it one of a batch: arrays as the model takes them, rows, and what they share.

        Raises InvalidTensor when an input is not the model's, or has another number of rows.
        """
        self.arrays = arrays = form.taken(self.inputs)
        self.rows = rows = len(arrays[0])
        if len(arrays) > 1:
            for spec, array in zip(form.specs, arrays, strict=True):
                if len(array) != rows:
                    told = f"{len(array)} rows, but {form.specs[0].name} has {rows}"
                    raise InvalidTensor(told, field=spec.name)
        self.key = (tuple(self.outputs), *[array.shape[1:] for array in arrays])

    @property
    def waited_for(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self.done is not None and not self.caller.gone

    def settle(self) -> None:
        """Tell who waits, unless that was told before."""
        done, self.done = self.done, None
        if done is not None:
            done(None if self.error else self.results, self.error)

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it failed."""
        self.error = error
        self.settle()
