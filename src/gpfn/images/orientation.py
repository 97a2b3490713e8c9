"""Which way up a picture is, as its EXIF or XMP says.

Read by hand, not by Pillow: the tag is one of up to 65,535 in a block of the caller's making,
and Pillow keeps them all, imports its TIFF reader for it, and knows fewer places.
"""

import re
import struct
from collections.abc import Iterable

__all__ = ["orientation", "profile"]

_TAG = 0x0112
_TYPES = {1: "B", 3: "H", 4: "I"}
"""The TIFF types of a whole number, as struct has them."""
_ENTRY = 12
_EXIF_MARK = b"Exif\0\0"
_XMP_TAG = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])""")
_PROFILE = re.compile(rb"\s*\w+\s+\d+\s+([0-9A-Fa-f\s]+)")


def orientation(exif: Iterable[bytes], xmp: Iterable[bytes]) -> int:
    """Return the orientation, 1 to 8 as EXIF numbers them; 1, upright, when nothing tells.

    ``exif`` and ``xmp`` are the blocks that a file has, in any state. The first that states
    an orientation counts, EXIF before XMP, as in Pillow's ``ImageOps.exif_transpose``.
    """
    for block in exif:
        found = _from_exif(block)
        if found is not None:
            return found if 1 <= found <= 8 else 1
    for block in xmp:
        match = _XMP_TAG.search(block.replace(b"\0", b""))  # it may be UTF-16
        if match is not None:
            return int(match[1]) if b"1" <= match[1] <= b"8" else 1
    return 1


def profile(text: bytes) -> bytes:
    """Return the bytes of an ImageMagick "Raw profile": a name, a length and hex digits.

    What is not one gives nothing.
    """
    match = _PROFILE.match(text)
    digits = b"".join(match[1].split()) if match else b""
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))


def _from_exif(block: bytes) -> int | None:
    """Return the tag's value in the first directory of a TIFF block; None without it."""
    for _ in range(2):  # some writers put the mark twice
        block = block.removeprefix(_EXIF_MARK)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        return None if order is None else _in_directory(block, order)
    except struct.error:  # cut short; a picture without its orientation is still one
        return None


def _in_directory(block: bytes, order: str) -> int | None:
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    last = min(start + 2 + count * _ENTRY, len(block) - _ENTRY + 1)
    found = None
    for at in range(start + 2, last, _ENTRY):
        tag, kind, values = struct.unpack_from(order + "HHI", block, at)
        if tag == _TAG and values == 1 and kind in _TYPES:
            (found,) = struct.unpack_from(order + _TYPES[kind], block, at + 8)
    return found
