"""What the agent sends down the socket, as a message and the circumstances of its call.

By ``fn invoke`` the caller's headers come as they were sent; by an HTTP trigger each
comes as ``Fn-Http-H-<Name>``, beside those of the agent itself, and only Content-Type
stays where it was.
"""

from typing import NamedTuple

from gpfn.deadline import NEVER
from gpfn.events.message import Message
from gpfn.function.call import Call
from gpfn.platforms.fn.deadline import parse_deadline

__all__ = ["PREFIX", "Headers", "Incoming", "read_call", "unwrap"]

PREFIX = "fn-http-h-"
"""What an HTTP trigger puts before the names of the caller's headers."""

_CLOUDEVENT = "application/cloudevents+json"
_UNTYPED = ("", "text/plain", "application/json")

_OF_THE_CONNECTION = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

_TOLD = frozenset(("content-type", "fn-call-id", "fn-deadline", "fn-intent"))

Headers = tuple[tuple[str, str], ...]


class Incoming(NamedTuple):
    """One call: the message with the caller's headers, and how it came."""

    message: Message
    call: Call
    by_trigger: bool
    raw: Headers


def read_call(headers: Headers, body: bytes | memoryview) -> Incoming:
    """Return the call that a request's ``headers`` (lower-case) and ``body`` make."""
    kept: list[tuple[str, str]] = []
    content_type = intent = call_id = ""
    deadline = NEVER
    for header in headers:
        name, value = header
        if name in _TOLD:
            if name == "fn-call-id":
                call_id = value
            elif name == "fn-deadline":
                deadline = parse_deadline(value)
            elif name == "fn-intent":
                intent = value
            else:
                content_type = value
                continue
        elif name in _OF_THE_CONNECTION:
            continue
        kept.append(header)
    by_trigger = intent == "httprequest"
    given = unwrap(kept) if by_trigger else kept
    if intent == "cloudevent":
        content_type = _as_event(content_type, given)
    message = Message(body, content_type, tuple(given))
    return Incoming(message, Call(call_id, deadline, "fn"), by_trigger, headers)


def unwrap(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what an HTTP trigger wrapped: the caller's headers go before the agent's."""
    inner = [(name[len(PREFIX) :], value) for name, value in headers if name.startswith(PREFIX)]
    inner = [header for header in inner if header[0] not in _OF_THE_CONNECTION]
    taken = {name for name, _ in inner}
    outer = [h for h in headers if h[0] not in taken and not h[0].startswith(PREFIX)]
    return inner + outer


def _as_event(content_type: str, headers: list[tuple[str, str]]) -> str:
    """Honour ``fn invoke --fn-intent cloudevent``, which cannot say the media type as well."""
    plain = content_type.partition(";")[0].strip().lower() in _UNTYPED
    if plain and not any(name == "ce-specversion" for name, _ in headers):
        return _CLOUDEVENT
    return content_type
