"""Replicas of a model in processes of their own: what ends one costs its own call only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded
from gpfn.models.process import ProcessModel

if TYPE_CHECKING:
    import numpy as np

    from gpfn.serving.wanted import ModelSource

__all__ = ["ProcessReplicas", "replicas_of"]


def replicas_of(
    source: ModelSource, *, count: int, threads: int | Literal["auto"]
) -> ProcessReplicas:
    """Start that many processes for a source; raises what opening it raises."""
    from gpfn.models.threads import thread_count

    options: dict[str, Any] = {
        "threads": thread_count(threads),
        "inputs": source.inputs,
        "outputs": source.outputs,
    }
    opened: list[ProcessModel] = []
    try:
        while len(opened) < count:
            opened.append(ProcessModel(source.uri, **options))
    except BaseException:
        for one in opened:
            one.close()
        raise
    return ProcessReplicas(opened)


class ProcessReplicas:
    """Several processes of one model; see `gpfn.models.Model`. A call takes one that is idle."""

    waits = True
    """A call blocks its thread: it is never made on an event loop."""

    def __init__(self, models: Sequence[ProcessModel]) -> None:
        first = models[0]
        self._models = models
        self._idle: SimpleQueue[ProcessModel] = SimpleQueue()
        for model in models:
            self._idle.put(model)
        self.name, self.backend = first.name, first.backend
        self.inputs, self.outputs = first.inputs, first.outputs
        self.rows_are_apart = first.rows_are_apart
        self.names_for = first.names_for

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        """Compute in the process that has been idle for longest."""
        model = self._take(deadline)
        try:
            found: dict[str, Any] = model(inputs, outputs=outputs, deadline=deadline)
        finally:
            self._idle.put(model)
        return found

    def close(self) -> None:
        """End all of them."""
        for model in self._models:
            model.close()

    def _take(self, deadline: Deadline) -> ProcessModel:
        left = deadline.remaining()
        with suppress(Empty):  # none has become idle until then
            return self._idle.get(timeout=None if left == float("inf") else left)
        raise DeadlineExceeded(f"all processes of {self.name} were busy until then")
