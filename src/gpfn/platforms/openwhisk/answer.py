"""From an activation's parameters to its result, by way of a function's answer; and its log.

The platform parses and writes JSON already: parameters are handed to the call as they were
parsed, and the text of a reply becomes the result's text without being parsed again.

The log's records are those of :mod:`gpfn.log`. Calls go to stdout, since some of the
platform's log stores lose stderr; failures that are not the caller's go to stderr with
their trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from gpfn.call.contract import Answering, Call, Reply
from gpfn.call.costs import Stages
from gpfn.call.decode import Parsed
from gpfn.log import Log, Sink, resident, trace_id
from gpfn.message import Message
from gpfn.platforms.load import open_function
from gpfn.platforms.openwhisk.activation import Activation

__all__ = ["CallLog", "answer_parameters", "together", "trace_of", "write_streams"]

_NO_MEMORY: Mapping[str, int] = {}

# What a NamedTuple's own constructor does, without the Python function around it.
_call: Callable[..., Call] = tuple.__new__


def answer_parameters(
    function: Answering, parameters: object, activation: Activation, log: CallLog
) -> bytes:
    """Return the JSON text of the action's result for its parameters, an object or an array.

    The text is an object, or an array where parameters were one and the answer is.
    """
    began = perf_counter()
    call = _call(Call, (activation.id, activation.deadline, "openwhisk", _own(parameters)))
    replies: list[Reply] = []

    def answer(request: Message | Parsed) -> Reply:
        replies.append(function.answer(request, call))
        return replies[-1]

    text, trace = b"", ""
    if not isinstance(parameters, dict):
        text = _json(answer(Parsed(parameters)), b"[{")
    elif call.parameters is parameters:
        text = _json(answer(Parsed(_input(parameters), mixed=True)), b"{")
        trace = trace_of(parameters) if "traceparent" in parameters else ""
    else:
        text, trace = _answer_special(parameters, answer), trace_of(parameters)
    log.function = function.name
    whole = replies[0] if len(replies) == 1 else together(replies)
    log.call(call.id, whole, perf_counter() - began, log.received, len(text), trace=trace)
    if whole.error is not None or whole.failures:
        for reply in replies:
            reply.release()
    return text


def _own(parameters: object) -> Mapping[str, object]:
    """Return what a function may ask for: the very parameters when they hold nothing else."""
    if not isinstance(parameters, dict):
        return {}
    if not _is_special(parameters):
        return parameters
    from gpfn.platforms.openwhisk import web

    return web.without_request(parameters)


def _input(parameters: Mapping[str, object]) -> Mapping[str, object]:
    """Return what counts of plain parameters: all of them, unless they are an event."""
    if "specversion" in parameters or "cloudEventsVersion" in parameters:
        from gpfn.platforms.openwhisk import web

        return web.only_event(parameters)
    return parameters


def _answer_special(
    parameters: Mapping[str, object], answer: Callable[[Message | Parsed], Reply]
) -> bytes:
    """Answer a web action's request, a trigger's, or what the Kafka feed sent."""
    from gpfn.platforms.openwhisk import web

    if web.is_kafka(parameters):
        parts = [_json(answer(part), b"{") for part in web.kafka_requests(parameters)]
        return b'{"results":[%b]}' % b",".join(parts)
    reply = answer(web.request_of(parameters))
    return web.web_reply(reply) if web.is_web(parameters) else _json(reply, b"{")


def _is_special(parameters: Mapping[str, object]) -> bool:
    """Say whether they may be a web action's request, a trigger's, or from the Kafka feed."""
    if "messages" in parameters:
        return True
    for name in parameters:  # noqa: SIM110 - a loop is twice as fast
        if name[:5] == "__ow_":
            return True
    return False


def _json(reply: Reply, kinds: bytes) -> bytes:
    """Return the reply as JSON text of one of ``kinds``; anything else becomes ``result``.

    An event in binary mode cannot come out of plain parameters, so there are no headers.
    """
    body, content_type = reply.message.body, reply.message.content_type
    if not len(body):
        return b"{}"
    if reply.is_json:
        text = bytes(body)
        return text if text[0] in kinds else b'{"result":%b}' % text
    return _other_json(bytes(body), content_type, kinds)


def _other_json(body: bytes, content_type: str, kinds: bytes) -> bytes:
    """Return what a function answered with bytes of its own, as JSON text."""
    import orjson

    from gpfn.json_exact import loads_loosely, without_mark

    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            loads_loosely(body)
        except orjson.JSONDecodeError:
            return orjson.dumps({"result": body.decode("utf-8", "replace")})
        text = without_mark(body).strip(b" \t\r\n")
        return text if text[0] in kinds else b'{"result":%b}' % text
    if media_type.startswith("text/"):
        return orjson.dumps({"result": body.decode("utf-8", "replace")})
    from base64 import b64encode

    return orjson.dumps({"result": b64encode(body).decode(), "datacontenttype": media_type})


def write_streams(data: bytes, failure: bool) -> None:
    """Write lines to sys.stdout or sys.stderr, whatever the runtime has put there."""
    stream = sys.stderr if failure else sys.stdout
    try:
        stream.write(data.decode())
    except (OSError, ValueError, AttributeError):
        return  # a log that cannot be written must not cost a call


def trace_of(parameters: object) -> str:
    """Return the W3C trace id of a web action's request or of a structured event, or ""."""
    if not isinstance(parameters, Mapping):
        return ""
    found = parameters.get("__ow_headers", parameters if "specversion" in parameters else None)
    if not isinstance(found, Mapping):
        return ""
    names = ("traceparent", "ce-traceparent")
    return trace_id([(n, value) for n in names if isinstance(value := found.get(n), str)])


class CallLog(Log):
    """Writes the log of one process's activations."""

    __slots__ = ("received",)

    def __init__(self, sink: Sink = write_streams, form: str = "") -> None:
        """``form`` is what GPFN_LOG says unless it is given; raises SetupError."""
        super().__init__("openwhisk", sink=sink, form=form)
        self.received = 0  # bytes of the next activation, where the runtime knows them
        if self.form == "json":
            Stages.probe = resident

    def started(
        self,
        function: Answering,
        import_seconds: float = 0.0,
        memory: Mapping[str, int] = _NO_MEMORY,
    ) -> None:
        """Open a function's model and tell how long it took to get ready.

        ``memory`` is resident bytes after the stages before that.
        """
        self.function = function.name
        seconds = {"import": import_seconds}
        sizes = {**memory}
        note = open_function(function, self, seconds, sizes)
        self.ready(seconds, note, sizes)


def together(replies: Sequence[Reply]) -> Reply:
    """Return several replies as one: stages are added up; of their memory the last counts."""
    times: dict[str, float] = {}
    memory: dict[str, int] = {}
    failures: list[BaseException] = []
    for reply in replies:
        for stage, spent in reply.stages:
            times[stage] = times.get(stage, 0.0) + spent
        memory.update(reply.memory)
        failures += [f for f in (reply.error, *reply.failures) if f is not None]
    status = max((reply.status for reply in replies), default=200)
    stages, sizes = tuple(times.items()), tuple(memory.items())
    return Reply(Message(b""), status, stages, None, tuple(failures), sizes)
