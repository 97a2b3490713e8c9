"""The bytes that an Fn server sends to a container, and how it reads the reply.

Made to equal recordings of a real server: Go's net/http writes the first headers in its
own order and the others sorted; a body is of unknown length and therefore chunked, in
the pieces that its 4 kB and 32 kB buffers make.
"""

import re
import secrets
import time
from collections.abc import Iterable

from gpfn.invoke.platform import Answer, Request

__all__ = ["call_id", "decap", "encode_request"]

_FIRST_CHUNK, _NEXT_CHUNKS = 3916, 32768  # what is left of 4096 behind the head; io.Copy's buffer
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_KEPT_BY_TRIGGERS = ("content-type", "fn-call-id")
_FORBIDDEN = re.compile(r"[\r\n\0]")


def call_id() -> str:
    """Return a new id of the form that Fn gives to calls."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ULID[number >> shift & 31] for shift in range(125, -1, -5))


def encode_request(request: Request, identifier: str) -> bytes:
    """Return the bytes of ``POST /call`` as they go down the container's socket."""
    agent = "Go-http-client/1.1"
    headers = [(_canonical(name), value) for name, value in request.headers]
    if request.as_trigger:
        headers = [*_as_trigger(headers, request)]
    else:
        agent = next((v for name, v in headers if name == "User-Agent"), agent)
        headers = [pair for pair in headers if pair[0] != "User-Agent"]
        headers.append(("Accept-Encoding", "gzip"))
    if request.content_type:
        headers.append(("Content-Type", request.content_type))
    headers += [("Fn-Call-Id", identifier), ("Fn-Deadline", _deadline(request.timeout))]
    headers.sort(key=lambda pair: pair[0])
    length = ("Transfer-Encoding", "chunked") if request.body else ("Content-Length", "0")
    first = [("Host", "localhost"), ("User-Agent", agent), length]
    last = [("Accept-Encoding", "gzip")] if request.as_trigger else []
    head = "".join(f"{name}: {_line(value)}\r\n" for name, value in first + headers + last)
    return f"POST /call HTTP/1.1\r\n{head}\r\n".encode("latin-1") + _chunked(request.body)


def _as_trigger(headers: Iterable[tuple[str, str]], request: Request) -> Iterable[tuple[str, str]]:
    """Wrap the caller's headers as an HTTP trigger does."""
    yield "Fn-Http-Method", "POST"
    yield "Fn-Http-Request-Url", "http://127.0.0.1:8080/t/app/trigger"
    yield "Fn-Intent", "httprequest"
    if request.body:
        yield "Fn-Http-H-Content-Length", str(len(request.body))
    yield from ((f"Fn-Http-H-{name}", value) for name, value in headers)


def decap(answer: Answer) -> Answer:
    """Return what the caller of an HTTP trigger gets for the container's answer."""
    status, headers = answer.status, []
    for name, value in answer.headers:
        if name == "fn-http-status" and value.isdecimal():
            status = int(value)
        elif name.startswith("fn-http-h-"):
            headers.append((name.removeprefix("fn-http-h-"), value))
        elif name in _KEPT_BY_TRIGGERS:
            headers.append((name, value))
    return Answer(status, answer.body, tuple(headers), answer.call_id)


def _canonical(name: str) -> str:
    """Spell a header's name as Go does: ``ce-id`` is ``Ce-Id``."""
    return "-".join(part.capitalize() for part in _line(name).split("-"))


def _line(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError(f"a header cannot hold a line break: {text!r}")
    return text


def _deadline(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


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
