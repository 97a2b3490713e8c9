"""The head of a request: parsed by llhttp, then read under rules that are stricter still.

llhttp refuses wrong line ends, names and control characters, lengths that contradict each
other, and broken chunks. What it lets pass can be split at its line ends, which costs half
of what a callback for every header does. The rules on top are those of RFC 9110 and 9112
without what they allow for old senders: one Host, one of every header that has a single
value, and no transfer coding but chunked.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from gpfn.errors import InvalidRequest
from gpfn.http.target import is_host, origin_form
from gpfn.limits import Limits

__all__ = ["CHUNKED", "Head", "Request"]

CHUNKED = -1
"""The body length of a request whose body comes in chunks."""

_PRIMER = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Sink:
    """What llhttp calls back; not Head itself, which would be a reference cycle."""

    __slots__ = ("complete", "data", "ended")

    def __init__(self) -> None:
        self.complete = False
        self.ended = False
        self.data: list[bytes] = []

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_body(self, data: bytes) -> None:
        self.data.append(data)

    def on_message_complete(self) -> None:
        self.ended = True


class Head:
    """The head of one request as it comes in, and then its chunks.

    What :meth:`settle` sets: ``method``, ``target`` (in origin-form, or ``*``), ``headers``,
    ``keep_alive``, ``length`` of the body (or CHUNKED) and ``expects_continue``. ``raw`` are
    the bytes that have come of it.
    """

    __slots__ = (
        "_parser",
        "_single",
        "_sink",
        "_upgrade",
        "close",
        "expects_continue",
        "headers",
        "host",
        "keep_alive",
        "length",
        "method",
        "modern",
        "raw",
        "target",
    )

    def __init__(self) -> None:
        self._sink = _Sink()
        self._parser = HttpRequestParser(self._sink)
        self._upgrade, self._single = False, ""  # names of single-valued headers that have come
        self.raw: bytes | bytearray = b""
        self.method = self.target = ""
        self.headers: tuple[tuple[str, str], ...] = ()
        self.host = False
        self.close = False
        self.expects_continue = False
        self.length = 0

    @property
    def complete(self) -> bool:
        """Whether llhttp saw the end of the head."""
        return self._sink.complete

    @property
    def ended(self) -> bool:
        """Whether llhttp saw the end of the chunked body."""
        return self._sink.ended

    @property
    def size(self) -> int:
        """How many bytes of the head have come."""
        return len(self.raw)

    def feed(self, data: bytes) -> None:
        """Parse ``data``, which must end where the head ends or before.

        Raises InvalidRequest with the status that fits.
        """
        if not self.raw:
            self.raw = data
        else:
            if not isinstance(self.raw, bytearray):
                self.raw = bytearray(self.raw)
            self.raw += data
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._upgrade = True  # the client offers another protocol; a server may ignore it
        except HttpParserError as error:
            raise _invalid(error, self.raw if self._sink.complete else b"") from None

    def take_chunks(self, data: bytes) -> list[bytes]:
        """Decode a piece of a chunked body; raises InvalidRequest."""
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise InvalidRequest(str(error), field="body") from None
        pieces = self._sink.data
        if pieces:
            self._sink.data = []
        return pieces

    def settle(self, limits: Limits) -> None:
        """Read the complete head and apply the rules; raises InvalidRequest."""
        lines = str(self.raw, "latin-1").split("\r\n")
        self.method, _, rest = lines[0].partition(" ")
        target, _, version = rest.rpartition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise InvalidRequest("only HTTP/1.1 and HTTP/1.0 are supported", status=505)
        if self.method == "CONNECT":
            raise InvalidRequest(
                "CONNECT is for proxies, which this server is not", field="method", status=501
            )
        if " " in target or "#" in target or not target.isprintable():  # llhttp lets these pass
            text = "a space, a line end or a fragment in the target"
            raise InvalidRequest(text, field="target")
        self.target = origin_form(target, self.method)
        self.keep_alive = self.modern = version == "HTTP/1.1"
        self._read_headers(lines[1:-2], limits.headers)
        self.keep_alive = self.keep_alive and not self.close
        if self.modern and not self.host:
            raise InvalidRequest("no Host header", field="host")
        if self._upgrade and self.length == CHUNKED:
            self._read_chunks_anew()

    def _read_headers(self, lines: list[str], limit: int) -> None:
        headers: list[tuple[str, str]] = []
        try:
            for line in lines:
                name, _, value = line.partition(":")
                name, value = name.lower(), value.strip(" \t")
                headers.append((name, value))
                if name in _RULES:
                    _RULES[name](self, value)
        finally:
            self.headers = tuple(headers)  # those of a refused request are asked for as well
        if len(headers) > limit:
            text = f"over {limit} header lines (GPFN_MAX_HEADERS)"
            raise InvalidRequest(text, field="headers", status=431)

    def take_single(self, name: str) -> None:
        """Count a header that has one value; raises InvalidRequest for its second line."""
        mark = f"{name}\n"
        if mark in self._single:
            raise InvalidRequest(f"more than one {name} header", field=name)
        self._single += mark

    def _read_chunks_anew(self) -> None:
        """Read the body with a new parser: after an upgrade llhttp does not read it."""
        self._sink = _Sink()
        self._parser = HttpRequestParser(self._sink)
        self._parser.feed_data(_PRIMER)


def _host(head: Head, value: str) -> None:
    if head.host:
        raise InvalidRequest("more than one Host header", field="host")
    if not is_host(value):
        raise InvalidRequest("not a host and port", field="host")
    head.host = True


def _connection(head: Head, value: str) -> None:
    tokens = [token.strip() for token in value.lower().split(",")]
    if "close" in tokens:
        head.close = True
    if "keep-alive" in tokens:
        head.keep_alive = True


def _content_length(head: Head, value: str) -> None:
    # llhttp accepts digits only, but any number of leading zeros
    head.length = int(value.lstrip("0") or "0")


def _transfer_encoding(head: Head, value: str) -> None:
    if not head.modern:
        raise InvalidRequest("chunks need HTTP/1.1", field="transfer-encoding")
    if value.lower() != "chunked":
        raise InvalidRequest(
            f"only chunked is supported, got {value!r}", field="transfer-encoding", status=501
        )
    head.length = CHUNKED


def _expect(head: Head, value: str) -> None:
    if value.lower() != "100-continue":
        raise InvalidRequest(
            f"only 100-continue is supported, got {value!r}", field="expect", status=417
        )
    head.expects_continue = head.modern


_SINGLE = (
    "authorization",
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "from",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "proxy-authorization",
    "referer",
    "user-agent",
    "x-request-id",
)
"""Request headers that are no lists (RFC 9110): of two lines, nobody can say which counts.

