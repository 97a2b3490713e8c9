"""The bytes that an Fn server sends down a function's socket.

They equal recordings of a real server. Go's net/http writes the first headers in its own order and
sorts the others; a body's length is not known to it, so the body is chunked, in the pieces that its
buffers of 4 kB and 32 kB make.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from gpfn.hosts.host import Invocation

__all__ = ["RequestHead", "encode_request", "head_of"]

_FIRST_CHUNK, _NEXT_CHUNKS = 3916, 32768  # what is left of 4096 behind the head; io.Copy's buffer
_GO = "Go-http-client/1.1"
_GZIP = ("Accept-Encoding", "gzip")  # which Go asks for behind all others, if nobody else has
_ID, _DEADLINE = "Fn-Call-Id", "Fn-Deadline"
_SET_BY_THE_SERVER = ("User-Agent", _ID, _DEADLINE, "Expect")
_HOP = frozenset(
    (
        "Connection",
        "Content-Length",
        "Content-Type",
        "Host",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    )
)
_FORBIDDEN = re.compile(r"[\r\n\0]")


class RequestHead(NamedTuple):
    """The head of ``POST /call`` around its id and its deadline, which each call has its own of."""

    first: bytes
    between: bytes
    last: bytes

    def whole(self, identifier: str, seconds: float, body: bytes) -> bytes:
        """Return the bytes of a call that has so many seconds."""
        deadline = _deadline(int(time.time() + seconds))
        own = identifier.encode(), deadline
        return b"".join((self.first, own[0], self.between, own[1], self.last, _chunked(body)))


def encode_request(request: Invocation, identifier: str, *, by_fn: bool = True) -> bytes:
    """Return the bytes of ``POST /call`` as they go down the container's socket; see `head_of`."""
    return head_of(request, by_fn=by_fn).whole(identifier, request.timeout, request.body)


def head_of(request: Invocation, *, by_fn: bool = True) -> RequestHead:
    """Return the head of ``POST /call`` as it goes down the container's socket.

    Of the body only its length is looked at, and of a call that is no trigger's only whether
    there is one; so the head can be used again for a call with the same headers.

    ``by_fn`` says that Fn's own client asks, which asks for gzip too. What of the headers is for
    the caller's connection alone stays behind, and so do those that the server sets itself.
    Raises ValueError for a header that cannot be one.
    """
    headers = [(_canonical(name), value) for name, value in request.headers]
    headers = [pair for pair in headers if _is_passed_on(*pair)]
    last: list[tuple[str, str]] = []
    if request.as_trigger:
        agent = _GO
        headers = [*_as_trigger(headers, request)]
        last = [_GZIP]
    else:
        agent = next((v for name, v in headers if name == "User-Agent"), _GO)
        headers = [pair for pair in headers if pair[0] not in _SET_BY_THE_SERVER]
        if by_fn:
            headers.append(_GZIP)
        elif not any(name == "Accept-Encoding" for name, _ in headers):
            last = [_GZIP]
    if request.content_type:
        headers.append(("Content-Type", request.content_type))
    headers += [(_ID, ""), (_DEADLINE, "")]
    headers.sort(key=lambda pair: pair[0])
    length = ("Transfer-Encoding", "chunked") if request.body else ("Content-Length", "0")
    first = [("Host", "localhost"), ("User-Agent", agent), length]
    begin, middle = headers.index((_ID, "")), headers.index((_DEADLINE, ""))
    return RequestHead(
        _lines("POST /call HTTP/1.1\r\n", [*first, *headers[:begin]], f"{_ID}: "),
        _lines("\r\n", headers[begin + 1 : middle], f"{_DEADLINE}: "),
        _lines("\r\n", [*headers[middle + 1 :], *last], "\r\n"),
    )


def _lines(before: str, headers: Iterable[tuple[str, str]], after: str) -> bytes:
    lines = "".join([f"{name}: {_line(value)}\r\n" for name, value in headers])
    return f"{before}{lines}{after}".encode("latin-1")


def _is_passed_on(name: str, value: str) -> bool:
    return name not in _HOP and (name != "Te" or value == "trailers")


def _as_trigger(
    headers: Iterable[tuple[str, str]], request: Invocation
) -> Iterable[tuple[str, str]]:
    """Wrap the caller's headers as an HTTP trigger does."""
    yield "Fn-Http-Method", request.method
    yield "Fn-Http-Request-Url", request.url
    yield "Fn-Intent", "httprequest"
    if request.body:
        yield "Fn-Http-H-Content-Length", str(len(request.body))
    yield from ((f"Fn-Http-H-{name}", value) for name, value in headers)


def _canonical(name: str) -> str:
    """Spell a header's name as Go does: ``ce-id`` is ``Ce-Id``."""
    return "-".join(part.capitalize() for part in _line(name).split("-"))


def _line(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError(f"a header cannot hold a line break: {text!r}")
    return text


@lru_cache(maxsize=16)
def _deadline(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)).encode()


def _chunked(body: bytes) -> bytes:
    if not body:
        return b""
    pieces, start, size = [], 0, _FIRST_CHUNK
    while start < len(body):
        piece = body[start : start + size]
        pieces += [b"%x\r\n" % len(piece), piece, b"\r\n"]
        start += size
        size = _NEXT_CHUNKS
    return b"".join([*pieces, b"0\r\n\r\n"])
