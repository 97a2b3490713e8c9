"""The W3C trace context that a call came with, for those that ask on in its name.

``PARENT`` is the ``traceparent`` that requests to other servers get, nothing when it is empty.
Whoever computes in a thread sets it before each call; there it holds for that thread alone.

Source: https://www.w3.org/TR/trace-context/
"""

from collections.abc import Iterable
from contextvars import ContextVar

from gpfn.log import trace_id

__all__ = ["PARENT", "parent_line", "traceparent"]

PARENT: ContextVar[str] = ContextVar("gpfn.traceparent", default="")

_FROM, _TO = 35, 55  # a parent's id and its flags, behind the trace's id


def traceparent(headers: Iterable[tuple[str, str]]) -> str:
    """Return a valid ``traceparent`` of header lines as version 00 has it, otherwise "".

    >>> traceparent([("traceparent", "cc-" + "a" * 32 + "-" + "b" * 16 + "-01-more")])
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01'
    """
    text = next((value for name, value in headers if name == "traceparent"), "")
    trace = trace_id((("traceparent", text),)) if text else ""
    return f"00-{trace}{text[_FROM:_TO]}" if trace else ""


def parent_line() -> bytes:
    """Return the line of a request's head that names the parent, its line end before it."""
    parent = PARENT.get()
    return b"\r\ntraceparent: " + parent.encode("ascii") if parent else b""
