"""A function as an OpenWhisk action: a dict of parameters in, a dict out."""

import os
from collections.abc import Mapping

from gpfn.deadline import NEVER, Deadline
from gpfn.events.message import Message
from gpfn.function.call import Call, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.function.function import Function

__all__ = ["OpenWhiskMain"]

_EVENT_MARKS = ("specversion", "cloudEventsVersion")


class OpenWhiskMain:
    """``main = f.openwhisk``: what the stock Python runtime and ours call with parameters.

    Parameters that are a structured CloudEvent give an event, any others what the
    function makes of them as JSON; a failure gives ``{"error": {…}}``, which OpenWhisk
    shows as an application error and which keeps the container warm.
    """

    def __init__(self, function: "Function") -> None:
        self.function = function

    def __call__(self, args: Mapping[str, object] | None = None) -> dict[str, object]:
        """Answer one activation; never raises."""
        return _result(self.function.answer(_message(args or {}), _call()))


def _message(args: Mapping[str, object]) -> Message:
    import orjson

    is_event = any(mark in args for mark in _EVENT_MARKS)
    body = {name: value for name, value in args.items() if not name.startswith("__ow_")}
    media_type = "application/cloudevents+json" if is_event else "application/json"
    return Message(orjson.dumps(body), media_type)


def _call() -> Call:
    """Return the activation's circumstances, which the runtime puts into the environment."""
    deadline = os.environ.get("__OW_DEADLINE", "")
    until = Deadline.at_epoch(int(deadline) / 1000) if deadline.isdecimal() else NEVER
    return Call(os.environ.get("__OW_ACTIVATION_ID", ""), until, "openwhisk")


def _result(reply: Reply) -> dict[str, object]:
    """Return the reply as the dict that an action must give; anything else is ``result``."""
    import orjson

    body, media_type = reply.message.body, reply.message.content_type.partition(";")[0]
    if not body:
        return {}
    if media_type == "application/json" or media_type.endswith("+json"):
        value = orjson.loads(body)
        return value if isinstance(value, dict) else {"result": value}
    if media_type.startswith("text/"):
        return {"result": str(body, "utf-8", "replace")}
    from base64 import b64encode

    return {"result": b64encode(body).decode(), "datacontenttype": media_type}
