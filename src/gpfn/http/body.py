"""Bodies on arrival: where their bytes are kept, and where a chunked one ends.

A :class:`Body` takes memory for the bytes that came, not for those announced. One that
comes in one piece is kept as it is, a small one is joined, a large one goes into anonymous
private memory that begins at a page and of which the kernel commits only what is written;
:meth:`Body.finish` then gives a view, not a copy.

A :class:`ChunkScanner` finds the end of a chunked body. llhttp decodes and checks chunks,
but does not tell where they end and parses on into what follows. So the scanner counts
along, and the parser is fed up to the end and not a byte more. The two must agree, or the
request is refused: different views of where a message ends allow request smuggling
(RFC 9112, 11.2).
"""

from __future__ import annotations

from _thread import allocate_lock  # the threading module costs a cold start more

from gpfn.errors import GpfnError, InvalidRequest, Overloaded, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["Body", "Budget", "ChunkScanner", "only_chunk"]

_HUGE_PAGE = 2 << 20
_ANY_SIZE = 1 << 62


class Body:
    """The bytes of one body, gathered; one longer than ``large`` becomes aligned.

    ``most`` is how many it may have, which who reads it heeds; ``limit`` names the setting.
    """

    __slots__ = ("_aligned", "_large", "_parts", "most", "size")
    limit = "GPFN_MAX_BODY_BYTES"

    def __init__(self, large: int, most: int = _ANY_SIZE) -> None:
        self._large = large
        self._parts: bytes | bytearray = b""
        self._aligned: mmap | None = None
        self.most = most
        self.size = 0

    @property
    def held(self) -> int:
        """How many bytes of it are in memory."""
        return self.size

    def reserve(self, size: int) -> None:
        """Expect ``size`` bytes in all: a large body gets its address space at once.

        Raises TooLarge when it may not have as many, or the system has no such address space.
        """
        if size > self.most:
            told = f"the body is {size} bytes, the limit is {self.most} ({self.limit})"
            raise TooLarge(told, field="content-length")
        if size > self._large:
            self._aligned = _anonymous(size)

    def append(self, data: bytes | memoryview) -> None:
        """Add ``data`` at the end."""
        end = self.size + len(data)
        if self._aligned is None and end <= self._large:
            self._gather(data)
        else:
            self._room(end)[self.size : end] = data
        self.size = end

    def space(self, size: int) -> memoryview | None:
        """Return where the rest of ``size`` bytes may be received, for a reserved body."""
        if self._aligned is None:
            return None
        return memoryview(self._aligned)[self.size : size]

    def finish(self) -> bytes | memoryview:
        """Return all of it: bytes when small, a read-only view when large."""
        if self._aligned is None:
            return bytes(self._parts)  # of bytes: the same object
        return memoryview(self._aligned)[: self.size].toreadonly()

    def _gather(self, data: bytes | memoryview) -> None:
        if not self.size:
            self._parts = bytes(data)
            return
        if not isinstance(self._parts, bytearray):
            self._parts = bytearray(self._parts)
        self._parts += data

    def _room(self, end: int) -> mmap:
        if self._aligned is None:
            self._aligned = _anonymous(2 * end)
            self._aligned[: self.size] = bytes(self._parts)
            self._parts = b""
        elif end > len(self._aligned):
            self._aligned.resize(2 * end)  # the kernel moves pages, nothing is copied
        return self._aligned


def _anonymous(size: int) -> mmap:
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

    try:
        memory = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise TooLarge(f"no memory for {size} bytes: {error}", field="body") from error
    if size >= 2 * _HUGE_PAGE:
        _use_huge_pages(memory)
    return memory


def _use_huge_pages(memory: mmap) -> None:
    from contextlib import suppress
    from mmap import MADV_HUGEPAGE

    with suppress(OSError):  # a kernel without them: more page faults, nothing else
        memory.madvise(MADV_HUGEPAGE)


