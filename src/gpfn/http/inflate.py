"""Compressed bodies: gzip and deflate, inflated within bounds.

A body of a kilobyte may inflate to a megabyte. So it is inflated piece by piece, and each
piece is counted before the next one is made (RFC 9110, 8.4.1; RFC 1950, 1951 and 1952).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidRequest, TooLarge, UnsupportedMedia
from gpfn.http.body import Body, Budget

__all__ = ["inflate", "inflated", "is_identity"]

_PIECE = 1 << 20
_FIRST_WINDOW, _WINDOW = 1 << 10, 64 << 10
_MOST_MEMBERS = 10_000
_LARGE = 256 << 10
_GZIP, _RAW = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS


def is_identity(coding: str) -> bool:
    """Say whether a Content-Encoding leaves the body as it is."""
    return not coding or coding.strip().lower() == "identity"


def inflate(
    body: bytes | memoryview,
    coding: str,
    limit: int,
    hold: Callable[[int], object] = lambda _: None,
    deadline: Deadline = NEVER,
) -> bytes | memoryview:
    """Return the body without its Content-Encoding; at most ``limit`` bytes.

    ``hold`` is called with the bytes of every piece before it is kept.

    Raises UnsupportedMedia for a coding that is not known, InvalidRequest for a body that is
    not in it, TooLarge, DeadlineExceeded, and what ``hold`` raises.
    """
    name = coding.strip().lower()
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMedia(
            f"expected gzip or deflate, got {coding[:40]!r}", field="content-encoding"
        )
    whole, rest = Body(_LARGE), memoryview(body)
    for _ in range(_MOST_MEMBERS):
        member = _Member(rest, name)
        for piece in member.pieces(lambda: limit - whole.size):
            deadline.check("the body was inflated")
            hold(len(piece))
            whole.append(piece)
        rest = member.rest
        if not rest:
            return whole.finish()
        if name == "deflate":
            raise InvalidRequest("bytes follow the deflate data", field="body")
    raise InvalidRequest(f"over {_MOST_MEMBERS} gzip members", field="body")


@contextmanager
def inflated(
    body: bytes | memoryview, coding: str, limit: int, budget: Budget, deadline: Deadline
) -> Iterator[bytes | memoryview]:
    """Give the body without its Content-Encoding, its bytes held from ``budget`` meanwhile.

    Raises what :func:`inflate` raises, and Overloaded when the budget has no more.
    """
    held = 0

    def hold(size: int) -> None:
        nonlocal held
        budget.change(size)
        held += size

    try:
        yield inflate(body, coding, limit, hold, deadline)
    finally:
        budget.free(held)


def _wbits(name: str, data: bytes | memoryview) -> int:
    """Return zlib's name of the format; "deflate" is zlib's, but some send it bare."""
    if name != "deflate":
        return _GZIP
    framed = len(data) > 1 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if framed else _RAW


class _Member:
    """One member of gzip, or all of deflate; ``rest`` is what follows it.

    zlib copies what it has not consumed. So it is given a window at a time, which grows: a
    member may be of twenty bytes, or all of a large body.
    """

    def __init__(self, data: memoryview, name: str) -> None:
        self._data = data
        self._name = name
        self._inflater = zlib.decompressobj(wbits=_wbits(name, data))
        self._at = 0

    @property
    def rest(self) -> memoryview:
        """What follows the member."""
        return self._data[self._at - len(self._inflater.unused_data) :]

    def pieces(self, room: Callable[[], int]) -> Iterator[bytes]:
        """Inflate it; ``room`` is how many bytes may still come."""
        size = _FIRST_WINDOW
        while not self._inflater.eof:
            window: bytes | memoryview = self._data[self._at : self._at + size]
            self._at += len(window)
            size = min(size * 4, _WINDOW)
            if not window:
                raise InvalidRequest(f"the {self._name} data is truncated", field="body")
            while window and not self._inflater.eof:
                piece = self._piece(window, room())
                window = self._inflater.unconsumed_tail
                yield piece

    def _piece(self, window: bytes | memoryview, left: int) -> bytes:
        try:
            piece = self._inflater.decompress(window, min(_PIECE, left + 1))
        except zlib.error as error:
            raise InvalidRequest(f"not {self._name}: {error}", field="body") from None
        if len(piece) > left:
            detail = "the body inflates to more than GPFN_MAX_BODY_BYTES allows"
            raise TooLarge(detail, field="body")
        return piece
