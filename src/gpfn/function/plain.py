"""Calling a function directly, as a test or another program does."""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.call.callback import run_steps
from gpfn.call.contract import Call, Contract
from gpfn.call.costs import Stages
from gpfn.call.decode import decode_subject
from gpfn.call.payload import Payload
from gpfn.call.pipeline import compute_steps, event_steps
from gpfn.call.result import is_event
from gpfn.deadline import NEVER
from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.tensors.spec import TensorSpec

__all__ = ["plain_call"]


def plain_call(
    contract: Contract, values: tuple[object, ...], named: Mapping[str, object]
) -> object:
    """Return an Event for an Event, otherwise what is computed.

    One array is returned as it is, several as a dict, and rows as dicts. Raises GpfnError.
    """
    call = Call()
    if len(values) == 1 and is_event(values[0]):
        return run_steps(event_steps(contract, values[0], call), NEVER)  # type: ignore[arg-type]
    subject, payload = _subject(contract, values, named)
    extras = {"model": contract.model, "call": call, "event": None, "payload": payload}
    result = run_steps(compute_steps(contract, subject, extras, Stages()), NEVER)
    if contract.rows is not None and payload is not None:
        from gpfn.call.rows import plain_rows

        return plain_rows(result, subject, payload, contract)  # type: ignore[arg-type] # arrays
    if isinstance(result, Mapping) and len(result) == 1 and contract.handler is None:
        return next(iter(result.values())) if contract.after is None else result
    return result


def _subject(
    contract: Contract, values: tuple[object, ...], named: Mapping[str, object]
) -> tuple[object, Payload | None]:
    if contract.takes == "arrays":
        return _arrays(contract, values, named), None
    value = values[0] if len(values) == 1 and not named else dict(named)
    if contract.takes in ("payload", "rows"):
        if contract.takes == "rows":
            value = _plain(value)
        payload = value if isinstance(value, Payload) else _payload(value)
        return (payload if contract.rows is None else decode_subject(contract, payload)), payload
    if contract.takes == "message" and isinstance(value, bytes):
        return Message(value), None
    return value, None


def _plain(value: object) -> object:
    """Return rows as JSON has them: NumPy's numbers and arrays as Python's own."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    own = getattr(value, "tolist", None)
    return own() if callable(own) else value


def _payload(value: object) -> Payload:
    if isinstance(value, bytes | bytearray | memoryview):
        return Payload(value)
    if isinstance(value, str):
        return Payload(value.encode(), "text/plain; charset=utf-8")
    return Payload.from_json(value)


def _arrays(
    contract: Contract, values: tuple[object, ...], named: Mapping[str, object]
) -> dict[str, np.ndarray]:
    specs = contract.specs
    names = [spec.name for spec in specs]
    given = dict(zip(names, values, strict=False))
    if len(values) == 1 and isinstance(values[0], Mapping):
        given = dict(values[0])
    given.update(named)
    if len(values) > len(names) or set(given) != set(names):
        raise InvalidTensor(f"expected {', '.join(names)}; got {', '.join(given) or 'nothing'}")
    try:
        return {spec.name: _array(given[spec.name], spec, contract.limits) for spec in specs}
    except InvalidTensor:
        if not contract.hints:
            raise
    from gpfn.tensors.spec import any_shape

    return {spec.name: _array(given[spec.name], spec, contract.limits) for spec in any_shape(specs)}


def _array(value: object, spec: TensorSpec, limits: Limits) -> np.ndarray:
    """Return what fits ``spec``: Python's own numbers are read like JSON, arrays checked."""
    from gpfn.tensors.cast import cast_to, plain_array
    from gpfn.tensors.json_forms import decode_json

    if isinstance(value, list | int | float | str):
        return decode_json(value, [spec], limits, path=spec.name)[spec.name]
    return cast_to(plain_array(value, spec.name), spec, path=spec.name)
