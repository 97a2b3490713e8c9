"""Reads the response to one request from a connection.

A large body of known length is received straight into memory that begins at a page, so
that its tensors are aligned as the sender laid them out. Memory is taken for the bytes
that came, not for those that were announced.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gpfn.errors import BrokenReply, TooLarge
from gpfn.http.body import Body
from gpfn.http.connection import Connection
from gpfn.http.reply_head import content_length, joined_headers, parse_head

__all__ = ["Closed", "HttpResponse", "IncomingResponse", "read_response"]

_MOST_HEAD = 1 << 16
_MOST_INTERIM = 8
_MOST_LINE = 256
_HEX = frozenset("0123456789abcdefABCDEF")
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
        BrokenReply: What came is not HTTP or ends too early.
        TooLarge: The body is over the limit.
        Closed: Nothing came at all.
        OSError: The connection broke; TimeoutError at its deadline.
    """
    response = IncomingResponse(connection)
    body = response.read(limit)
    return HttpResponse(
        response.status, response.reason, response.headers, body, response.is_reusable()
    )


class IncomingResponse:
    """One response as it comes: its head at once, its body when it is asked for.

    Every wait ends at the connection's deadline with TimeoutError. What is broken is a
    BrokenReply; the reason phrase is the server's own text.
    """

    __slots__ = ("_source", "_version", "headers", "reason", "status")

    def __init__(self, connection: Connection) -> None:
        """Read the head; interim ones (1xx) are passed over. Raises as read_response does."""
        self._source = source = _Source(connection)
        for _ in range(_MOST_INTERIM):
            self._version, self.status, self.reason, headers = parse_head(source.head())
            if self.status >= 200:
                self.headers = joined_headers(headers)
                return
        raise BrokenReply(f"more than {_MOST_INTERIM} interim replies")

    def length(self) -> int | None:
        """Return the bytes of a body whose length is told, otherwise None."""
        if self.status in (204, 304):
            return 0
        text = self.headers.get("content-length")
        return None if text is None or self._is_chunked() else content_length(text)

    def read(self, limit: int) -> bytes | memoryview:
        """Return the body. Raises TooLarge over ``limit`` bytes, BrokenReply for an encoded one."""
        coding = self.headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            raise BrokenReply(f"content-encoding {coding[:40]!r}, which was not asked for")
        length = self._allowed(limit)
        whole = None if length is None else self._source.whole(length)
        if whole is not None:
            return whole
        body = Body(_LARGE)
        if length is None:
            for piece in self.pieces(limit):
                body.append(piece)
        else:
            body.reserve(length)
            self._source.fill(body, length)
        return body.finish()

    def pieces(self, limit: int) -> Iterator[bytes]:
        """Yield the body as it comes. Raises TooLarge once it is known to be over ``limit``."""
        length = self._allowed(limit)
        if length is not None:
            return self._source.sized(length)
        framed = _chunks if self._is_chunked() else _until_closed
        return framed(self._source, limit)

    def _allowed(self, limit: int) -> int | None:
        length = self.length()
        if length is not None and length > limit:
            raise TooLarge(f"a body of {length} bytes; the limit is {limit}")
        return length

    def is_reusable(self) -> bool:
        """Say whether the connection may carry another request, once the body was read."""
        options = self.headers.get("connection", "").lower()
        keeps = "close" not in options if self._version == "HTTP/1.1" else "keep-alive" in options
        return keeps and self._is_delimited() and self._source.is_empty()

    def _is_delimited(self) -> bool:
        """Say whether one thing, and not closing, told where the body ends."""
        if self.status in (204, 304):
            return True
        return ("content-length" in self.headers) != ("transfer-encoding" in self.headers)

    def _is_chunked(self) -> bool:
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise BrokenReply(f"transfer-encoding {coding[:40]!r}")
        return coding is not None


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

    def whole(self, count: int) -> bytes | None:
        """Return the next ``count`` bytes if they have come already and are few, otherwise None."""
        end = self._at + count
        if end > len(self._data) or count > _LARGE:
            return None
        found, self._at = self._data[self._at : end], end
        return found

    def sized(self, count: int) -> Iterator[bytes]:
        """Yield the next ``count`` bytes, as they come."""
        while count:
            if self.is_empty():
                self.more()
            piece = self._data[self._at : self._at + count]
            self._at += len(piece)
            count -= len(piece)
            yield piece

    def into(self, body: Body, count: int) -> None:
        """Move ``count`` bytes into a body, as they come."""
        for piece in self.sized(count):
            body.append(piece)

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


def _chunks(source: _Source, limit: int) -> Iterator[bytes]:
    left = limit
    while True:
        line = source.until(b"\r\n", _MOST_LINE).decode("latin-1")
        digits = line.partition(";")[0].strip(" \t")
        if not digits or not _HEX.issuperset(digits):
            raise BrokenReply(f"{digits[:40]!r} is not a length")
        size = int(digits, 16)
        if not size:
            break
        if size > left:
            raise _over(limit)
        left -= size
        yield from source.sized(size)
        if source.until(b"\r\n", _MOST_LINE):
            raise BrokenReply("a chunk is longer than it said")
    for _ in range(_MOST_LINE):
        if not source.until(b"\r\n", _MOST_HEAD):
            return
    raise BrokenReply(f"more than {_MOST_LINE} trailers")


def _until_closed(source: _Source, limit: int) -> Iterator[bytes]:
    left = limit
    while piece := source.rest():
        left -= len(piece)
        if left < 0:
            raise _over(limit)
        yield piece


def _over(limit: int) -> TooLarge:
    return TooLarge(f"a body of more than {limit} bytes, which is the limit")
