"""A function's answer as it comes: HTTP from a process that may send anything.

The bytes are gathered until they are a whole response, which is found without reading them
twice; then the reader of all clients reads them. A response is bounded, and its headers keep
their order and their repetitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from gpfn.errors import BrokenReply, TooLarge
from gpfn.http.body import ChunkScanner
from gpfn.http.reply_head import content_length, joined_headers, parse_head
from gpfn.http.response import Closed, IncomingResponse
from gpfn.local.calling import ProcessAnswer

if TYPE_CHECKING:
    from gpfn.http.connection import Connection

__all__ = ["AnswerReader", "UsualHead"]

_MOST_HEAD = 1 << 16
_MOST_TRAILER = 1 << 13
_MOST_INTERIM = 8
_SHOWN = 60


class UsualHead(NamedTuple):
    """A head that has been read, and what an answer with it has: its bytes, and the rest."""

    head: bytes
    size: int
    status: int
    headers: tuple[tuple[str, str], ...]


class AnswerReader:
    """Finds the end of one response; ``limit`` bounds the bytes of its body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._begin = 0  # of the body, once the head is there
        self._size: int | None = None  # bytes of head and body, when that is told
        self._scanner: ChunkScanner | None = None
        self._interim = 0
        self._plain = False
        self._pairs: list[tuple[str, str]] = []
        self._status = 0
        self._version = ""
        self.keeps = False
        """Whether the connection may carry another request."""
        self.usual: UsualHead | None = None
        """The head, when there was nothing in the answer that had to be found out."""

    def feed(self, data: bytes) -> ProcessAnswer | None:
        """Add what came; returns the answer once all of it is there. Raises as ended() does."""
        self._data += data
        while not self._begin:
            if not self._find_head():
                return None
        if self._scanner is not None:
            return self._scan(data)
        if self._size is None:
            self._check(len(self._data) - self._begin)
            return None
        return self._finish() if len(self._data) >= self._size else None

    def _usual(self, size: int) -> ProcessAnswer | None:
        """Return an answer that leaves nothing to be found out, otherwise None."""
        if not self._plain or self._version != "HTTP/1.1" or len(self._data) != size:
            return None
        self.keeps = True
        head, body = bytes(self._data[: self._begin]), bytes(self._data[self._begin :])
        self.usual = UsualHead(head, size, self._status, tuple(self._pairs))
        return ProcessAnswer(self._status, self.usual.headers, body)

    def ended(self) -> ProcessAnswer:
        """Return the answer that ends with the connection.

        Raises BrokenReply for what is no HTTP or not all of it, TooLarge over the limit.
        """
        if not self._data:
            raise BrokenReply("it closed the connection without an answer")
        if not self._begin or self._size is not None or self._scanner is not None:
            raise BrokenReply("it closed the connection in the middle of its answer")
        return self._finish()

    def _find_head(self) -> bool:
        if not b"HTTP/1.".startswith(bytes(self._data[:7])):
            raise BrokenReply(f"not HTTP: {bytes(self._data[:_SHOWN])!r}")
        end = self._data.find(b"\r\n\r\n", 0, _MOST_HEAD + 4)
        if end < 0:
            if len(self._data) > _MOST_HEAD:
                raise BrokenReply(f"a head of more than {_MOST_HEAD} bytes")
            return False
        self._version, self._status, _, self._pairs = parse_head(bytes(self._data[:end]))
        status = self._status
        if status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM or status == 101:
                raise BrokenReply(f"an interim reply {status}, which was not asked for")
            del self._data[: end + 4]
            return bool(self._data)
        self._begin = end + 4
        self._frame(status, joined_headers(self._pairs))
        return True

    def _frame(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn where the body ends."""
        self._plain = "transfer-encoding" not in headers and "connection" not in headers
        if status in (204, 304):
            self._size = self._begin
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            self._scanner = ChunkScanner(self._limit, _MOST_TRAILER, limit="answer_bytes")
        elif "content-length" in headers:
            length = content_length(headers["content-length"])
            self._check(length)
            self._size = self._begin + length

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"an answer of more than {self._limit} bytes")

    def _scan(self, data: bytes) -> ProcessAnswer | None:
        scanner = self._scanner
        assert scanner is not None, "only a chunked body is scanned"  # noqa: S101
        came = max(self._begin, len(self._data) - len(data))
        scanner.scan(bytes(self._data[came:]), 0)
        if scanner.failure is not None:
            raise BrokenReply(str(scanner.failure))
        return self._finish() if scanner.done else None

    def _finish(self) -> ProcessAnswer:
        usual = None if self._size is None else self._usual(self._size)
        if usual is not None:
            return usual
        whole = bytes(self._data)
        self._data = bytearray()
        try:
            response = IncomingResponse(cast("Connection", _Whole(whole)))
            body = b"".join(response.pieces(self._limit))
        except Closed as error:
            raise BrokenReply(str(error)) from error
        self.keeps = response.is_reusable()
        return ProcessAnswer(response.status, tuple(self._pairs), body)


class _Whole:
    """All that has come, in the place of a connection that the reader waits on."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def receive(self) -> bytes:
        """Return all of it, and then that there is no more."""
        data, self._data = self._data, b""
        return data
