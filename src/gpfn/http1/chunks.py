"""Where a chunked body ends, which llhttp does not tell.

llhttp decodes and judges the chunks, but runs on into whatever follows them. This scanner
counts along, so that the parser is fed up to the end of its message and not a byte more.
Both must agree, or the request is refused: a difference in framing is how requests are
smuggled.
"""

from gpfn.errors import GpfnError, InvalidRequest, TooLarge

__all__ = ["ChunkScanner"]

_SIZE_LINE_BYTES = 256
_SIZE, _DATA, _TRAILER, _DONE = range(4)


class ChunkScanner:
    """Follows a chunked body through pieces of any length."""

    __slots__ = ("_line", "_max_body", "_max_trailer", "_size", "_skip", "_state", "failure")

    def __init__(self, max_body: int, max_trailer: int) -> None:
        self._max_body = max_body
        self._max_trailer = max_trailer
        self._state = _SIZE
        self._line = b""  # of a line that has not ended yet, as much as was seen
        self._skip = 0  # bytes of chunk data still to come, with the CRLF behind them
        self._size = 0
        self.failure: GpfnError | None = None

    @property
    def done(self) -> bool:
        """Whether the last byte of the body was seen."""
        return self._state == _DONE

    def scan(self, data: bytes, position: int) -> int:
        """Return where, from ``position`` on, the parser must not be fed any further.

        That is the end of the body, of ``data``, or of what the limits allow; in the
        last case :attr:`failure` says which limit.
        """
        end = len(data)
        while position < end and self._state != _DONE and self.failure is None:
            if self._state == _DATA:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
                if not self._skip:
                    self._state = _SIZE
            else:
                position = self._scan_line(data, position)
        return position

    def _scan_line(self, data: bytes, position: int) -> int:
        found = data.find(b"\n", position)
        end = found + 1 if found >= 0 else len(data)
        room = self._max_line() - len(self._line)
        if end - position > room:
            self.failure = self._too_long()
            return position + room
        self._line += data[position:end]
        if found >= 0:
            line, self._line = self._line, b""
            if self._state == _SIZE:
                self._begin_chunk(line)
            elif line == b"\r\n":
                self._state = _DONE
            else:
                self._max_trailer -= len(line)
        return end

    def _begin_chunk(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip(b"\r\n")
        if not digits.isalnum():  # int() would take signs, spaces and underscores
            self.failure = InvalidRequest("bad chunk size", field="body")
            return
        try:
            size = int(digits, 16)
        except ValueError:
            self.failure = InvalidRequest("bad chunk size", field="body")
            return
        self._size += size
        if self._size > self._max_body:
            self.failure = TooLarge(
                f"the body is over {self._max_body} bytes (GPFN_MAX_BODY_BYTES)", field="body"
            )
        self._skip = size + 2
        self._state = _DATA if size else _TRAILER

    def _max_line(self) -> int:
        return _SIZE_LINE_BYTES if self._state == _SIZE else self._max_trailer

    def _too_long(self) -> GpfnError:
        if self._state == _SIZE:
            return InvalidRequest("a chunk's size line is too long", field="body")
        return InvalidRequest("too many trailers", field="trailers", status=431)
