"""One call: decode → before → predict → after → encode; a failure becomes a document.

Everything here is written as steps (see drive), so that it serves threads and loops.
"""

from __future__ import annotations

from gpfn.events.message import Message
from gpfn.function.call import Call, Reply
from gpfn.function.drive import Steps
from gpfn.function.encode import Body, encode_result
from gpfn.function.payload import Payload
from gpfn.function.receive import Received, receive
from gpfn.function.reply import (
    error_event,
    error_message,
    event_message,
    status_of,
    to_event,
    to_message,
)
from gpfn.function.stages import Stages
from gpfn.function.work import work_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.events import Event
    from gpfn.function.function import Function

__all__ = ["answer_steps", "event_steps"]


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
        if not str(trace.tb_frame.f_globals.get("__name__")).startswith("gpfn.function."):
            error.__traceback__ = trace
            return
        trace = trace.tb_next
