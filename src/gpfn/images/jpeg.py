"""What the segments of a JPEG file say, before anything is decoded (ITU-T T.81, annex B).

A file of several scans costs more than its pixels: all coefficients are kept until the last
scan, and every scan, though it be of ten bytes, goes over the whole picture.
"""

import re
from collections.abc import Iterator
from itertools import islice

from gpfn.images.orientation import orientation
from gpfn.images.outline import SCANS, Outline

__all__ = ["examine"]

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Any but RST0 to RST7, which stand inside of a scan, as FF00 does."""
_SEGMENTS = 10_000
_TABLE_BYTES = 1 << 16
_END, _SCAN, _PROGRESSIVE = 0xD9, 0xDA, 0xC2
_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TABLES = (0xC4, 0xDB, 0xDD)  # Huffman, quantisation, restarts
_COLOURS = (0xE0, 0xEE)  # JFIF and Adobe tell YCbCr from RGB, in their first bytes
_COLOUR_BYTES = 16
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_COEFFICIENTS = 128  # bytes of a block of 8 x 8


class _Head:
    """What stands before the first scan: what a decoder needs of it, and how it was held."""

    def __init__(self) -> None:
        self.kept = bytearray(b"\xff\xd8")
        self.exif = bytearray()
        self.frame = self.xmp = b""
        self.progressive = False

    def add(self, marker: int, content: bytes) -> None:
        """Take the content of a segment, without its length."""
        if marker in _OTHER_FRAMES or (marker in _FRAMES and self.frame):
            raise ValueError("lossless, arithmetic or hierarchical coding is not read")
        if marker in _FRAMES:
            self.frame, self.progressive = content, marker == _PROGRESSIVE
        elif marker == 0xE1:
            self._add_application(content)
        if marker in _COLOURS:
            content = content[:_COLOUR_BYTES]
        if marker in (*_FRAMES, *_TABLES, *_COLOURS):
            self.kept += bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
        if len(self.kept) > _TABLE_BYTES:
            raise ValueError(f"more than {_TABLE_BYTES} bytes of tables")

    def _add_application(self, content: bytes) -> None:
        if content.startswith(_EXIF):
            self.exif += content[len(_EXIF) :] if self.exif else content
        elif content.startswith(_XMP):
            self.xmp = content


def examine(data: bytes) -> Outline:
    """Return the outline of a JPEG; previews, profiles and comments are left out of its data.

    Raises ValueError for a file that has no picture or one that is not decoded here.
    """
    segments = _segments(data)
    head, scan = _Head(), 0
    for marker, start, end in segments:
        if marker == _SCAN:
            scan = start
            break
        head.add(marker, data[start + 4 : end])
    if not scan or not head.frame:
        raise ValueError("truncated before its picture")
    height, width = (int.from_bytes(head.frame[at : at + 2], "big") for at in (1, 3))
    several = head.progressive or data[scan + 4] < head.frame[5]
    return Outline(
        (width, height),
        b"".join((head.kept, memoryview(data)[scan:])),
        several * _kept_bytes(width, height, head.frame[7::3]),
        orientation([bytes(head.exif)], [head.xmp]),
        scaled=True,
        scans=1 + _count(segments) if several else 1,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, where it begins and where its content ends."""
    end = 2
    for _ in range(_SEGMENTS):
        match = _MARKER.search(data, end)
        if match is None or data[match.end() - 1] == _END:
            return
        marker, end = data[match.end() - 1], match.end()
        if marker >= 0xC0 and marker != 0xD8:
            end += int.from_bytes(data[end : end + 2], "big")
            yield marker, match.start(), end
    raise ValueError(f"more than {_SEGMENTS} segments")


def _count(segments: Iterator[tuple[int, int, int]]) -> int:
    """Return how many scans follow, up to as many as there may be."""
    return len(list(islice((0 for marker, _, _ in segments if marker == _SCAN), SCANS)))


def _kept_bytes(width: int, height: int, sampling: bytes) -> int:
    """Return what the coefficients take, in whole units of each colour's blocks."""
    sides = [(side >> 4, side & 15) for side in sampling]
    if not sides or not all(1 <= x <= 4 and 1 <= y <= 4 for x, y in sides):
        raise ValueError("its frame is wrong")
    across, down = 8 * max(x for x, _ in sides), 8 * max(y for _, y in sides)
    units = -(-width // across) * -(-height // down)
    return _COEFFICIENTS * units * sum(x * y for x, y in sides)
