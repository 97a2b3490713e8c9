"""Calling a function directly, as a test or another program does."""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.call.contract import Call, Stages
from gpfn.call.encode import is_event
from gpfn.call.payload import Payload
from gpfn.call.pipeline import compute_steps, event_steps
from gpfn.call.steps import drive
from gpfn.deadline import NEVER
from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.function.function import Function
    from gpfn.tensors.spec import TensorSpec

__all__ = ["plain_call"]


def plain_call(
    function: Function, values: tuple[object, ...], named: Mapping[str, object]
) -> object:
    """Return an Event for an Event, otherwise what the function computes.

    One array is returned as it is, several as a dict. Raises GpfnError.
    """
    function.open()
    call = Call()
    if len(values) == 1 and is_event(values[0]):
        return drive(event_steps(function, values[0], call), NEVER)  # type: ignore[arg-type]
    subject, payload = _subject(function, values, named)
    extras = {"model": function.model, "call": call, "event": None, "payload": payload}
    result = drive(compute_steps(function, subject, extras, Stages()), NEVER)
    if isinstance(result, Mapping) and len(result) == 1 and function.handler is None:
        return next(iter(result.values())) if function.after is None else result
    return result


def _subject(
    function: Function, values: tuple[object, ...], named: Mapping[str, object]
) -> tuple[object, Payload | None]:
    if function.takes == "arrays":
        return _arrays(function, values, named), None
    value = values[0] if len(values) == 1 and not named else dict(named)
    if function.takes == "payload":
        payload = value if isinstance(value, Payload) else _payload(value)
        return payload, payload
    if function.takes == "message" and isinstance(value, bytes):
        return Message(value), None
    return value, None


def _payload(value: object) -> Payload:
    if isinstance(value, bytes | bytearray | memoryview):
        return Payload(value)
    if isinstance(value, str):
        return Payload(value.encode(), "text/plain; charset=utf-8")
    return Payload.from_json(value)


def _arrays(
    function: Function, values: tuple[object, ...], named: Mapping[str, object]
) -> dict[str, np.ndarray]:
    names = [spec.name for spec in function.specs]
    given = dict(zip(names, values, strict=False))
    if len(values) == 1 and isinstance(values[0], Mapping):
        given = dict(values[0])
    given.update(named)
    if len(values) > len(names) or set(given) != set(names):
        raise InvalidTensor(f"expected {', '.join(names)}; got {', '.join(given) or 'nothing'}")
    return {spec.name: _array(given[spec.name], spec, function.limits) for spec in function.specs}


def _array(value: object, spec: TensorSpec, limits: Limits) -> np.ndarray:
    """Return what fits ``spec``: Python's own numbers are read like JSON, arrays checked."""
    from gpfn.tensors.cast import fit
    from gpfn.tensors.json_forms import decode_json

    if isinstance(value, list | int | float | str):
        return decode_json(value, [spec], limits, path=spec.name)[spec.name]
    import numpy as np

    return fit(np.asarray(value), spec, path=spec.name)
