"""From the bytes of an image file to upright RGB pixels, its size checked first."""

import io
import struct
import warnings
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from gpfn.errors import InvalidImage, MissingExtra, TooLarge

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = ["decode"]

_READERS = (
    (b"\xff\xd8\xff", b"", "JPEG", "JpegImagePlugin:JpegImageFile"),
    (b"\x89PNG\r\n\x1a\n", b"", "PNG", "PngImagePlugin:PngImageFile"),
    (b"RIFF", b"WEBP", "WebP", "WebPImagePlugin:WebPImageFile"),
    (b"GIF87a", b"", "GIF", "GifImagePlugin:GifImageFile"),
    (b"GIF89a", b"", "GIF", "GifImagePlugin:GifImageFile"),
)
"""How a file begins, what stands at byte 8, its format, and the class of Pillow that reads it.

Pillow's own ``open`` imports its plugins first, all of them once a file is of none of the
usual formats, which a cold start would wait for.
"""

_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
)
_BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, OverflowError),
    *(LookupError, TypeError, struct.error),
)
"""What Pillow raises for damaged files; it documents only OSError."""

_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""The Image.Transpose that undoes each EXIF orientation but the first, which is upright."""


def decode(
    data: bytes | memoryview, size: tuple[int, int], max_pixels: int, *, field: str = "image"
) -> "Image.Image":
    """Return the image as RGB, upright by its EXIF orientation, at least ``size`` large.

    ``size`` is (width, height): a JPEG is decoded at the smallest of its reduced scales
    that covers it, which is much faster; others come in full. The first frame of an
    animation counts; what is transparent becomes white. Raises InvalidImage with the
    reason, TooLarge by the header alone when it has more than ``max_pixels``.
    """
    if not len(data):
        raise InvalidImage("empty file", field=field)
    kind, reader = _reader(data, field)
    try:
        image = _opened(reader, data, max_pixels, field)
        with image:
            _check_size(image, max_pixels, field)
            return _upright_rgb(image, size)
    except _BROKEN as error:
        raise InvalidImage(f"damaged {kind} file: {error}", field=field) from None


def _reader(data: bytes | memoryview, field: str) -> tuple[str, str]:
    start = bytes(data[:512])
    for beginning, inner, kind, reader in _READERS:
        if start.startswith(beginning) and start[8:].startswith(inner):
            return kind, reader
    raise InvalidImage(_what_it_is(start), field=field)


def _opened(
    reader: str, data: bytes | memoryview, max_pixels: int, field: str
) -> "ImageFile.ImageFile":
    """Read a file's header; its size is known then."""
    try:
        from PIL.Image import DecompressionBombError
    except ImportError:
        raise MissingExtra("Pillow", "images") from None
    _keep_pillow_quiet()
    module, _, name = reader.partition(":")
    try:
        made = getattr(import_module(f"PIL.{module}"), name)(io.BytesIO(data))
    except DecompressionBombError:
        raise TooLarge(f"more than {max_pixels} pixels (GPFN_MAX_PIXELS)", field=field) from None
    return cast("ImageFile.ImageFile", made)


@cache
def _keep_pillow_quiet() -> None:
    """Switch off its warnings on strange files: Python would remember each text for ever."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _check_size(image: "Image.Image", max_pixels: int, field: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(
            f"{width} x {height} is more than {max_pixels} pixels (GPFN_MAX_PIXELS)", field=field
        )


def _what_it_is(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, name in _OTHERS:
        if text.startswith(signature.lower()):
            return f"this is {name}; send JPEG, PNG, WebP or GIF"
    return "not an image that can be read; send JPEG, PNG, WebP or GIF"


def _upright_rgb(image: "ImageFile.ImageFile", size: tuple[int, int]) -> "Image.Image":
    from PIL import Image

    orientation = _orientation(image)
    if image.format == "JPEG":
        sideways = orientation >= 5  # orientations 5 to 8 swap the sides
        image.draft("RGB", (size[1], size[0]) if sideways else size)
    image.load()
    pixels = _rgb(image, size)
    turn = _TURNS.get(orientation)
    return pixels if turn is None else pixels.transpose(Image.Transpose(turn))


def _orientation(image: "Image.Image") -> int:
    try:
        found = image.getexif().get(0x0112, 1) if "exif" in image.info else 1
    except _BROKEN:  # a picture without its orientation is still one
        return 1
    return found if isinstance(found, int) else 1


def _rgb(image: "Image.Image", size: tuple[int, int]) -> "Image.Image":
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return _on_white(image.convert("RGBA"), size)
    return image.convert("RGB")


def _on_white(layers: "Image.Image", size: tuple[int, int]) -> "Image.Image":
    """Make what is transparent white; of a large image only as much as is needed is kept."""
    from PIL import Image

    surplus = min(layers.width // max(size), layers.height // max(size)) // 2
    if surplus > 1:
        layers = layers.reduce(surplus)
    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layers).convert("RGB")


def _from_16_bits(image: "Image.Image") -> "Image.Image":
    """Keep the upper eight bits; Pillow's own conversion clips at 255."""
    import numpy as np
    from PIL import Image

    grey = np.asarray(image) >> 8
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8), "L").convert("RGB")
