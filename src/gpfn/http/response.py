"""Reads the response to one request from a connection.

A large body of known length is received straight into memory that begins at a page, so
that its tensors are aligned as the sender laid them out. Memory is taken for the bytes
that came, not for those that were announced.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gpfn.errors import BrokenReply, TooLarge
from gpfn.http.body import Body
from gpfn.http.connection import Connection

__all__ = ["Closed", "HttpResponse", "read_response"]

_MOST_HEAD = 1 << 16
_MOST_INTERIM = 8
_MOST_LINE = 256
_LARGE = 1 << 16
"""Bytes from which on a body is received into memory of its own."""


class HttpResponse(NamedTuple):
    """An HTTP response.

    ``headers`` have lower-case names, repeated ones joined by commas; ``body`` is decoded
    (no chunks), a large one a read-only view; ``reusable`` says whether the connection may
    carry another request.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes | memoryview
    reusable: bool


class Closed(Exception):
    """The other side closed the connection before a byte of its response."""


def read_response(connection: Connection, limit: int) -> HttpResponse:
    """Read a response whose body has at most ``limit`` bytes; interim ones (1xx) are passed over.

    Raises:
        BrokenReply: What came is not HTTP, ends too early or is over the limit.
        Closed: Nothing came at all.
        OSError: The connection broke; TimeoutError at its deadline.
    """
    source = _Source(connection)
    for _ in range(_MOST_INTERIM):
        version, status, reason, headers = _parse_head(source.head())
        if status >= 200:
            break
    else:
        raise BrokenReply(f"more than {_MOST_INTERIM} interim replies")
    coding = headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise BrokenReply(f"content-encoding {coding[:40]!r}, which was not asked for")
    try:
        body, delimited = _body(source, status, headers, limit)
    except TooLarge as error:
        raise BrokenReply(error.detail) from error
    options = headers.get("connection", "").lower()
    keeps = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    return HttpResponse(status, reason, headers, body, keeps and delimited and source.is_empty())


class _Source:
    """What has come over a connection, and how far it was used."""

    __slots__ = ("_at", "_connection", "_data")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._at = 0
        try:
            self._data = connection.receive()
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not self._data:
            raise Closed("closed")

    def is_empty(self) -> bool:
        return self._at == len(self._data)

    def more(self) -> None:
        """Wait for more; the end is a BrokenReply."""
        piece = self._connection.receive()
        if not piece:
            raise BrokenReply("the connection was closed in the middle of the reply")
        self._data = self._data[self._at :] + piece
        self._at = 0

    def until(self, mark: bytes, limit: int) -> bytes:
        """Return what comes before ``mark``, at most ``limit`` bytes, and pass the mark."""
        while (end := self._data.find(mark, self._at)) < 0:
            if len(self._data) - self._at > limit:
                raise BrokenReply(f"a line or head of more than {limit} bytes")
            self.more()
        found = self._data[self._at : end]
        self._at = end + len(mark)
        return found

    def head(self) -> bytes:
        """Return a head without the empty line that ends it."""
        begin = self._data[self._at : self._at + 5]
        if not b"HTTP/".startswith(begin):  # what is not HTTP may never end
            raise BrokenReply(f"not HTTP: {self._data[self._at : self._at + 40]!r}")
        return self.until(b"\r\n\r\n", _MOST_HEAD)

    def rest(self) -> bytes:
        """Return what has come already, else what comes next: nothing at the end."""
        piece = self._data[self._at :] or self._connection.receive()
        self._at = len(self._data)
        return piece

    def into(self, body: Body, count: int) -> None:
        """Move ``count`` bytes into a body, as they come."""
        while count:
            if self.is_empty():
                self.more()
            piece = self._data[self._at : self._at + count]
            body.append(piece)
            self._at += len(piece)
            count -= len(piece)

    def fill(self, body: Body, size: int) -> None:
        """Fill a body that was reserved, straight from the connection where it is large."""
        self.into(body, min(size, len(self._data) - self._at))
        space = body.space(size)
        if space is None:
            self.into(body, size - body.size)
            return
        while body.size < size:
            received = self._connection.receive_into(space)
            if not received:
                raise BrokenReply(f"the connection was closed {size - body.size} bytes too early")
            body.size += received
            space = space[received:]


def _parse_head(head: bytes) -> tuple[str, int, str, dict[str, str]]:
    """Return version, status, reason and headers."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or len(status) != 3 or not status.isdecimal():
        raise BrokenReply(f"not HTTP: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():  # a folded line is refused, too
            raise BrokenReply(f"not a header: {line[:80]!r}")
        name, value = name.lower(), value.strip(" \t")
        if name in headers and name != "content-length":
            value = f"{headers[name]}, {value}"
        elif headers.get(name, value) != value:
            raise BrokenReply("two lengths for one body")
        headers[name] = value
    return version, int(status), reason, headers


def _body(
    source: _Source, status: int, headers: Mapping[str, str], limit: int
) -> tuple[bytes | memoryview, bool]:
    """Return the body, and whether something else than closing told its end."""
    if status in (204, 304):
        return b"", True
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise BrokenReply(f"transfer-encoding {coding[:40]!r}")
        return _chunked(source, limit), length is None
    if length is not None:
        return _sized(source, _length(length, limit)), True
    return _until_closed(source, limit), False


def _length(text: str, limit: int, base: int = 10) -> int:
    try:
        length = int(text, base) if text.isascii() and text.isalnum() else -1
    except ValueError:
        length = -1
    if length < 0:
        raise BrokenReply(f"{text[:40]!r} is not a length")
    if length > limit:
        raise BrokenReply(f"a body of {length} bytes or more; the limit is {limit}")
    return length


def _sized(source: _Source, length: int) -> bytes | memoryview:
    body = Body(_LARGE)
    body.reserve(length)
    source.fill(body, length)
    return body.finish()


def _chunked(source: _Source, limit: int) -> bytes | memoryview:
    body = Body(_LARGE)
    while True:
        line = source.until(b"\r\n", _MOST_LINE).decode("latin-1")
        size = _length(line.partition(";")[0].strip(" \t"), limit, base=16)
        if body.size + size > limit:
            raise BrokenReply(f"a body of more than {limit} bytes")
        if not size:
            break
        source.into(body, size)
        if source.until(b"\r\n", _MOST_LINE):
            raise BrokenReply("a chunk is longer than it said")
    for _ in range(_MOST_LINE):
        if not source.until(b"\r\n", _MOST_HEAD):
            return body.finish()
    raise BrokenReply(f"more than {_MOST_LINE} trailers")


def _until_closed(source: _Source, limit: int) -> bytes | memoryview:
    body = Body(_LARGE)
    while piece := source.rest():
        if body.size + len(piece) > limit:
            raise BrokenReply(f"a body of more than {limit} bytes")
        body.append(piece)
    return body.finish()
