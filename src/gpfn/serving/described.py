"""A model that asks other machines, whose description is there without asking them.

A protocol looks at a model's inputs and outputs on the event loop, which may not wait for
anybody, and neither may an answer that has been computed. So they are looked up where the model
is opened, and now and then in a thread of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.http.pending import Pending
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["DescribedModel"]

_LOOK_SECONDS = 5.0
_UNKNOWN_SECONDS = 0.5
"""How often a call has the description looked up, when it is known and when it is not."""


class DescribedModel:
    """A model as it is, with the description that it last had; see `gpfn.models.Model`.

    ``changed`` is called when that is another one, in whichever thread.
    """

    waits = True

    def __init__(self, model: Model, local: Model | None = None) -> None:
        """``local`` is the part of it that computes here, when its outputs go on to a server."""
        self._model = model
        self.local = local
        self.name = model.name
        self.backend = model.backend
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.changed: Callable[[], object] = lambda: None
        self._again = 0.0
        self._looking = Lock()
        self._look()

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        """Compute; see `gpfn.models.Model`."""
        self._look_again()
        return self._model(inputs, outputs=outputs, deadline=deadline)

    def begin_call(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray] | Pending[dict[str, np.ndarray]]:
        """Compute all but the wait for a server; see `gpfn.models.pipeline.Pipeline`."""
        self._look_again()
        compute: Callable[..., dict[str, np.ndarray] | Pending[dict[str, np.ndarray]]]
        compute = getattr(self._model, "begin_call", self._model)
        return compute(inputs, outputs=outputs, deadline=deadline)

    def names_for(self, count: int) -> tuple[str, ...]:
        """Return the names of ``count`` inputs that come without."""
        names_for = getattr(self._model, "names_for", None)
        names: tuple[str, ...] = names_for(count) if names_for else ()
        return names or tuple(f"input_{index}" for index in range(count))

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def _look_again(self) -> None:
        """Have the description looked up if it is time, by a thread that nobody waits for."""
        if time.monotonic() >= self._again and self._looking.acquire(blocking=False):
            self._again = time.monotonic() + _UNKNOWN_SECONDS
            Thread(target=self._look_and_tell, daemon=True).start()

    def _look_and_tell(self) -> None:
        try:
            before = self.inputs, self.outputs
            self._look()
            if (self.inputs, self.outputs) != before:
                self.changed()
        finally:
            self._looking.release()

    def _look(self) -> None:
        with suppress(GpfnError):  # of a server that is not there yet; a call says so
            self.inputs, self.outputs = self._model.inputs, self._model.outputs
        known = bool(self.inputs and self.outputs)
        self._again = time.monotonic() + (_LOOK_SECONDS if known else _UNKNOWN_SECONDS)
