"""Web actions, triggers and the Kafka feed: what parameters carry besides parameters.

A web action gets the request taken apart: method, headers and path as ``__ow_*``; a JSON
object's members, a form's fields and the query's as parameters of their own; any other
body, and every body of a raw action, as ``__ow_body``. Here it is put together again. A
trigger that was fired over HTTP leaves only its headers; the Kafka feed sends ``messages``.

The platform merges the parameters of the action, its package and the trigger into what the
caller sent. Which came from where cannot be told: in an event only known members count, and
of a function's inputs only their names; :class:`gpfn.call.contract.Call` has all of them.

``__ow_body`` and a reply's ``body`` are bytes in JSON: text goes as text, anything else as
base64, both ways, by the platform's table of media types
(:mod:`gpfn.platforms.openwhisk.media_types`). JSON goes in as base64 too (raw actions) and
out as a value.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterator, Mapping

from gpfn.call.decode import Parsed, json_bytes
from gpfn.message import Message
from gpfn.platforms.openwhisk.media_types import is_json, is_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.contract import Reply

__all__ = [
    "decode_body",
    "encode_body",
    "is_kafka",
    "is_web",
    "kafka_requests",
    "only_event",
    "request_of",
    "web_reply",
    "without_request",
]

_UNREAL = frozenset(
    (
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "x-require-whisk-auth",
    )
)
"""Headers that are the transport's or the platform's business."""

_KEYS = frozenset(("authorization", "cookie", "proxy-authorization"))
"""A trigger hands the key on with which it was fired: to OpenWhisk itself."""


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


def request_of(parameters: Mapping[str, object]) -> Message | Parsed:
    """Return the request that a web action's or a trigger's parameters stand for."""
    given = parameters.get("__ow_headers")
    named = given if isinstance(given, Mapping) else {}
    headers = _headers(named, _UNREAL if is_web(parameters) else _UNREAL | _KEYS)
    content_type = _content_type(named)
    body = parameters.get("__ow_body")
    if isinstance(body, str):
        return Message(decode_body(body, content_type), content_type, headers)
    if body is not None:  # a JSON array or number, which has no members to spread
        return Message(json_bytes(body), content_type or "application/json", headers)
    # a form's fields have become parameters like a JSON object's members
    plain: Mapping[str, object] = without_request(parameters)
    if not plain and is_web(parameters):
        return Message(b"", content_type, headers)
    binary = any(name.startswith("ce-") for name, _ in headers)  # then these are its data
    if not binary and ("specversion" in plain or "cloudEventsVersion" in plain):
        plain = only_event(plain)
    return Parsed(plain, headers, mixed=True)


def without_request(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that are none of the platform's."""
    return {name: value for name, value in parameters.items() if not name.startswith("__ow_")}


def only_event(parameters: Mapping[str, object]) -> Mapping[str, object]:
    """Return the members that are an event's: of extensions the documented, or declared ones."""
    from gpfn.events.json_format import without_others

    declared = os.environ.get("GPFN_EXTENSIONS", "")
    return without_others(parameters, [name.strip() for name in declared.split(",")])


def kafka_requests(parameters: Mapping[str, object]) -> Iterator[Message | Parsed]:
    """Yield a request for each of the feed's messages; record headers do not get through it."""
    messages = parameters["messages"]
    assert isinstance(messages, list), "is_kafka() has looked"  # noqa: S101
    for message in messages:
        value = message["value"]
        if isinstance(value, str):
            yield Message(value.encode("utf-8", "replace"), "text/plain")
        else:
            yield Parsed(value)


def web_reply(reply: Reply) -> bytes:
    """Return a reply as the JSON text of a web action's: status, headers and a body.

    A failure's stands under ``error``: the platform unwraps it for the caller and counts
    the activation among the failed.
    """
    from gpfn.json_exact import dumps

    body, content_type = bytes(reply.message.body), reply.message.content_type
    content_type = content_type or _content_type(dict(reply.message.headers))
    headers: dict[str, object] = {}
    if body:
        headers["content-type"] = _plain_json(content_type) or "application/octet-stream"
    for name, value in reply.message.headers:
        if name.lower() == "content-type":
            continue  # which is there already, and a reply has one
        earlier = headers.get(name)
        headers[name] = value if earlier is None else [*_listed(earlier), value]
    response = {
        "statusCode": reply.status,
        "headers": headers,
        "body": encode_body(body, content_type),
    }
    return dumps(response if reply.error is None else {"error": response})


def _plain_json(content_type: str) -> str:
    """Leave JSON's charset out, which it has not: the platform compares the whole type."""
    base = content_type.partition(";")[0].strip()
    return base if base.lower() == "application/json" else content_type


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _headers(
    given: Mapping[object, object], left_out: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.lower(), value)
        for name, value in given.items()
        if isinstance(name, str) and isinstance(value, str) and name.lower() not in left_out
    )


def _content_type(given: Mapping[object, object]) -> str:
    for name, value in given.items():
        if isinstance(name, str) and name.lower() == "content-type" and isinstance(value, str):
            return value
    return ""


_STARTS_OF_JSON = ("{", "[", '"')


def encode_body(body: bytes, content_type: str) -> object:
    """Return a reply's body for the platform to send as ``content_type``."""
    if not body:
        return ""
    if is_json(content_type):
        value = _json_value(body)
        # a string would go out as it is, without its quotes
        return body.decode("utf-8", "replace") if isinstance(value, str) else value
    if is_text(content_type):
        return body.decode("utf-8", "replace")
    return binascii.b2a_base64(body, newline=False).decode()


def decode_body(body: str, content_type: str) -> bytes:
    """Undo the platform's base64 where there is one.

    JSON shows by its first character, which base64 has not; what is no base64 after all is
    taken as it is.
    """
    as_json = is_json(content_type)
    if as_json and body.lstrip().startswith(_STARTS_OF_JSON):
        return _text(body)
    if not as_json and is_text(content_type):
        return _text(body)
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        return _text(body)


def _text(body: str) -> bytes:
    return body.encode("utf-8", "replace")  # half a character is none


def _json_value(body: bytes | memoryview) -> object:
    """Return what a function's reply says is JSON; what is none after all as its text."""
    from orjson import JSONDecodeError

    from gpfn.json_exact import loads

    try:
        return loads(body)
    except JSONDecodeError:
        return bytes(body).decode("utf-8", "replace")
