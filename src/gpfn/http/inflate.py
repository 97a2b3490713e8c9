"""Compressed bodies: gzip and deflate, inflated within bounds.

A body of a kilobyte may inflate to a megabyte. So it is inflated piece by piece, and each
piece is counted before the next one is made (RFC 9110, 8.4.1; RFC 1950, 1951 and 1952).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from gpfn.errors import InvalidRequest, TooLarge, UnsupportedMedia
from gpfn.http.body import Body

__all__ = ["inflate", "is_identity"]

_PIECE = 1 << 20
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
) -> bytes | memoryview:
    """Return the body without its Content-Encoding; at most ``limit`` bytes.

    ``hold`` is called with the bytes of every piece before it is kept.

    Raises UnsupportedMedia for a coding that is not known, InvalidRequest for a body that is
    not in it, TooLarge, and what ``hold`` raises.
    """
    name = coding.strip().lower()
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMedia(
            f"expected gzip or deflate, got {coding[:40]!r}", field="content-encoding"
        )
    whole = Body(_LARGE)
    rest: bytes | memoryview = body
    while True:
        inflater = zlib.decompressobj(wbits=_wbits(name, rest))
        for piece in _pieces(inflater, rest, name, lambda: limit - whole.size):
            hold(len(piece))
            whole.append(piece)
        rest = inflater.unused_data
        if not rest:
            return whole.finish()
        if name == "deflate":
            raise InvalidRequest("bytes follow the deflate data", field="body")


def _wbits(name: str, data: bytes | memoryview) -> int:
    """Return zlib's name of the format; "deflate" is zlib's, but some send it bare."""
    if name != "deflate":
        return _GZIP
    framed = len(data) > 1 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if framed else _RAW


def _pieces(
    inflater: zlib._Decompress,
    data: bytes | memoryview,
    name: str,
    room: Callable[[], int],
) -> Iterator[bytes]:
    """Inflate one member of gzip, or all of deflate; ``room`` is what may still come."""
    rest = data
    while not inflater.eof:
        left = room()
        try:
            piece = inflater.decompress(rest, min(_PIECE, left + 1))
        except zlib.error as error:
            raise InvalidRequest(f"not {name}: {error}", field="body") from None
        if len(piece) > left:
            detail = "the body inflates to more than GPFN_MAX_BODY_BYTES allows"
            raise TooLarge(detail, field="body")
        rest = inflater.unconsumed_tail
        if not piece and not rest and not inflater.eof:
            raise InvalidRequest(f"the {name} data is truncated", field="body")
        yield piece
