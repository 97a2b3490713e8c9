"""A model that asks other machines, whose description is there without asking them.

A protocol looks at a model's inputs and outputs on the event loop, which may not wait for
anybody. So they are looked up where the model is opened and where it computes: in threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["DescribedModel"]

_LOOK_SECONDS = 5.0
"""How often a call looks whether the description has changed."""


class DescribedModel:
    """A model as it is, with the description that it last had; see `gpfn.models.Model`."""

    waits = True

    def __init__(self, model: Model, local: Model | None = None) -> None:
        """``local`` is the part of it that computes here, when its outputs go on to a server."""
        self._model = model
        self.local = local
        self.name = model.name
        self.backend = model.backend
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._again = 0.0
        self._look()

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        """Compute; see `gpfn.models.Model`."""
        found = self._model(inputs, outputs=outputs, deadline=deadline)
        if time.monotonic() >= self._again:
            self._look()
        return found

    def names_for(self, count: int) -> tuple[str, ...]:
        """Return the names of ``count`` inputs that come without."""
        names_for = getattr(self._model, "names_for", None)
        names: tuple[str, ...] = names_for(count) if names_for else ()
        return names or tuple(f"input_{index}" for index in range(count))

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def _look(self) -> None:
        with suppress(GpfnError):  # of a server that is not there yet; a call says so
            self.inputs, self.outputs = self._model.inputs, self._model.outputs
        known = bool(self.inputs and self.outputs)
        self._again = time.monotonic() + _LOOK_SECONDS if known else 0.0
