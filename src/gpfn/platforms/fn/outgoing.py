"""A reply as Fn lets it through: three statuses on the socket, everything else inside.

The agent knows 200, 502 (function failed; the body is dropped) and 504 (timed out; the
body is dropped). Any other status kills the container. An HTTP trigger restores the
status from Fn-Http-Status and the headers from Fn-Http-H-*; ``fn invoke`` cannot.
docs/errors.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpfn import __version__
from gpfn.errors import CallerError
from gpfn.function.call import Reply
from gpfn.platforms.fn.incoming import PREFIX

__all__ = ["reply_headers", "socket_status"]

_DROPPED = frozenset(
    ("connection", "content-length", "fn-call-id", "keep-alive", "transfer-encoding", "upgrade")
)
"""Headers that are not a function's to set; the agent adds Fn-Call-Id itself."""

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
    if message.content_type:
        headers.append(("Content-Type", message.content_type))
    if by_trigger:
        headers.extend(_wrapped(message.headers, reply.status))
    else:
        headers.extend(h for h in message.headers if h[0].lower() not in _DROPPED)
    return headers


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
