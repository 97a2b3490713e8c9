"""One call: decode → before → predict → after → encode; a failure becomes a document.

Everything here is written as steps (:mod:`gpfn.call.callback`), so that it serves threads and
event loops, and works on a :class:`Contract`: it knows no function and no platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from gpfn.call.callback import Steps, finish_steps
from gpfn.call.contract import Call, Contract, Reply
from gpfn.call.costs import Stages, give_back_memory
from gpfn.call.decode import BATCHES, Parsed, decode_subject, receive
from gpfn.call.encode import (
    asks_for_event,
    error_event,
    error_message,
    error_reply,
    event_message,
    status_of,
    to_event,
    to_message,
)
from gpfn.call.payload import Payload
from gpfn.call.result import ResultBody, encode_result, is_arrays, refuse_masked
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import ModelFailed, RefusedByModel
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gpfn.call.callback import Callback
    from gpfn.events.event import Event

__all__ = ["answer", "answer_steps", "compute_steps", "event_steps", "failed"]

_LARGE = 64 << 10
"""Over this many bytes of body, in or out, a call gives memory back."""
_Answered = tuple[Message, bool, tuple[BaseException, ...], BaseException | None]
"""The reply, whether it is JSON, what failed in a batch, and what the reply is the error of."""

# What a NamedTuple's own constructor does, without the Python function around it.
_reply: Callable[..., Reply] = tuple.__new__


def answer(
    contract: Contract, request: Message | Parsed, call: Call, stages: Stages | None = None
) -> Reply:
    """Answer one request in this thread; what goes wrong is answered too."""
    steps = answer_steps(contract, request, call, stages)
    try:
        awaitable = next(steps)
    except StopIteration as stop:  # as every function that is not async
        value: Reply = stop.value
        return value
    return finish_steps(steps, awaitable, call.deadline)


def answer_steps(
    contract: Contract, request: Message | Parsed, call: Call, stages: Stages | None = None
) -> Steps[Reply]:
    """Answer one request; what goes wrong is answered too, whoever is to blame."""
    stages = stages or Stages()
    error: BaseException | None = None
    failures: tuple[BaseException, ...] = ()
    is_json = True
    try:
        message, is_json, failures, error = yield from _message_steps(
            contract, request, call, stages
        )
        status = 200 if error is None else status_of(error)
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - no call takes the process along
        _begin_trace_in_user_code(failure)
        message, status, error = error_message(failure), status_of(failure), failure
    body = b"" if isinstance(request, Parsed) else request.body
    if len(body) > _LARGE or len(message.body) > _LARGE:
        give_back_memory(error)
    seconds, memory = stages.listed(), tuple(stages.memory.items())
    trace = stages.trace
    return _reply(Reply, (message, status, seconds, error, failures, memory, is_json, trace))


def failed(error: BaseException, stages: Stages) -> Reply:
    """Return the reply of a call that came no further."""
    seconds = stages.listed()
    return Reply(error_message(error), status_of(error), seconds, error, is_json=True)


def event_steps(contract: Contract, event: Event, call: Call) -> Steps[Event]:
    """Answer one event with an event; what goes wrong is raised."""
    body = yield from _body_steps(contract, Payload.from_event(event), call, Stages())
    return to_event(event, _without_headers(body), contract.stamp)


def compute_steps(
    contract: Contract,
    subject: object,
    extras: Mapping[str, object],
    stages: Stages,
    deadline: Deadline = NEVER,
) -> Steps[object]:
    """Return what is computed from what a call takes: arrays, an event, a payload."""
    value, given = subject, contract.takes == "arrays" or contract.rows is not None
    if contract.before is not None:
        stages.begin("before")
        value = _apply(contract.before, value, extras, given)
        if hasattr(value, "__await__"):
            value = yield value
    if monotonic() >= deadline.at:
        deadline.check("the prediction was begun")
    stages.begin("predict")
    if contract.handler is None:
        if contract.before is not None:
            refuse_masked(value, contract.before.name)
        value = contract.predict(value, deadline)
    else:
        arrays = given if contract.before is None else is_arrays(value)
        value = _apply(contract.handler, value, extras, arrays)
    if hasattr(value, "__await__"):  # of an async handler, or a question that waits for others
        value = yield value
    if contract.after is not None:
        stages.begin("after")
        value = _apply(contract.after, value, extras, is_arrays(value))
        if hasattr(value, "__await__"):
            value = yield value
    return value


def _message_steps(
    contract: Contract, request: Message | Parsed, call: Call, stages: Stages
) -> Steps[_Answered]:
    if monotonic() >= call.deadline.at:
        call.deadline.check("the message was decoded")
    stages.begin("decode")
    payloads, form = receive(request, contract.limits, contract.takes)
    if form in BATCHES:
        return (yield from _batch_steps(contract, payloads, form, call, stages))
    payload = payloads[0]
    if payload.event is not None and form != "binary":  # whose headers the platform has seen
        stages.trace = _trace_of(payload.event)
    try:
        body = yield from _body_steps(contract, payload, call, stages)
    except (Exception, SystemExit) as error:
        event = payload.event
        if event is None or not asks_for_event(payload.headers):
            raise
        _begin_trace_in_user_code(error)
        return error_reply(event, error, form, contract.stamp), form == "structured", (), error
    is_json = isinstance(body, ResultBody) and body.valid_json
    if payload.event is not None:
        is_json = form == "structured" and not isinstance(body, Message)
    return to_message(body, payload.event, form, contract.stamp), is_json, (), None


def _trace_of(event: Event) -> str:
    """Return the trace id of an event that has a valid ``traceparent``."""
    parent = event.attribute("traceparent")
    if not isinstance(parent, str):
        return ""
    from gpfn.log import trace_id

    return trace_id((("traceparent", parent),))


def _body_steps(
    contract: Contract, payload: Payload, call: Call, stages: Stages
) -> Steps[ResultBody | Event | Message]:
    stages.begin("decode")
    expiry = payload.expiry()
    if expiry is not None:
        call = call._replace(deadline=call.deadline.earlier(expiry))
    deadline = call.deadline
    if monotonic() >= deadline.at:
        deadline.check("the data was decoded")
    subject = decode_subject(contract, payload)
    extras = {
        "model": contract.model,
        "call": call,
        "event": payload.event,
        "payload": payload,
    }
    try:
        result = yield from compute_steps(contract, subject, extras, stages, deadline)
    except (ModelFailed, RefusedByModel) as error:
        if contract.takes == "arrays" and contract.before is None:
            from gpfn.tensors.shapes import disagreement

            found = disagreement(subject, contract.specs, payload.field)  # type: ignore[arg-type] # arrays
            if found is not None:
                raise found from error
        raise
    stages.begin("encode")
    if contract.rows is not None:
        from gpfn.call.rows import encode_rows

        return encode_rows(result, subject, payload, contract)  # type: ignore[arg-type] # arrays
    return encode_result(
        result,
        payload,
        nonfinite=contract.nonfinite,
        output=contract.output,
        bare=contract.handler is None and contract.after is None,
    )


def _batch_steps(
    contract: Contract, payloads: tuple[Payload, ...], form: str, call: Call, stages: Stages
) -> Steps[_Answered]:
    """Answer each event of a batch; one that fails gets an error event in its place."""
    joint = None
    if contract.handler is None and len(payloads) > 1:
        from gpfn.call.together import joint_of  # few calls are batches

        joint = joint_of(contract)
    asking = contract if joint is None else contract.asking(joint.ask)
    members = [_member_steps(asking, payload, call, stages) for payload in payloads]
    answers: list[tuple[Event, BaseException | None]] = []
    if joint is None:
        for steps in members:
            answers.append((yield from steps))  # noqa: PERF401 - no comprehension waits
    else:
        answers = yield from joint.gather(members, stages)
    stages.begin("encode")
    message = event_message([event for event, _ in answers], form)
    failures = tuple([error for _, error in answers if error is not None])
    return message, form == "batch", failures, None


def _member_steps(
    contract: Contract, payload: Payload, call: Call, stages: Stages
) -> Steps[tuple[Event, BaseException | None]]:
    """Answer one event of a batch; return the answer, and the error that it tells if it does."""
    event = payload.event
    assert event is not None, "a batch holds events"  # noqa: S101 - receive() made them so
    try:
        body = yield from _body_steps(contract, payload, call, stages)
        return to_event(event, _without_headers(body), contract.stamp), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are answered
        _begin_trace_in_user_code(error)
        return error_event(event, error, contract.stamp), error


def _without_headers(body: ResultBody | Event | Message) -> ResultBody | Event:
    """Return what stands in an event where a function answered with a message."""
    return ResultBody(bytes(body.body), body.content_type) if isinstance(body, Message) else body


def _apply(callback: Callback, value: Any, extras: Mapping[str, object], arrays: bool) -> object:
    """Call a user's function with one value, or with named arrays."""
    if arrays:
        return callback.with_arrays(value, extras)
    return callback.with_value(value, extras)


def _begin_trace_in_user_code(error: BaseException) -> None:
    """Cut off the trace's frames of this package, when somebody else's come after them."""
    trace = error.__traceback__
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__")).startswith("gpfn.call."):
            error.__traceback__ = trace
            return
        trace = trace.tb_next
