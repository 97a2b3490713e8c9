"""The work between decode and encode: before → predict → after."""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidEvent
from gpfn.events.message import Message
from gpfn.function.arrays import decode_arrays
from gpfn.function.call import Call
from gpfn.function.drive import Steps, settle
from gpfn.function.encode import as_arrays
from gpfn.function.payload import Payload
from gpfn.function.stages import Stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.events import Event
    from gpfn.function.function import Function
    from gpfn.function.parameters import Callback

__all__ = ["compute_steps", "work_steps"]


def work_steps(function: Function, payload: Payload, call: Call, stages: Stages) -> Steps[object]:
    """Return what the function gives for one payload."""
    stages.begin("decode")
    deadline = call.deadline.earlier(_expiry(payload.event))
    deadline.check("the data was decoded")
    subject = _subject(function, payload)
    extras = {
        "model": function.model,
        "call": call._replace(deadline=deadline),
        "event": payload.event,
        "payload": payload,
    }
    return (yield from compute_steps(function, subject, extras, stages, deadline))


def compute_steps(
    function: Function,
    subject: object,
    extras: Mapping[str, object],
    stages: Stages,
    deadline: Deadline = NEVER,
) -> Steps[object]:
    """Return what the function gives for what it takes: arrays, an event or a payload."""
    value = subject
    if function.before is not None:
        stages.begin("before")
        value = yield from settle(_apply(function.before, value, extras))
    deadline.check("the prediction was begun")
    stages.begin("predict")
    if function.handler is not None:
        value = yield from settle(_apply(function.handler, value, extras))
    else:
        value = function.predict(value, deadline)
    if function.after is not None:
        stages.begin("after")
        value = yield from settle(_apply(function.after, value, extras))
    return value


def _apply(callback: Callback, value: object, extras: Mapping[str, object]) -> object:
    if isinstance(value, Mapping) and as_arrays(value, "") is not None:
        return callback.with_arrays(value, extras)
    return callback.with_value(value, extras)


def _subject(function: Function, payload: Payload) -> object:
    if function.takes == "arrays":
        return decode_arrays(payload, function.specs, function.limits)
    if function.takes == "payload":
        return payload
    if function.takes == "message":
        return Message(payload.view, payload.media_type, payload.headers)  # type: ignore[arg-type]
    if payload.event is None:
        raise InvalidEvent("missing; this function takes CloudEvents", field="specversion")
    return payload.event


def _expiry(event: Event | None) -> Deadline:
    """Return the deadline that an event's ``expirytime`` extension sets."""
    expiry = None if event is None else event.attribute("expirytime")
    if expiry is None:
        return NEVER
    from gpfn.events.timestamps import epoch_seconds

    try:
        return Deadline.at_epoch(epoch_seconds(str(expiry)))
    except ValueError:
        raise InvalidEvent(f"not a time: {expiry!r:.60}", field="expirytime") from None
