"""One call: decode → before → predict → after → encode; a failure becomes a document.

Everything here is written as steps (see drive), so that it serves threads and loops.

The work between decode and encode: before → predict → after.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.call.contract import Call, Reply, Stages
from gpfn.call.decode import Received, decode_arrays, receive
from gpfn.call.encode import (
    Body,
    as_arrays,
    encode_result,
    error_event,
    error_message,
    event_message,
    status_of,
    to_event,
    to_message,
)
from gpfn.call.payload import Payload
from gpfn.call.steps import Steps, settle
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidEvent
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.callback import Callback
    from gpfn.events.event import Event
    from gpfn.function.function import Function

__all__ = ["answer_steps", "compute_steps", "event_steps", "work_steps"]


def answer_steps(function: Function, message: Message, call: Call) -> Steps[Reply]:
    """Answer one message; what goes wrong is answered too, whoever is to blame."""
    stages = Stages()
    try:
        reply = yield from _reply_steps(function, message, call, stages)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - no call takes the process along
        _begin_trace_in_user_code(error)
        reply = Reply(error_message(error), status_of(error), error=error)
    return reply._replace(stages=stages.listed(), memory=tuple(stages.memory.items()))


def event_steps(function: Function, event: Event, call: Call) -> Steps[Event]:
    """Answer one event with an event; what goes wrong is raised."""
    stages = Stages()
    body = yield from _body_steps(function, Payload.from_event(event), call, stages)
    if isinstance(body, Message):
        body = Body(bytes(body.body), body.content_type)
    return to_event(event, body, function.stamp)


def _reply_steps(function: Function, message: Message, call: Call, stages: Stages) -> Steps[Reply]:
    call.deadline.check("the message was decoded")
    if not function.is_open:
        stages.begin("open")
        function.open()
    stages.begin("decode")
    payloads, form = _received(function, message)
    if form == "batch":
        return (yield from _batch_steps(function, payloads, call, stages))
    payload = payloads[0]
    body = yield from _body_steps(function, payload, call, stages)
    if isinstance(body, Message):
        return Reply(body)
    if payload.event is None:
        return Reply(to_message(body))
    return Reply(event_message([to_event(payload.event, body, function.stamp)], form))


def _received(function: Function, message: Message) -> Received:
    if function.takes == "message":
        payload = Payload(message.body, message.content_type, headers=message.headers)
        return (payload,), "plain"
    return receive(message, function.limits)


def _body_steps(
    function: Function, payload: Payload, call: Call, stages: Stages
) -> Steps[Body | Event | Message]:
    result = yield from work_steps(function, payload, call, stages)
    stages.begin("encode")
    output = function.output or "output"
    return encode_result(result, payload, nonfinite=function.nonfinite, output=output)


def _batch_steps(
    function: Function, payloads: tuple[Payload, ...], call: Call, stages: Stages
) -> Steps[Reply]:
    """Answer each event of a batch; one that fails gets an error event in its place."""
    events: list[Event] = []
    failures: list[BaseException] = []
    for payload in payloads:
        event = payload.event
        assert event is not None, "a batch holds events"  # noqa: S101 - receive() made them so
        try:
            body = yield from _body_steps(function, payload, call, stages)
            if isinstance(body, Message):
                body = Body(bytes(body.body), body.content_type)
            events.append(to_event(event, body, function.stamp))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are answered
            _begin_trace_in_user_code(error)
            failures.append(error)
            events.append(error_event(event, error, function.stamp))
    stages.begin("encode")
    return Reply(event_message(events, "batch"), failures=tuple(failures))


def _begin_trace_in_user_code(error: BaseException) -> None:
    """Cut off the trace's frames of this package, when somebody else's come after them."""
    trace = error.__traceback__
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__")).startswith("gpfn.call."):
            error.__traceback__ = trace
            return
        trace = trace.tb_next


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
