"""The one seam between gpfn and everything that computes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gpfn.deadline import NEVER, Deadline
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Model"]


class Model(Protocol):
    """Named arrays in, named arrays out; safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """What it was opened from, without credentials."""

    @property
    def backend(self) -> str:
        """What computes: the `runtime` of its row in `gpfn.models.backends`, say ``litert``."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes, in the model's order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives, in the model's order."""

    def __call__(
        self,
        inputs: "Mapping[str, np.ndarray]",
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> "dict[str, np.ndarray]":
        """Compute ``outputs`` (all of them when empty) from ``inputs``.

        Raises InvalidTensor when an input does not fit, before native code sees it,
        BackendError when the computation fails, DeadlineExceeded when it is too late.
        """

    def close(self) -> None:
        """Free what it holds; calling it twice is harmless."""
