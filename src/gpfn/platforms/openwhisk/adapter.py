"""A function as an OpenWhisk action: parameters in, a dictionary out."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gpfn.events.message import Message
from gpfn.function.call import Call, Reply
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.webaction import (
    is_kafka,
    is_web,
    kafka_messages,
    parameters_message,
    web_reply,
)

if TYPE_CHECKING:
    from gpfn.function.function import Function

__all__ = ["OpenWhiskMain", "answer_parameters"]


class OpenWhiskMain:
    """``main = f.openwhisk``: what the stock Python runtime and ours call with parameters.

    Parameters that are a structured CloudEvent give an event, a web action's request a
    web reply, Kafka's messages a list of results, any others what the function makes of
    them as JSON. A failure gives ``{"error": {…}}``, which OpenWhisk shows as an
    application error and which keeps the container warm.
    """

    def __init__(self, function: "Function") -> None:
        self.function = function

    def __call__(self, args: Mapping[str, object] | None = None) -> dict[str, object]:
        """Answer one activation; never raises."""
        context = {
            "activation_id": os.environ.get("__OW_ACTIVATION_ID", ""),
            "deadline": os.environ.get("__OW_DEADLINE", ""),
        }
        return answer_parameters(self.function, args or {}, Activation.from_run(context))


def answer_parameters(
    function: "Function", parameters: object, activation: Activation
) -> dict[str, object]:
    """Return the action's result for its parameters, an object or an array."""
    call = Call(activation.id, activation.deadline, "openwhisk")
    if not isinstance(parameters, Mapping):
        return _result(function.answer(_array_message(parameters), call))
    if is_kafka(parameters):
        answers = [_result(function.answer(part, call)) for part in kafka_messages(parameters)]
        return {"results": answers}
    reply = function.answer(parameters_message(parameters), call)
    return web_reply(reply) if is_web(parameters) else _result(reply)


def _array_message(parameters: object) -> Message:
    """An array of events is a batch; any other array is plain data."""
    import orjson

    is_batch = isinstance(parameters, list) and all(
        isinstance(item, dict) and "specversion" in item for item in parameters
    )
    media_type = "application/cloudevents-batch+json" if is_batch else "application/json"
    return Message(orjson.dumps(parameters), media_type)


def _result(reply: Reply) -> dict[str, object]:
    """Return the reply as the dictionary that an action must give; anything else is ``result``.

    An event in binary mode cannot come out of plain parameters, so there are no headers.
    """
    import orjson

    body, media_type = reply.message.body, reply.message.content_type.partition(";")[0]
    if not len(body):
        return {}
    if media_type == "application/json" or media_type.endswith("+json"):
        value = orjson.loads(body)
        return value if isinstance(value, dict) else {"result": value}
    if media_type.startswith("text/"):
        return {"result": str(body, "utf-8", "replace")}
    from base64 import b64encode

    return {"result": b64encode(body).decode(), "datacontenttype": media_type}