Content-Encoding is one, but no server here takes off more than one coding.
"""


def _single(name: str) -> Callable[[Head, str], None]:
    return lambda head, _: head.take_single(name)


_RULES: Mapping[str, Callable[[Head, str], None]] = {
    **{name: _single(name) for name in _SINGLE},
    "connection": _connection,
    "content-length": _content_length,
    "expect": _expect,
    "host": _host,
    "transfer-encoding": _transfer_encoding,
}


def _invalid(error: HttpParserError, head: bytes | bytearray) -> InvalidRequest:
    """Return the error to answer with; ``head`` is what came, if llhttp took it for complete."""
    reason = str(error)
    early = head and b" HTTP/1." not in head[: head.find(b"\r\n")]  # version 0.9
    if early or "HTTP version" in reason:
        return InvalidRequest("only HTTP/1.1 and HTTP/1.0 are supported", status=505)
    if isinstance(error, HttpParserInvalidMethodError):
        return InvalidRequest("unknown method", field="method", status=501)
    return InvalidRequest(reason)


class Request(NamedTuple):
    """One complete HTTP/1.1 or 1.0 request.

    ``headers`` keep their order and their repetitions; names are lower-case, values are
    the bytes read as Latin-1. ``body`` is decoded (no chunks); a large one is a read-only
    view that begins at a multiple of 64. ``modern`` says that it is HTTP/1.1.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | memoryview
    keep_alive: bool
    modern: bool = True

    def header(self, name: str) -> str | None:
        """Return the first value of the header ``name`` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
