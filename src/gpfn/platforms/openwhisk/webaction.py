"""What an action's parameters may carry besides parameters: web requests, triggers, Kafka.

A web action gets the request taken apart: method, headers and path as ``__ow_*``; a JSON
object's members and the query's as parameters of their own; any other body, and every
body of a raw action, as ``__ow_body`` (base64 when the platform takes the media type for
binary: it does so for ``application/json`` in raw actions and for unknown ``+json`` types
without a charset). Here it is put together again. A trigger fired over HTTP leaves only
its headers; the Kafka feed sends ``messages``.
"""

import binascii
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gpfn.events.message import Message

if TYPE_CHECKING:
    from gpfn.function.call import Reply

__all__ = ["is_kafka", "is_web", "kafka_messages", "parameters_message", "web_reply"]

_EVENT_MARKS = ("specversion", "cloudEventsVersion")
_STRUCTURED = "application/cloudevents+json"
_HIDDEN = frozenset(("authorization", "cookie", "proxy-authorization", "x-require-whisk-auth"))
"""Headers of the caller's that are the platform's business and never go on, nor into a log."""

_UNREAL = frozenset(("connection", "content-length", "content-type", "host", "transfer-encoding"))
_STARTS_OF_JSON = ("{", "[", '"')


def is_web(parameters: Mapping[str, object]) -> bool:
    """Say whether these are the parameters of a web action's request."""
    return "__ow_method" in parameters


def is_kafka(parameters: Mapping[str, object]) -> bool:
    """Say whether these come from the Kafka feed."""
    messages = parameters.get("messages")
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(
            isinstance(message, dict) and "value" in message and "topic" in message
            for message in messages
        )
    )


def parameters_message(parameters: Mapping[str, object]) -> Message:
    """Return the message that a web request, a trigger or plain parameters stand for."""
    given = parameters.get("__ow_headers")
    headers = _headers(given if isinstance(given, Mapping) else {})
    content_type = _content_type(given if isinstance(given, Mapping) else {})
    body = parameters.get("__ow_body")
    if isinstance(body, str):
        return Message(_decoded(body, content_type), content_type, headers)
    if body is not None:  # a JSON array or number, which has no members to spread
        return Message(_json(body), content_type or "application/json", headers)
    plain = {name: value for name, value in parameters.items() if not name.startswith("__ow_")}
    if any(mark in plain for mark in _EVENT_MARKS):
        return Message(_json(plain), _STRUCTURED, headers)
    if not plain and is_web(parameters):
        return Message(b"", content_type, headers)
    # a form's fields have become parameters like a JSON object's members
    return Message(_json(plain), "application/json", headers)


def kafka_messages(parameters: Mapping[str, object]) -> Iterator[Message]:
    """Yield a message for each of the feed's; record headers do not get through it."""
    messages = parameters["messages"]
    assert isinstance(messages, list), "is_kafka() has looked"  # noqa: S101
    for message in messages:
        value = message["value"]
        text = value.encode() if isinstance(value, str) else _json(value)
        yield Message(text, "application/json")


def web_reply(reply: "Reply") -> dict[str, object]:
    """Return a reply as a web action's: status, headers and a body.

    JSON goes as a value, other text as it is, anything else as base64: the platform
    decodes what its media type says is binary.
    """
    body, content_type = bytes(reply.message.body), reply.message.content_type
    headers: dict[str, object] = {"content-type": content_type or "application/octet-stream"}
    for name, value in reply.message.headers:
        earlier = headers.get(name)
        headers[name] = value if earlier is None else [*_listed(earlier), value]
    return {"statusCode": reply.status, "headers": headers, "body": _web_body(body, content_type)}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _web_body(body: bytes, content_type: str) -> object:
    base = content_type.partition(";")[0].strip().lower()
    if base == "application/json" or base.endswith("+json"):
        import orjson

        return orjson.loads(body) if body else ""
    if base.startswith("text/"):
        return body.decode("utf-8", "replace")
    return binascii.b2a_base64(body, newline=False).decode()


def _headers(given: Mapping[object, object]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.lower(), value)
        for name, value in given.items()
        if isinstance(name, str)
        and isinstance(value, str)
        and name.lower() not in _HIDDEN
        and name.lower() not in _UNREAL
    )


def _content_type(given: Mapping[object, object]) -> str:
    for name, value in given.items():
        if isinstance(name, str) and name.lower() == "content-type" and isinstance(value, str):
            return value
    return ""


def _decoded(body: str, content_type: str) -> bytes:
    """Undo the platform's base64 where there is one.

    Whether there is, depends on a table of media types inside the platform. For text it
    never is; JSON shows by its first character; anything else is base64 when it can be.
    """
    base = content_type.partition(";")[0].strip().lower()
    is_json = base == "application/json" or base.endswith("+json")
    if base.startswith("text/") or (is_json and body.lstrip().startswith(_STARTS_OF_JSON)):
        return body.encode()
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except (binascii.Error, ValueError):
        return body.encode()


def _json(value: object) -> bytes:
    import orjson

    return orjson.dumps(value)
