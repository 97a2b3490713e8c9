"""The head of a response, and sending its parts without joining them.

The reason phrases of RFC 9110 are a table of ours: importing the standard library's costs
more than a cold start may.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    class Socket(Protocol):
        """The methods of a socket that are used here."""

        def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
            """Send some bytes and return how many."""

        def sendall(self, data: bytes | memoryview, /) -> None:
            """Send all of it."""


__all__ = ["REASONS", "check_header", "response_head", "send"]

_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_IOV_MAX = 1024  # buffers in one sendmsg; Linux


def response_head(
    status: int, headers: Iterable[tuple[str, str]], body_length: int, *, close: bool
) -> bytes:
    """Return the head of an HTTP/1.1 response with a Content-Length.

    Raises ValueError for a name or value that is not allowed in a header (RFC 9110, 5), and
    for one that says how the response is framed, which is decided here.
    """
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n"]
    for name, value in headers:
        check_header(name, value)
        lines.append(f"{name}: {value}\r\n")
    if status >= 200 and status != 204:
        lines.append(f"content-length: {body_length}\r\n")
    lines.append("connection: close\r\n\r\n" if close else "\r\n")
    return "".join(lines).encode("latin-1")


def check_header(name: str, value: str) -> None:
    """Raise ValueError for a header that :func:`response_head` would refuse."""
    # most names pass the first test, which is the faster one
    plain = name.isascii() and name.replace("-", "_").isidentifier()
    if not plain and (not name or not _TOKEN.issuperset(name)):
        raise ValueError(f"not a header name: {name!r}")
    if name.lower() in _FRAMING:
        raise ValueError(f"{name} is set by the server")
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"the header {name} holds a line break or NUL")
    if not value.isascii() and max(value) > "\xff":
        raise ValueError(f"the header {name} is not Latin-1: {max(value)!r}")


def send(sock: Socket, buffers: Sequence[bytes | memoryview]) -> None:
    """Send all ``buffers``, in one system call as long as the kernel takes them.

    Raises OSError as the socket does, TimeoutError included.
    """
    if len(buffers) == 1:
        sock.sendall(buffers[0])
        return
    if len(buffers) <= _IOV_MAX:
        total = sum([memoryview(buffer).nbytes for buffer in buffers])
        sent = sock.sendmsg(buffers)
        if sent == total:
            return
        buffers = _behind(buffers, sent)
    else:
        buffers = _behind(buffers, 0)
    while buffers:
        buffers = _behind(buffers, sock.sendmsg(buffers[:_IOV_MAX]))


def _behind(buffers: Sequence[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """Return what is left of ``buffers`` after ``sent`` bytes, without the empty ones."""
    left: list[bytes | memoryview] = []
    for buffer in buffers:
        view = memoryview(buffer)
        if sent < view.nbytes:
            left.append(view.cast("B")[sent:])
        sent = max(0, sent - view.nbytes)
    return left


REASONS = {
    100: "Continue",
    101: "Switching Protocols",
    102: "Processing",
    103: "Early Hints",
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
}
