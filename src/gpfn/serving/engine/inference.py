"""One request to one version of a model, from the protocol that read it to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gpfn.deadline import Deadline
from gpfn.errors import InvalidTensor
from gpfn.models.signature import arguments

if TYPE_CHECKING:
    import numpy as np

    from gpfn.tensors.spec import TensorSpec

__all__ = ["Caller", "Done", "Inference"]

Done = Callable[[Any, BaseException | None], object]
"""Hears the results, named arrays, or the error; on the loop's thread."""


class Caller(Protocol):
    """Who waits for an answer."""

    gone: bool
    """Whether nobody will read it."""


class _Present:
    """A caller that waits, whatever happens."""

    gone = False


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

    def fit(self, specs: Sequence[TensorSpec]) -> None:
        """Make it one of a batch: arrays as the model takes them, rows, and what they share.

        Raises InvalidTensor when an input is not the model's, or has another number of rows.
        """
        arrays = arguments(self.inputs, specs)
        rows = len(arrays[0])
        for spec, array in zip(specs, arrays, strict=True):
            if len(array) != rows:
                told = f"{len(array)} rows, but {specs[0].name} has {rows}"
                raise InvalidTensor(told, field=spec.name)
        self.arrays, self.rows = arrays, rows
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
