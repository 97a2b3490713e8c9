"""What the chunks of a PNG file say, before anything is decoded (W3C PNG, third edition).

Pillow reads every chunk there is, inflates texts and colour profiles, and takes the one
transparent grey for one of eight bits. It gets a file of the pixels alone from here.
"""

import struct
import zlib
from collections.abc import Iterator

from gpfn.images.orientation import orientation, profile
from gpfn.images.outline import Outline

__all__ = ["examine"]

_SIGNATURE = 8
_CHUNKS = 20_000
_TEXT_BYTES = 1 << 20
"""Bytes of a text that are looked at, once inflated."""
_GREY, _RGB, _PALETTE = 0, 2, 3
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, 4: 2, 6: 4}
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF, _XMP = b"exif", b"XML:com.adobe.xmp"
_RAW_EXIF, _RAW_APP1, _RAW_XMP = (
    b"Raw profile type " + name for name in (b"exif", b"APP1", b"xmp")
)
_KEYS = (_EXIF, _XMP, _RAW_EXIF, _RAW_APP1, _RAW_XMP)


class _Parts:
    """The chunks that count: what comes before the pixels, the pixels, texts by their key."""

    def __init__(self, data: bytes) -> None:
        self.head = bytearray(data[:_SIGNATURE])
        self.header = self.clear = b""
        self.pixels: list[memoryview] = []
        self.texts: dict[bytes, bytes] = {}
        view, before = memoryview(data), b""
        for kind, at, end in _chunks(data):
            if kind == b"IDAT":
                if before == kind or not self.pixels:
                    self.pixels.append(view[at:end])
            elif kind == b"eXIf":
                self.texts[_EXIF] = data[at:end]
            elif kind in _TEXTS:
                self._keep_text(kind, data[at:end])
            elif not self.pixels:
                self._keep(kind, data, at, end)
            before = kind

    def _keep(self, kind: bytes, data: bytes, at: int, end: int) -> None:
        if kind == b"IHDR":
            self.header = data[at:end]
        if kind == b"tRNS":
            self.clear = data[at:end]
        colour = self.header[9] if len(self.header) > 9 else None
        if kind in (b"IHDR", b"PLTE") or (kind == b"tRNS" and colour == _PALETTE):
            self.head += data[at - 8 : end + 4]

    def _keep_text(self, kind: bytes, content: bytes) -> None:
        key, _, text = content.partition(b"\0")
        if key not in _KEYS:
            return
        packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
        if kind == b"iTXt":  # two flags, the language and the key in that language
            text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
        elif packed:
            text = text[1:]
        self.texts[key] = _inflated(text) if packed else text[:_TEXT_BYTES]


def examine(data: bytes) -> Outline:
    """Return the outline of a PNG; of an animation, that of the picture that all readers show.

    Raises ValueError for a file without pixels, or of too many chunks.
    """
    parts = _Parts(data)
    if len(parts.header) < 13 or not parts.pixels:
        raise ValueError("truncated before its picture")
    width, height, bits, colour = struct.unpack_from(">IIBB", parts.header)
    if bits not in (1, 2, 4, 8, 16) or colour not in _CHANNELS:
        raise ValueError(f"no PNG has {bits} bits in colour type {colour}")
    clear = _clear(parts.clear, bits, colour)
    stored = 4 if _CHANNELS[colour] > 1 else 2 if bits == 16 else 1
    deep = bits == 16 and len(clear) > 1
    if deep:
        stored *= 2  # its lower bytes are a picture of their own
    return Outline(
        (width, height),
        _file(parts),
        _memory(width, height, bits * _CHANNELS[colour], stored),
        _orientation(parts.texts),
        clear,
        deep=deep,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, where its content begins and where it ends."""
    at = _SIGNATURE
    for _ in range(_CHUNKS):
        if len(data) < at + 8:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        yield kind, at + 8, at + 8 + length
        at += 12 + length
    raise ValueError(f"more than {_CHUNKS} chunks")


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _TEXT_BYTES)
    except zlib.error:
        return b""


def _orientation(texts: dict[bytes, bytes]) -> int:
    exif, app1, xmp = (profile(texts.get(key, b"")) for key in (_RAW_EXIF, _RAW_APP1, _RAW_XMP))
    return orientation((texts.get(_EXIF, b""), exif, app1), (texts.get(_XMP, b""), xmp, app1))


def _clear(chunk: bytes, bits: int, colour: int) -> tuple[int, ...]:
    """Return the sample values that are transparent, as 8 bits have them or all 16."""
    count = _CHANNELS[colour]
    if colour not in (_GREY, _RGB) or len(chunk) < 2 * count:
        return ()
    most = (1 << bits) - 1
    scale = 255 // most if bits < 8 else 1
    return tuple((value & most) * scale for value in struct.unpack_from(f">{count}H", chunk))


def _memory(width: int, height: int, bits: int, stored: int) -> int:
    """Return what Pillow takes: its pixels, a pointer a row, two rows of ``bits`` a pixel."""
    return height * (width * stored + 11) + 2 * (width * bits // 8 + 2)


def _file(parts: _Parts) -> bytes:
    """Return a PNG of the same pixels and nothing else; nobody reads these two checksums."""
    begin = struct.pack(">I4s", sum(map(len, parts.pixels)), b"IDAT")
    end = bytes(4) + struct.pack(">I4sI", 0, b"IEND", 0)
    return b"".join((parts.head, begin, *parts.pixels, end))
