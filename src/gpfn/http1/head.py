"""The head of a request: llhttp's findings, and the rules it leaves to its user.

RFC 9110 and 9112 are the source. The rules are stricter than the RFCs where leniency
has no honest user: one Host, one Content-Length, no other transfer coding than chunked.
"""

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from gpfn.errors import GpfnError, InvalidRequest, TooLarge
from gpfn.limits import Limits

__all__ = ["CHUNKED", "Head"]

CHUNKED = -1
"""The body length of a request whose body comes in chunks."""


class _Sink:
    """What llhttp calls back; apart from Head so that no reference cycle arises."""

    __slots__ = ("complete", "data", "ended", "failure", "headers", "max_headers", "target")

    def __init__(self, max_headers: int) -> None:
        self.max_headers = max_headers
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.complete = False
        self.ended = False
        self.data: list[bytes] = []
        self.failure: GpfnError | None = None

    def on_message_begin(self) -> None:
        if self.complete:  # a second message in one head: the first had no HTTP version
            self._fail(InvalidRequest("HTTP/0.9 is not spoken here", status=505))

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return  # a trailer: allowed, and of no use to anyone here
        if len(self.headers) == self.max_headers:
            text = f"over {self.max_headers} header lines (GPFN_MAX_HEADERS)"
            self._fail(InvalidRequest(text, field="headers", status=431))
        self.headers.append((str(name, "latin-1").lower(), str(value, "latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_body(self, data: bytes) -> None:
        self.data.append(data)

    def on_message_complete(self) -> None:
        self.ended = True

    def _fail(self, failure: GpfnError) -> None:
        self.failure = failure
        raise failure


class Head:
    """One request's head while it comes, and its chunks afterwards.

    What :meth:`settle` sets: ``method``, ``target``, ``keep_alive``, ``length`` of the
    body (or CHUNKED) and ``expects_continue``.
    """

    __slots__ = (
        "_parser",
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
        "target",
    )

    def __init__(self, limits: Limits) -> None:
        self._sink = _Sink(limits.headers)
        self._parser = HttpRequestParser(self._sink)
        self._upgrade = False
        self.headers = self._sink.headers
        self.host: str | None = None
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

    def feed(self, data: bytes) -> None:
        """Parse ``data``, which must end where the head ends or before.

        Raises InvalidRequest with the status that fits.
        """
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._upgrade = True  # an offer, which a server may ignore
        except HttpParserError as error:
            raise self._sink.failure or _invalid(error) from None

    def take_chunks(self, data: bytes) -> list[bytes]:
        """Decode a piece of a chunked body; raises InvalidRequest."""
        self.feed(data)
        pieces = self._sink.data
        if pieces:
            self._sink.data = []
        return pieces

    def settle(self, limits: Limits) -> None:
        """Apply the rules on the complete head.

        Raises InvalidRequest, or TooLarge when the announced body is over the limit.
        """
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise InvalidRequest(f"HTTP/{version} is not spoken here", status=505)
        self.method = str(self._parser.get_method(), "latin-1")
        if self.method == "CONNECT":
            raise InvalidRequest("this is not a proxy", field="method", status=501)
        self.target = str(self._sink.target, "latin-1")
        self.keep_alive = self.modern = version == "1.1"
        for name, value in self.headers:
            if name in _RULES:
                _RULES[name](self, value)
        self.keep_alive = self.keep_alive and not self.close
        if self.host is None and self.modern:
            raise InvalidRequest("no Host header", field="host")
        if self.length > limits.body_bytes:
            raise TooLarge(
                f"the body is {self.length} bytes, allowed are {limits.body_bytes}"
                " (GPFN_MAX_BODY_BYTES)",
                field="content-length",
            )
        if self._upgrade and self.length == CHUNKED:
            self._read_chunks_anew()

    def _read_chunks_anew(self) -> None:
        """Let a fresh parser read the body that llhttp left to the upgraded protocol."""
        self._sink = _Sink(1)
        self._parser = HttpRequestParser(self._sink)
        self._parser.feed_data(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")


def _host(head: Head, value: str) -> None:
    if head.host is not None:
        raise InvalidRequest("more than one Host header", field="host")
    head.host = value


def _connection(head: Head, value: str) -> None:
    tokens = [token.strip() for token in value.lower().split(",")]
    if "close" in tokens:
        head.close = True
    if "keep-alive" in tokens:
        head.keep_alive = True


def _content_length(head: Head, value: str) -> None:
    # llhttp let digits through and nothing else, but any number of zeros in front
    head.length = int(value.lstrip("0") or "0")


def _transfer_encoding(head: Head, value: str) -> None:
    if not head.modern:
        raise InvalidRequest("chunks need HTTP/1.1", field="transfer-encoding")
    if value.lower() != "chunked":
        raise InvalidRequest(
            f"only chunked is understood, got {value!r}", field="transfer-encoding", status=501
        )
    head.length = CHUNKED


def _expect(head: Head, value: str) -> None:
    if value.lower() != "100-continue":
        raise InvalidRequest(f"cannot meet {value!r}", field="expect", status=417)
    head.expects_continue = head.modern


_RULES = {
    "connection": _connection,
    "content-length": _content_length,
    "expect": _expect,
    "host": _host,
    "transfer-encoding": _transfer_encoding,
}


def _invalid(error: HttpParserError) -> InvalidRequest:
    reason = str(error)
    if isinstance(error, HttpParserInvalidMethodError):
        return InvalidRequest("unknown method", field="method", status=501)
    if "HTTP version" in reason:
        return InvalidRequest(reason, status=505)
    return InvalidRequest(reason)
