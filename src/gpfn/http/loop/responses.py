"""Answers on the wire: head and body of a small one in one write, a large one in its pieces."""

import asyncio
import time

from gpfn.http.loop.exchange import Response
from gpfn.http.writer import REASONS, check_header

__all__ = ["ResponseWriter"]

_JOINED = 64 << 10
_MOST = 256
_LONGEST = 256


class ResponseWriter:
    """Writes answers; what their heads have in common is made once."""

    def __init__(self) -> None:
        self._begins: dict[tuple[object, ...], bytes] = {}
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Look at the clock; to be called every second."""
        self._date = _date_line()

    def write(
        self,
        transport: asyncio.Transport,
        response: Response,
        call_id: str,
        connection: str,
        *,
        body: bool,
    ) -> None:
        """Write an answer, or its head alone without ``body``.

        ``connection`` is what its Connection header says: close, keep-alive or nothing.

        Raises ValueError, and writes nothing, for a header that may not be one.
        """
        status, headers, buffers, own = response
        length = 0
        for buffer in buffers:
            length += len(buffer) if type(buffer) is bytes else memoryview(buffer).nbytes
        size = b"" if status == 204 else b"content-length: %d\r\n" % length
        if own:
            size += _lines_of(own)
        head = self._head(status, headers, size, call_id, connection)
        if not body or status in (204, 304):
            transport.write(head)
        elif length <= _JOINED:
            transport.write(b"".join((head, *buffers)))
        else:
            transport.write(head)
            for buffer in buffers:
                transport.write(buffer)

    def begin(
        self,
        transport: asyncio.Transport,
        status: int,
        headers: tuple[tuple[str, str], ...],
        call_id: str,
        connection: str,
        *,
        chunked: bool,
    ) -> None:
        """Write the head of an answer whose length nobody knows yet.

        Raises ValueError, and writes nothing, for a header that may not be one.
        """
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        transport.write(self._head(status, headers, framing, call_id, connection))

    def _head(
        self,
        status: int,
        headers: tuple[tuple[str, str], ...],
        framing: bytes,
        call_id: str,
        connection: str,
    ) -> bytes:
        key = (status, headers, connection)
        begin = self._begins.get(key)
        if begin is None:
            begin = _begin_of(status, headers, connection)
            self._remember(key, begin)
        return b"%b%b%bx-request-id: %b\r\n\r\n" % (begin, framing, self._date, call_id.encode())

    def _remember(self, key: tuple[object, ...], begin: bytes) -> None:
        """Keep the begin of a head, unless it is so long that it has something of one answer."""
        if len(begin) <= _LONGEST:
            if len(self._begins) >= _MOST:
                self._begins.clear()
            self._begins[key] = begin


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def _date_line() -> bytes:
    """Return the Date header of this second (RFC 9110, 5.6.7); strftime would ask the locale."""
    year, month, day, hour, minute, second, weekday = time.gmtime()[:7]
    clock = f"{hour:02}:{minute:02}:{second:02}"
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {clock} GMT"
    return f"date: {date}\r\n".encode()


def _begin_of(status: int, headers: tuple[tuple[str, str], ...], connection: str) -> bytes:
    first = f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n".encode("latin-1")
    last = f"connection: {connection}\r\n".encode() if connection else b""
    return first + _lines_of(headers) + last


def _lines_of(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = []
    for name, value in headers:
        check_header(name, value)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