class Budget:
    """The memory of all request bodies that a server has in flight.

    Bytes are counted as they come, not as they are announced: a slow client holds what it sent.
    """

    __slots__ = ("_lock", "_most", "used")

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = allocate_lock()
        self.used = 0

    def change(self, size: int) -> None:
        """Take ``size`` bytes more; raises Overloaded, and takes none, when that is too much."""
        with self._lock:
            if size <= 0 or self.used + size <= self._most:
                self.used += size
                return
        raise Overloaded(
            f"all bodies in flight would be over {self._most} bytes"
            " (GPFN_MAX_INFLIGHT_BYTES); try again later"
        )

    def free(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self.used -= size


_SIZE_LINE_BYTES = 256
_LAST = b"\r\n0\r\n\r\n"
_HEX = b"0123456789abcdefABCDEF"
_SMALL = {b"%x\r\n" % size: size for size in range(1, 16)}
_SIZE, _DATA, _TRAILER, _DONE = range(4)


def only_chunk(data: bytes, position: int, max_body: int) -> bytes | None:
    """Return the body when all of it came at once, as one chunk and nothing behind it.

    That is how small bodies come. Each byte of the framing is compared here, so neither the
    scanner nor llhttp is needed; None for anything else, which they then read.
    """
    if not data.endswith(_LAST):
        return None
    start = data.find(b"\r\n", position) + 2
    digits = data[position : start - 2]
    if not 0 < len(digits) <= 8 or digits.strip(_HEX):
        return None
    size = int(digits, 16)
    if not 0 < size <= max_body or start + size + len(_LAST) != len(data):
        return None
    return data[start : start + size]


class ChunkScanner:
    """Follows a chunked body through pieces of any length."""

    __slots__ = (
        "_extra",
        "_limit",
        "_line",
        "_max_body",
        "_room",
        "_size",
        "_skip",
        "_state",
        "_trailer",
        "failure",
    )

    def __init__(self, max_body: int, max_trailer: int, *, limit: str = Body.limit) -> None:
        self._max_body = max_body
        self._limit = limit
        self._trailer = max_trailer
        self._state = _SIZE
        self._room = _SIZE_LINE_BYTES  # bytes that the current line may have
        self._line = b""  # what has come of a line that has not ended
        self._skip = 0  # bytes of chunk data still to come, with the CRLF behind them
        self._size = 0
        self._extra = 0  # bytes of size lines that say nothing: extensions, zeros
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
            if self._state != _DATA:
                if self._state == _SIZE and not self._line:
                    position = self._pass_small(data, position)
                position = self._scan_line(data, position)
            elif self._skip <= end - position:
                position += self._skip
                self._state = _SIZE
            else:
                self._skip -= end - position
                return end
        return position

    def _pass_small(self, data: bytes, position: int) -> int:
        """Pass over small chunks that are here in full: there may be one for every byte."""
        most = len(data) - 40  # so that a size line follows in any case
        left = self._max_body - self._size
        while position < most:
            size = _SMALL.get(data[position : position + 3])
            if size is None or size > left:
                break
            left -= size
            position += size + 5
        self._size = self._max_body - left
        return position

    def _scan_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position) + 1
        line = self._line + (data[position:end] if end else data[position:])
        if len(line) > self._room:
            self.failure = self._too_long()
            return position + self._room - len(self._line)
        if not end:
            self._line = line
            return len(data)
        self._line = b""
        if self._state == _SIZE:
            self._begin_chunk(line)
        elif line == b"\r\n":
            self._state = _DONE
        else:
            self._room -= len(line)
        return end

    def _begin_chunk(self, line: bytes) -> None:
        digits = line[:-2] if b";" not in line else line.partition(b";")[0]
        if not digits or digits.strip(_HEX):  # int() would take signs, spaces and 0x as well
            self.failure = InvalidRequest("bad chunk size", field="body")
            return
        size = int(digits, 16)
        self._size += size
        self._extra += len(line) - len(b"%x\r\n" % size)
        if self._extra > self._trailer + self._size // 8:
            self.failure = InvalidRequest("too many chunk extensions", field="body")
        if self._size > self._max_body:
            self.failure = TooLarge(
                f"the body is over {self._max_body} bytes ({self._limit})", field="body"
            )
        if size:
            self._skip, self._state = size + 2, _DATA
        else:
            self._room, self._state = self._trailer, _TRAILER

    def _too_long(self) -> GpfnError:
        if self._state == _SIZE:
            return InvalidRequest("a chunk's size line is too long", field="body")
        return InvalidRequest("too many trailers", field="trailers", status=431)
