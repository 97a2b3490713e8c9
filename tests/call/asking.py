"""A function around a model that notes how it is asked, and batches of events for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from gpfn.call.callback import Callback
from gpfn.call.contract import Call, Contract, Reply
from gpfn.call.pipeline import answer
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed
from gpfn.events import Event, read
from gpfn.function.opening import match_inputs, predictor
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.tensors import TensorSpec

__all__ = ["BATCH", "POISON", "Rowwise", "answered", "asking", "batch", "each", "event"]

BATCH = "application/cloudevents-batch+json"
POISON = 666.0
"""A number that the model refuses."""
Array = np.ndarray[Any, Any]


class Rowwise:
    """A model that doubles each row, says that it computes rows apart, and notes its calls."""

    backend = "onnx"
    name = "rowwise"

    def __init__(self, *shapes: tuple[int | None, ...], dtype: str = "float32") -> None:
        shapes = shapes or ((None, 3),)
        self.inputs = tuple(
            TensorSpec(dtype, shape, "xyz"[index]) for index, shape in enumerate(shapes)
        )
        self.outputs: tuple[TensorSpec, ...] = (TensorSpec(dtype, shapes[0], "doubled"),)
        self.calls: list[int] = []
        self.deadlines: list[Deadline] = []
        self.compute: Callable[[dict[str, Array]], dict[str, Any]] = lambda arrays: {
            "doubled": sum(arrays.values()) * 2
        }

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Any]:
        """Compute; see `gpfn.models.Model`."""
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        first = next(iter(arrays.values()))
        self.calls.append(first.shape[0] if first.ndim else -1)
        self.deadlines.append(deadline)
        for spec in self.inputs:
            if spec.shape is not None and arrays[spec.name].ndim != len(spec.shape):
                raise InvalidTensor("another rank", field=spec.name)
        deadline.check("inference")
        if any(POISON in array for array in arrays.values() if array.dtype.kind != "O"):
            raise ModelFailed("the model does not like this number")
        return self.compute(arrays)

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def asking(
    model: Rowwise,
    *,
    specs: Sequence[TensorSpec] = (),
    takes: str = "arrays",
    before: Callable[..., object] | None = None,
    after: Callable[..., object] | None = None,
    output: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    **others: Any,
) -> Contract:
    """Return what an opened function around ``model`` stands on."""
    declared = tuple(specs) or model.inputs
    fed_by = match_inputs([spec.name for spec in declared], model)
    return Contract(
        takes=takes,
        specs=declared,
        before=Callback(before) if before else None,
        handler=None,
        predict=predictor(model, fed_by, output),
        after=Callback(after) if after else None,
        model=model,
        output=output or "output",
        stamp=(None, None),
        nonfinite="null",
        limits=limits,
        asks=() if output is None else (output,),
        **others,
    )


def event(number: int, data: object = None, **attributes: object) -> dict[str, object]:
    """Return an event of one row, or of these data."""
    rows = [[number, number + 1, 0.5]] if data is None else data
    named = {"specversion": "1.0", "id": f"e{number}", "source": "/s", "type": "t"}
    return {**named, "data": rows, **attributes}


def batch(events: Sequence[Mapping[str, object]]) -> Message:
    """Return the message of a batch."""
    return Message(orjson.dumps(events), BATCH)


def answered(contract: Contract, events: Sequence[Mapping[str, object]]) -> Sequence[Event]:
    """Return the answers to a batch."""
    return events_of(answer(contract, batch(events), Call()))


def each(contract: Contract, events: Sequence[Mapping[str, object]]) -> list[Event]:
    """Return the answer to each event in a batch of its own, which asks the model by itself."""
    return [answered(contract, [one])[0] for one in events]


def events_of(reply: Reply) -> Sequence[Event]:
    """Return the events of a reply."""
    assert (reply.status, reply.error) == (200, None), reply.message.body
    found = read(reply.message)
    assert found is not None
    return found.events
