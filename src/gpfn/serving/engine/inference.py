"""One request to one version of a model, from the protocol that read it to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gpfn.deadline import Deadline
from gpfn.errors import CallerError, InvalidTensor
from gpfn.models.signature import arguments
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.spec import find_name

if TYPE_CHECKING:
    from gpfn.scope import Took
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Abandoned", "Caller", "Done", "Form", "Inference", "Whole"]

_ndarray = np.ndarray

Done = Callable[[Any, BaseException | None], object]
"""Hears the results, named arrays, or the error; on the loop's thread."""


class Abandoned(CallerError):
    """Nobody waits for the answer any more, so it was not computed."""


class Caller(Protocol):
    """Who waits for an answer."""

    gone: bool
    """Whether nobody will read it."""
    timings: list[Took] | None
    """Where times are noted, when it wants to know them."""
    hops: int
    """How many servers have sent its request on."""


class _Present:
    """A caller that waits, whatever happens."""

    gone = False
    timings: list[Took] | None = None
    hops = 0


class Whole:
    """The key of a request whose outputs may have another first axis than rows: shared by none."""


class Form:
    """What a model takes, prepared so that arrays that fit as they are cost next to nothing."""

    def __init__(self, specs: Sequence[TensorSpec], outputs: Sequence[TensorSpec] = ()) -> None:
        self.specs = specs
        self._outputs = {spec.name for spec in outputs}
        self._exact = [
            (spec.name, DTYPE_TABLE[spec.dtype].numpy, spec.shape[1:], len(spec.shape))
            for spec in specs
            if spec.shape and None not in spec.shape[1:] and spec.dtype != "string"
            if not spec.finite
        ]
        if len(self._exact) != len(specs):
            self._exact = []

    def has_rows(self, outputs: Sequence[str]) -> bool:
        """Say whether outputs are the model's own, and not just tensors of its graph."""
        known = self._outputs
        return not known or all(find_name(name, known) is not None for name in outputs)

    @property
    def sizes_known(self) -> bool:
        """Whether a row has as many elements as any other."""
        return bool(self._exact)

    def exactly(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the arrays in the model's order when they fit as they are, else nothing."""
        arrays: list[np.ndarray] = []
        if len(inputs) != len(self._exact):
            return arrays
        for name, dtype, shape, rank in self._exact:
            array = inputs.get(name)
            if (
                array.__class__ is not _ndarray
                or array.dtype != dtype
                or array.ndim != rank
                or array.shape[1:] != shape
                or not array.flags.c_contiguous
            ):
                return []
            arrays.append(array)
        return arrays


class Inference:
    """Named arrays, the outputs asked for (all when empty), and who is told.

    ``done(results, error)`` is called once. ``caller`` is looked at before anything is computed.
    The engine sets the rest: ``began`` is when it was asked, by time.monotonic(); ``arrays``,
    ``rows`` and ``key`` are there where rows are computed together, and ``results`` when there
    is no error.
    """

    began: float
    arrays: list[np.ndarray]
    rows: int
    key: object
    results: Mapping[str, np.ndarray]

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
        self.error: BaseException | None = None

    def fit(self, form: Form) -> None:
        """Make it one of a batch: arrays as the model takes them, rows, and what they share.

        Raises InvalidTensor when an input is not the model's, or has another number of rows.
        """
        arrays = form.exactly(self.inputs)
        self.key = tuple(self.outputs) if self.outputs else ()
        if not arrays:
            arrays = arguments(self.inputs, form.specs)
            self.key = (self.key, *[array.shape[1:] for array in arrays])
        if self.outputs and not form.has_rows(self.outputs):
            self.key = Whole()
        self.arrays, self.rows = arrays, len(arrays[0])
        if len(arrays) > 1:
            self._check_rows(form.specs)

    def _check_rows(self, specs: Sequence[TensorSpec]) -> None:
        for spec, array in zip(specs, self.arrays, strict=True):
            if len(array) != self.rows:
                told = f"{len(array)} rows, but {specs[0].name} has {self.rows}"
                raise InvalidTensor(told, field=spec.name)

    @property
    def waited_for(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self.done is not None and not self.caller.gone

    def settle(self) -> None:
        """Tell who waits, unless that was told before."""
        done, self.done = self.done, None
        error, self.error = self.error, None  # it holds this by its trace
        if done is not None:
            done(None if error else self.results, error)

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it failed."""
        self.error = error
        self.settle()
