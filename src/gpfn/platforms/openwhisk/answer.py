"""From an activation's parameters to its result, by way of a function's answer."""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.call.contract import Call, Reply
from gpfn.message import Message
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.log import CallLog
from gpfn.platforms.openwhisk.web import (
    is_kafka,
    is_web,
    json_bytes,
    json_value,
    kafka_messages,
    parameters_message,
    web_reply,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.function.function import Function

__all__ = ["Result", "answer_parameters", "open_function"]

Result = dict[str, object] | list[object]


def open_function(
    function: Function,
    log: CallLog,
    import_seconds: float = 0.0,
    memory: Mapping[str, int] | None = None,
) -> None:
    """Open a function's model and log the start; when it fails, each call says so and tries again.

    ``memory`` is resident bytes after the stages of the start until here.
    """
    opened = None
    try:
        opened = function.open()
    except Exception as error:  # noqa: BLE001 - a model may be anybody's code
        log.failed(error)
    log.started(function.name, import_seconds, opened, memory)


def answer_parameters(
    function: Function, parameters: object, activation: Activation, log: CallLog
) -> Result:
    """Return the action's result for its parameters, an object or an array."""
    call = Call(activation.id, activation.deadline, "openwhisk")
    replies: list[Reply] = []

    def answer(message: Message) -> Reply:
        replies.append(function.answer(message, call))
        return replies[-1]

    with log.activation(function.name, activation.id, replies):
        if not isinstance(parameters, Mapping):
            return _array_result(answer(_array_message(parameters)))
        if is_kafka(parameters):
            return {"results": [_result(answer(part)) for part in kafka_messages(parameters)]}
        reply = answer(parameters_message(parameters))
        return web_reply(reply) if is_web(parameters) else _result(reply)


def _array_message(parameters: object) -> Message:
    """An array of events is a batch; any other array is plain data."""
    is_batch = (
        isinstance(parameters, list)
        and bool(parameters)
        and all(isinstance(item, dict) and "specversion" in item for item in parameters)
    )
    media_type = "application/cloudevents-batch+json" if is_batch else "application/json"
    return Message(json_bytes(parameters), media_type)


def _array_result(reply: Reply) -> Result:
    """Return an array for an array where the reply is one."""
    result = _result(reply)
    inner = result.get("result")
    return inner if len(result) == 1 and isinstance(inner, list) else result


def _result(reply: Reply) -> dict[str, object]:
    """Return the reply as the dictionary that an action must give; anything else is ``result``.

    An event in binary mode cannot come out of plain parameters, so there are no headers.
    """
    body, media_type = reply.message.body, reply.message.content_type.partition(";")[0]
    if not len(body):
        return {}
    if media_type == "application/json" or media_type.endswith("+json"):
        value = json_value(body)
        return value if isinstance(value, dict) else {"result": value}
    if media_type.startswith("text/"):
        return {"result": str(body, "utf-8", "replace")}
    from base64 import b64encode

    return {"result": b64encode(body).decode(), "datacontenttype": media_type}
