"""What the agent sends down the socket, as a message and the circumstances of its call.

By ``fn invoke`` the caller's headers come as they were sent; by an HTTP trigger each
comes as ``Fn-Http-H-<Name>``, beside those of the agent itself, and only Content-Type
stays where it was.

A reply as Fn lets it through: three statuses on the socket, everything else inside.

The agent knows 200, 502 (function failed; the body is dropped) and 504 (timed out; the
body is dropped). Any other status kills the container. An HTTP trigger restores the
status from Fn-Http-Status and the headers from Fn-Http-H-*; ``fn invoke`` cannot.
docs/errors.md has the table.

Fn-Deadline: when the agent stops waiting, in RFC 3339 and whole seconds.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gpfn import __version__
from gpfn.call.contract import Call, Reply
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import CallerError
from gpfn.media import EVENT, JSON, TEXT, essence
from gpfn.message import Message
from gpfn.timestamps import epoch_seconds

__all__ = [
    "PREFIX",
    "FnCall",
    "Headers",
    "parse_deadline",
    "read_call",
    "reply_headers",
    "socket_status",
    "stated_type",
    "unwrap",
]

PREFIX = "fn-http-h-"
"""What an HTTP trigger puts before the names of the caller's headers."""

_NO_PARAMETERS: Mapping[str, object] = {}
_UNTYPED = ("", TEXT, JSON)

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

# What a NamedTuple's own constructor does, without the Python function around it.
_new: Any = tuple.__new__


class FnCall(NamedTuple):
    """One call: the message with the caller's headers, and how it came."""

    message: Message
    call: Call
    by_trigger: bool
    raw: Headers


def read_call(headers: Headers, body: bytes | memoryview) -> FnCall:
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
    message = _new(Message, (body, content_type, tuple(given)))
    call = _new(Call, (call_id, deadline, "fn", _NO_PARAMETERS))
    incoming: FnCall = _new(FnCall, (message, call, by_trigger, headers))
    return incoming


def unwrap(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what an HTTP trigger wrapped: the caller's headers go before the agent's."""
    inner = [(name[len(PREFIX) :], value) for name, value in headers if name.startswith(PREFIX)]
    inner = [header for header in inner if header[0] not in _OF_THE_CONNECTION]
    taken = {name for name, _ in inner}
    outer = [h for h in headers if h[0] not in taken and not h[0].startswith(PREFIX)]
    return inner + outer


def _as_event(content_type: str, headers: list[tuple[str, str]]) -> str:
    """Honour ``fn invoke --fn-intent cloudevent``, which cannot say the media type as well."""
    plain = essence(content_type) in _UNTYPED
    if plain and not any(name == "ce-specversion" for name, _ in headers):
        return EVENT
    return content_type


_DROPPED = frozenset(
    (
        "connection",
        "content-length",
        "content-type",  # which stands in front already
        "fn-call-id",  # which the agent adds itself
        "fn-fdk-runtime",  # which the FDK's Response sets, this and the next
        "fn-fdk-version",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers of a reply that are not a function's to set, or were set already."""

_OURS = ("Fn-Fdk-Version", f"gpfn/{__version__}")


def socket_status(reply: Reply, *, by_trigger: bool) -> int:
    """Return the status for the socket: 200, 502 or 504.

    By trigger always 200, since the status goes inside. By invoke an error of the
    caller's is answered with 200 as well, or its document would be lost; a status that
    the function chose itself is kept where the agent knows it, as the stock FDK does.
    """
    if by_trigger:
        return 200
    if reply.error is None:
        return reply.status if reply.status in (502, 504) else 200
    if reply.status == 504:
        return 504
    return 200 if isinstance(reply.error, CallerError) else 502


def reply_headers(reply: Reply, *, by_trigger: bool) -> list[tuple[str, str]]:
    """Return the header lines of a reply, without its Content-Length."""
    message = reply.message
    headers = [_OURS]
    content_type = message.content_type or stated_type(message.headers)
    if content_type:
        headers.append(("Content-Type", content_type))
    if by_trigger:
        headers.extend(_wrapped(message.headers, reply.status))
    else:
        headers.extend(h for h in message.headers if h[0].lower() not in _DROPPED)
    return headers


def stated_type(headers: Iterable[tuple[str, str]]) -> str:
    """Return the media type that a function has put among its headers, if it has."""
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _wrapped(headers: Iterable[tuple[str, str]], status: int) -> list[tuple[str, str]]:
    wrapped = []
    for name, value in headers:
        lower = name.lower()
        if lower == "fn-http-status":
            status = _status(value, status)
        elif lower.startswith(PREFIX):
            wrapped.append((name, value))
        elif lower not in _DROPPED:
            wrapped.append((f"Fn-Http-H-{name}", value))
    return [("Fn-Http-Status", str(status)), *wrapped]


def _status(text: str, otherwise: int) -> int:
    """Return a status that the function wrote itself; the agent panics at an absurd one."""
    fits = len(text) == 3 and text.isdecimal() and "200" <= text <= "599"
    return int(text) if fits else otherwise


def parse_deadline(text: str) -> Deadline:
    """Return the deadline that an Fn-Deadline header states; NEVER when it states none.

    The agent cuts the fraction of the second off, so that it waits up to one second longer
    than it says; it is taken at its word. Fractions and offsets from UTC are understood,
    though no agent sends them.
    """
    try:
        return Deadline.at_epoch(epoch_seconds(text))
    except (ValueError, OverflowError):
        return NEVER  # a deadline that nobody can read is no reason to refuse the call
