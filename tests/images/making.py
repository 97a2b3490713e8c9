"""Image files made by hand: PNG of any kind, EXIF and XMP that state an orientation."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

UNDO = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""The Image.Transpose that stores a picture so that an orientation makes it upright."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image as a file, made by Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    size: tuple[int, int],
    bits: int,
    colour: int,
    rows: bytes,
    *more: bytes,
    interlaced: bool = False,
) -> bytes:
    """Return a PNG of packed ``rows`` without filter bytes, and ``more`` chunks before them."""
    width, height = size
    stride = (width * bits * CHANNELS[colour] + 7) // 8
    raw = b"".join(b"\0" + rows[at : at + stride] for at in range(0, stride * height, stride))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(raw, 1))
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *more, pixels, chunk(b"IEND", b""))
    )


def blank_png(size: tuple[int, int], bits: int, colour: int, *more: bytes) -> bytes:
    """Return a PNG whose samples are all 0."""
    width, height = size
    stride = (width * bits * CHANNELS[colour] + 7) // 8
    return png(size, bits, colour, bytes(stride * height), *more)


def transparent(*samples: int) -> bytes:
    """Return the tRNS chunk of one grey or one colour."""
    return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


def exif(orientation: int, order: str = "<", kind: str = "H", also: tuple[int, ...] = ()) -> bytes:
    """Return a TIFF block with an orientation as an integer of ``kind``, behind ``also`` tags."""
    types = {"B": 1, "H": 3, "I": 4}
    rows = [struct.pack(order + "HHII", tag, 4, 1, 7) for tag in also]
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    rows.append(struct.pack(order + "HHI", 0x0112, types[kind], 1) + value)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return start + struct.pack(order + "H", len(rows)) + b"".join(rows) + bytes(4)


def xmp(orientation: int, form: str = '<rdf:Description tiff:Orientation="%d"/>') -> bytes:
    """Return an XMP packet with an orientation, stated in ``form``."""
    return b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + (form % orientation).encode() + b"</x:xmpmeta>"


def picture(width: int = 96, height: int = 64) -> np.ndarray:
    """Return pixels that no turn and no mirror leaves as they are: one red corner."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[: height // 2, : width // 4] = (255, 0, 0)
    return pixels


def stored(orientation: int) -> Image.Image:
    """Return the picture as a camera stores it that states this orientation."""
    upright, turn = Image.fromarray(picture()), UNDO[orientation]
    return upright if turn is None else upright.transpose(Image.Transpose(turn))
