"""From what came of a call to what the caller of Fn gets.

A function's server answers 200, 502 or 504; of the last two no body is passed on, and any other
status is no answer (api/agent/agent.go, writeResp). A failure has a status and a message of the
server's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpfn.hosts.fn import unwrap_trigger
from gpfn.hosts.host import InvocationResult
from gpfn.http.loop.exchange import Response
from gpfn.http.writer import check_header
from gpfn.local.fn.replies import message_reply

if TYPE_CHECKING:
    from gpfn.local.calling import CallFailure, CallOutcome, ProcessAnswer

__all__ = ["FAILURES", "invoked", "kept_back", "refused", "triggered"]

_INIT_FAILED = (
    502,
    "Container failed to initialize, please ensure you are using the latest fdk and check the logs",
)
_INIT_TIMED_OUT = (
    504,
    (
        "Container initialization timed out, please ensure you are using the latest fdk"
        " and check the logs"
    ),
)
_TIMED_OUT = (504, "Timed out")
_BROKEN = (502, "error receiving function response")
_INVALID = (502, "invalid function response")

FAILURES: dict[CallFailure, tuple[int, str]] = {
    "busy": (503, "Timed out - server too busy"),
    "removed": (404, "Fn not found"),
    "start failed": _INIT_FAILED,
    "start timed out": _INIT_TIMED_OUT,
    "init failed": _INIT_FAILED,  # not on Fn: there is no /init
    "init timed out": _INIT_TIMED_OUT,
    "timed out": _TIMED_OUT,
    "crashed": _BROKEN,
    "broken": _BROKEN,
    "memory": _BROKEN,  # the kernel ends the container in the middle of the call
}
"""By why there is no answer: the status and the message that an Fn server sends."""

_STATUSES = {502: (502, "function failed"), 504: _TIMED_OUT}
"""By the status of a function's server, what an Fn server makes of it; 200 passes."""

_HOP = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    )
)
"""What the connection to the caller has of its own."""

_MOST_TOLD = 500

_RETRY = (("Retry-After", "15"),)
_SNIFFED = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
)
_SNIFFED_BYTES = 512
_BINARY = frozenset([*range(9), 11, *range(14, 27), *range(28, 32)])  # WHATWG MIME Sniffing, 3


def refused(outcome: CallOutcome, identifier: str) -> Response:
    """Return the reply to a call of which there is no answer to pass on."""
    answer = outcome.answer
    if answer is not None and outcome.failure in ("", "broken"):
        status, message = _STATUSES.get(answer.status, _INVALID)
    else:
        status, message = FAILURES[outcome.failure or "broken"]
    retry = _RETRY if status == 503 else ()
    return message_reply(status, message, (("Fn-Call-Id", identifier), *retry))


def kept_back(answer: ProcessAnswer | None) -> str:
    """Return what a function said of its failure, which its caller is not given."""
    if answer is None or answer.status == 200:
        return ""
    text = answer.body[:_MOST_TOLD].decode(errors="replace").strip()
    return f"the function answered {answer.status}" + (f": {text}" if text else "")


def invoked(answer: ProcessAnswer, identifier: str) -> Response:
    """Return the reply of ``/invoke``: the function's body and headers, always with 200."""
    return _response(200, answer.headers, answer.body, identifier)


def triggered(answer: ProcessAnswer, identifier: str) -> Response:
    """Return the reply of a trigger: the status and headers that the function has wrapped.

    A status that HTTP does not have breaks an Fn server's reply: 500 without a body.
    """
    result = InvocationResult(answer.status, b"", answer.headers)
    wrapped = unwrap_trigger(result)
    if not 200 <= wrapped.status <= 999:
        return Response(500, (("Fn-Call-Id", identifier),), ())
    return _response(wrapped.status, wrapped.headers, answer.body, identifier)


def _response(
    status: int, headers: tuple[tuple[str, str], ...], body: bytes, identifier: str
) -> Response:
    kept = _passed_on(headers)
    if body and not any(name == "Content-Type" for name, _ in kept):
        kept = tuple(sorted((*kept, ("Content-Type", _sniffed(body)))))
    return Response(status, kept, (body,), (("Fn-Call-Id", identifier),))


@lru_cache(maxsize=64)
def _passed_on(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a function that its caller gets; most calls have the same."""
    kept = [
        (_canonical(name), value)
        for name, value in headers
        if name not in _HOP and _fits(name, value)
    ]
    return tuple(sorted(kept, key=lambda pair: pair[0]))


def _fits(name: str, value: str) -> bool:
    """Say whether a function's header can be one: its name and value come from outside."""
    try:
        check_header(name, value)
        value.encode("latin-1")
    except ValueError:
        return False
    return True


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _sniffed(body: bytes) -> str:
    """Return the media type that Go finds for a body without one, for the usual kinds."""
    for begin, media_type in _SNIFFED:
        if body.startswith(begin):
            return media_type
    is_text = _BINARY.isdisjoint(body[:_SNIFFED_BYTES])
    return "text/plain; charset=utf-8" if is_text else "application/octet-stream"
