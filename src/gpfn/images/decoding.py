"""From the bytes of an image file to upright RGB pixels, its size checked first."""

import io
import warnings
from typing import TYPE_CHECKING

from gpfn.errors import InvalidImage, MissingExtra, TooLarge

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decode"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_SIGNATURES = (
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
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError)
"""What Pillow raises for damaged files; it documents only OSError."""


def decode(
    data: bytes | memoryview, size: tuple[int, int], max_pixels: int, *, field: str = "image"
) -> "Image.Image":
    """Return the image as RGB, upright by its EXIF orientation, at least ``size`` large.

    ``size`` is (width, height): a JPEG is decoded at the smallest of its reduced scales
    that covers it, which is much faster; others come in full. The first frame of an
    animation counts; what is transparent becomes white. Raises InvalidImage with the
    reason, TooLarge by the header alone when it has more than ``max_pixels``.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("Pillow", "images") from None
    if not len(data):
        raise InvalidImage("empty file", field=field)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit decides, not Pillow's warning
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise TooLarge(f"more than {max_pixels} pixels (GPFN_MAX_PIXELS)", field=field) from None
    except _BROKEN:
        raise InvalidImage(_what_it_is(bytes(data[:512])), field=field) from None
    with image:
        _check_size(image, max_pixels, field)
        try:
            return _upright_rgb(image, size)
        except _BROKEN as error:
            kind = image.format or "image"
            raise InvalidImage(f"damaged {kind} file: {error}", field=field) from None


def _check_size(image: "Image.Image", max_pixels: int, field: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(
            f"{width} x {height} is more than {max_pixels} pixels (GPFN_MAX_PIXELS)", field=field
        )


def _what_it_is(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, name in _SIGNATURES:
        if text.startswith(signature.lower()):
            return f"this is {name}; send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    return f"not an image that can be read; send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def _upright_rgb(image: "Image.Image", size: tuple[int, int]) -> "Image.Image":
    from PIL import ImageOps

    if image.format == "JPEG":
        sideways = image.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 swap the sides
        image.draft("RGB", (size[1], size[0]) if sideways else size)
    image.load()
    return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        return _from_16_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layers).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: "Image.Image") -> "Image.Image":
    """Keep the upper eight bits; Pillow's own conversion clips at 255."""
    import numpy as np
    from PIL import Image

    grey = np.asarray(image).astype(np.uint32) >> 8
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8), "L").convert("RGB")
