"""What the chunks of a WebP file say, before anything is decoded (RFC 9649)."""

import struct
from collections.abc import Iterator

from gpfn.images.orientation import orientation
from gpfn.images.outline import Outline
from gpfn.images.vp8l import table_bytes

__all__ = ["examine"]

_HEAD, _FRAME_HEAD = 12, 16
_CHUNKS = 10_000
_BYTES_A_PIXEL = 17
"""What Pillow takes, which reads all WebP as animations: two canvases, their copy, its own
pixels, each of four bytes, and one for the alpha of a lossy picture."""
_BYTES_BEFORE = 9
"""What it takes as long as the tables of a lossless picture are there: one canvas, the
decoder's own, and one for alpha."""
_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
_ALPHA = 0x10
_KEPT = (b"VP8X", b"ANIM", b"ALPH", *_PICTURES)


def examine(data: bytes) -> Outline:
    """Return the outline of a WebP; of an animation, that of its first frame.

    Raises ValueError for a file without a picture, or of too many chunks.
    """
    view, exif, xmp = memoryview(data), b"", b""
    kept: dict[bytes, memoryview] = {}
    for kind, at, end in _chunks(data):
        if kind == b"EXIF":
            exif = data[at:end]
        elif kind == b"XMP ":
            xmp = data[at:end]
        elif kind in _KEPT and not kept.keys() & _PICTURES:
            kept.setdefault(kind, view[at - 8 : end + (end - at) % 2])
    if not kept.keys() & _PICTURES:
        raise ValueError("truncated before its picture")
    width, height = _canvas(bytes(next(iter(kept.values()))[:18]))
    if b"ANMF" in kept:  # the frame may be smaller: nothing has been drawn outside of it
        kept[b"VP8X"] = memoryview(_with_alpha(bytes(kept.get(b"VP8X", b""))))
    length = 4 + sum(map(len, kept.values()))
    file = b"".join((struct.pack("<4sI4s", b"RIFF", length, b"WEBP"), *kept.values()))
    tables = sum(_table_bytes(kind, chunk[8:], (width, height)) for kind, chunk in kept.items())
    pixels = width * height
    memory = max(pixels * _BYTES_A_PIXEL, pixels * _BYTES_BEFORE + tables)
    return Outline((width, height), file, memory, orientation((exif,), (xmp,)))


def _table_bytes(kind: bytes, content: memoryview, size: tuple[int, int]) -> int:
    """Return what the tables of a chunk of pixels take: of its colours, or of its alpha."""
    if kind == b"VP8L":
        return table_bytes(content[5:], *_canvas(kind + bytes(4) + content[:5]))
    if kind == b"ALPH" and content[0] & 3 == 1:
        return table_bytes(content[1:], *size)
    if kind != b"ANMF":
        return 0
    width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (6, 9))
    parts = _chunks(content, _FRAME_HEAD)
    return sum(_table_bytes(kind, content[at:end], (width, height)) for kind, at, end in parts)


def _chunks(data: bytes | memoryview, at: int = _HEAD) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, where its content begins and where it ends."""
    for _ in range(_CHUNKS):
        if len(data) < at + 8:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, at + 8 + length
        at += 8 + length + length % 2
    raise ValueError(f"more than {_CHUNKS} chunks")


def _with_alpha(chunk: bytes) -> bytes:
    """Return a VP8X chunk that says that there is transparency."""
    return chunk[:8] + bytes([chunk[8] | _ALPHA]) + chunk[9:]


def _canvas(chunk: bytes) -> tuple[int, int]:
    """Return (width, height) as the first chunk states them."""
    kind, content = chunk[:4], chunk[8:]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        packed = int.from_bytes(content[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 6))
    else:
        raise ValueError(f"begins with {kind!r}")
    return width, height
