"""Bytes in, requests out, without a socket.

The reader finds where a head and a body end; llhttp parses what is between
(:mod:`gpfn.http.head`). How the bytes are split into pieces makes no difference to what
comes out, errors included: every limit counts bytes of the message, not of pieces.
"""

from __future__ import annotations

from collections.abc import Callable

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.body import Body, ChunkScanner, only_chunk
from gpfn.http.head import CHUNKED, Head, Request
from gpfn.http.target import first_words
from gpfn.limits import Limits

__all__ = ["RequestReader"]

_LONGEST_KNOWN = 4096

_END = b"\r\n\r\n"
_BETWEEN, _HEAD, _LENGTH, _CHUNKS = range(4)


_Stream = Callable[[Head], Body | None]

# What a NamedTuple's own constructor does, without the Python function around it.
_request: Callable[..., Request] = tuple.__new__


class RequestReader:
    """Reads the requests of one connection, one at a time.

    Each request is to be taken with :meth:`next_request` before more is fed; what was
    pipelined behind it waits. An error is raised once everything before it was taken,
    by the next call of :meth:`feed`, :meth:`body_received` or :meth:`next_request` and by
    every later one: nothing after it can be read as a request. The memory of the body is
    freed at once, while the connection may stay open.

    A client that keeps its connection mostly sends the same head again. So the last one is
    kept, and the same bytes are not parsed twice: they cannot mean anything else.

    Args:
        limits: ``header_bytes`` bounds the request line and header lines together.
        large_body: a body of more bytes than this is received into memory of its own
            that begins at a multiple of 64.
        stream: asked with the head of a body that is not here yet for another place for it.
    """

    __slots__ = (
        "_begun", "_body", "_error", "_head", "_known", "_known_size", "_large", "_limits",
        "_ready", "_rest", "_scanner", "_state", "_stream", "_tail",
    )  # fmt: skip

    def __init__(
        self, limits: Limits, *, large_body: int = 1 << 20, stream: _Stream = lambda _: None
    ) -> None:
        self._limits = limits
        self._large = min(large_body, limits.body_bytes)
        self._stream = stream
        self._state = _BETWEEN
        self._rest = b""
        self._ready: Request | None = None
        self._error: GpfnError | None = None
        self._begun = False  # whether anything of the body has come
        self._tail = b""
        self._known: Head | None = None
        self._known_size = -1  # of a whole request with that head, unless its body is large

    @property
    def expects_continue(self) -> bool:
        """Whether the sender waits for ``100 Continue`` before it sends the body."""
        return self._state >= _LENGTH and not self._begun and self._head.expects_continue

    @property
    def in_request(self) -> bool:
        """Whether a request has begun and not ended: the sender must not close now."""
        return self._state != _BETWEEN

    @property
    def reading_body(self) -> bool:
        """Whether a head is complete and its body is not."""
        return self._state >= _LENGTH

    @property
    def held(self) -> int:
        """How many bytes of a body that is not complete are kept."""
        return self._body.held if self._state >= _LENGTH and self._begun else 0

    @property
    def has_more(self) -> bool:
        """Whether something was received behind the last request that was taken."""
        return self._state != _BETWEEN or self._ready is not None

    @property
    def asked(self) -> tuple[str, str]:
        """The method and target of the request that is being read, as far as they have come."""
        if self._state == _BETWEEN:
            return "", ""
        target = self._head.target
        return (self._head.method, target) if target else first_words(self._head.raw)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header lines of the request that is being read, as far as they have come."""
        return () if self._state == _BETWEEN else self._head.headers

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the connection.

        Raises:
            InvalidRequest: with the status to answer: 400, 417, 431, 501 or 505.
            TooLarge: the body is over ``limits.body_bytes``.
        """
        if self._ready is not None:
            self._rest += data
            return
        head = self._known if len(data) == self._known_size else None
        if head and self._state == _BETWEEN and data[: head.size] == head.raw and not self._error:
            self._head = head  # as nearly always: one more of the same requests, whole
            self._finish(bytes(data[head.size :]))
            return
        self._parse(data)
        if self._error is not None and self._ready is None:
            raise _anew(self._error)

    def next_request(self) -> Request | None:
        """Return the next complete request, or None; raises like :meth:`feed`."""
        request, self._ready = self._ready, None
        if request is None:
            if self._error is not None:
                raise _anew(self._error)
            return None
        if self._rest:
            rest, self._rest = self._rest, b""
            self._parse(rest)
        return request

    def body_space(self) -> memoryview | None:
        """Return where the rest of a large body may be received, or None.

        The caller receives into it and then calls :meth:`body_received`; the view must not
        be kept.
        """
        if self._state != _LENGTH:
            return None
        return self._body.space(self._head.length)

    def body_received(self, count: int) -> None:
        """Count ``count`` bytes that were received into :meth:`body_space`."""
        self._begun = self._begun or count > 0
        self._body.size += count
        if self._body.size == self._head.length:
            self._finish(self._body.finish())

    def _parse(self, data: bytes | memoryview) -> None:
        if self._error is not None:
            return
        try:
            if not isinstance(data, bytes):
                # a body of known length is appended as it is; all else needs bytes
                start = self._read_length(data, 0) if self._state == _LENGTH else 0
                data = bytes(data[start:])
            position, end = 0, len(data)
            while position < end:
                if self._ready is not None:
                    self._rest = data[position:]
                    return
                position = _STEPS[self._state](self, data, position)
        except GpfnError as error:
            self._error = _anew(error)
            self._body = Body(0, 0)

    def _skip_blank(self, data: bytes, position: int) -> int:
        """Between requests: pass empty lines over, as RFC 9112 2.2 has it."""
        end = len(data)
        if data[position] in b"\r\n":
            position = end - len(data[position:].lstrip(b"\r\n"))
        if position >= end:
            return position
        known = self._known
        if known is not None and data.startswith(known.raw, position):
            self._head = known
            return self._begin_body(data, position + len(known.raw))
        self._head = Head()
        self._state = _HEAD
        return position

    def _read_head(self, data: bytes, position: int) -> int:
        ends = self._head_end(data, position)
        stop = ends or len(data)
        head, limit = self._head, self._limits.header_bytes
        room = limit - head.size
        head.feed(data[position : min(stop, position + room)])
        if stop - position > room:
            text = f"the head is over {limit} bytes (GPFN_MAX_HEADER_BYTES)"
            raise InvalidRequest(text, field="headers", status=431)
        if ends or head.complete:
            head.settle(self._limits)
            if not (ends and head.complete):
                raise InvalidRequest("the head does not end where it should")
            self._remember(head)
            return self._begin_body(data, stop)
        return stop

    def _remember(self, head: Head) -> None:
        """Keep a head that may come again; after a chunked body its parser is used up."""
        if head.length != CHUNKED and isinstance(head.raw, bytes) and head.size <= _LONGEST_KNOWN:
            self._known = head
            self._known_size = head.size + head.length if head.length <= self._large else -1

    def _head_end(self, data: bytes, position: int) -> int:
        """Return the position behind the head, or 0 when it goes on."""
        if self._tail:
            seam = self._tail + data[position : position + 3]
            found = seam.find(_END)
            if found >= 0:
                return position + found + 4 - len(self._tail)
        found = data.find(_END, position)
        if found >= 0:
            return found + 4
        self._tail = (self._tail + data[max(position, len(data) - 3) :])[-3:]
        return 0

    def _begin_body(self, data: bytes, position: int) -> int:
        """Begin to read what follows the head; a small body that is there is taken at once."""
        head = self._head
        length, end = head.length, position + head.length
        self._tail = b""
        self._begun = False
        if length == CHUNKED:
            self._state = _CHUNKS
        elif end <= len(data) and length <= self._large:
            self._finish(data[position:end])
            return end
        else:
            self._body = self._new_body()
            self._body.reserve(length)
            self._state = _LENGTH
        return position

    def _new_body(self) -> Body:
        return self._stream(self._head) or Body(self._large, self._limits.body_bytes)

    def _read_length(self, data: bytes | memoryview, position: int) -> int:
        stop = min(len(data), position + self._head.length - self._body.size)
        self._begun = True
        self._body.append(data[position:stop])
        if self._body.size == self._head.length:
            self._finish(self._body.finish())
        return stop

    def _read_chunks(self, data: bytes, position: int) -> int:
        if not self._begun:
            whole = only_chunk(data, position, self._limits.body_bytes)
            if whole is not None:
                self._finish(whole)
                return len(data)
            self._begun = True
            body = self._body = self._new_body()
            self._scanner = ChunkScanner(body.most, self._limits.header_bytes, limit=body.limit)
        scanner = self._scanner
        stop = scanner.scan(data, position)
        pieces = self._head.take_chunks(data[position:stop])
        if pieces:
            self._body.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if scanner.failure is not None:
            raise _anew(scanner.failure)
        if scanner.done != self._head.ended:
            raise InvalidRequest("the chunks end where they should not", field="body")
        if scanner.done:
            self._finish(self._body.finish())
        return stop

    def _finish(self, body: bytes | memoryview) -> None:
        head = self._head
        self._state = _BETWEEN
        request = (head.method, head.target, head.headers, body, head.keep_alive, head.modern)
        self._ready = _request(Request, request)


def _anew(error: GpfnError) -> GpfnError:
    """Return an equal error that was not raised yet.

    A raised error holds frames that hold the reader: held by it, both would stay for long.
    """
    equal = GpfnError.__new__(type(error), *error.args)
    vars(equal).update(vars(error))
    return equal


_STEPS = (
    RequestReader._skip_blank,
    RequestReader._read_head,
    RequestReader._read_length,
    RequestReader._read_chunks,
)
