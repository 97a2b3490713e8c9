"""Which format a file is of: what reads it here, or its name when nothing does."""

from importlib import import_module
from typing import NamedTuple, cast

from gpfn.errors import InvalidImage
from gpfn.images.outline import Outline

__all__ = ["Kind", "kind_of"]


class Kind(NamedTuple):
    """A format: how a file of it begins, what stands at byte 8, and who reads it.

    ``structure`` is the module whose ``examine`` reads the file's outline, none for a GIF,
    ``reader`` the class of Pillow that decodes it; both are imported when a file needs them.
    Pillow's own ``open`` imports its plugins first, all of them once a file is of none of
    the usual formats, which a cold start would wait for.
    """

    name: str
    start: bytes
    inner: bytes
    structure: str
    reader: str

    def examine(self, data: bytes) -> Outline:
        """Return the outline of a file. Raises ValueError and LookupError for a damaged one."""
        if not self.structure:
            return _gif(data)
        return cast("Outline", import_module(f"gpfn.images.{self.structure}").examine(data))


def _gif(data: bytes) -> Outline:
    """Return the outline of a GIF: a byte a pixel, the rows' pointers."""
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    return Outline((width, height), data, height * (width + 11))


_KINDS = (
    Kind("JPEG", b"\xff\xd8\xff", b"", "jpeg", "JpegImagePlugin:JpegImageFile"),
    Kind("PNG", b"\x89PNG\r\n\x1a\n", b"", "png", "PngImagePlugin:PngImageFile"),
    Kind("WebP", b"RIFF", b"WEBP", "webp", "WebPImagePlugin:WebPImageFile"),
    Kind("GIF", b"GIF87a", b"", "", "GifImagePlugin:GifImageFile"),
    Kind("GIF", b"GIF89a", b"", "", "GifImagePlugin:GifImageFile"),
)
_READ = "JPEG, PNG, WebP or GIF"

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
    (b"II+\x00", "a TIFF image"),
    (b"MM\x00+", "a TIFF image"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x1a\x45\xdf\xa3", "a video"),
)

_BRANDS = (
    ((b"avif", b"avis"), "an AVIF image", ": avifdec image.avif image.png"),
    (
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
        "a HEIC photo (an iPhone takes JPEG under Settings, Camera, Formats, Most Compatible)",
        ": heif-convert photo.heic photo.jpg",
    ),
    ((b"mif1", b"msf1"), "a HEIF image", ": heif-convert image.heif image.jpg"),
    ((b"crx ",), "a raw photo", ""),
)
"""What an ISO media file (ISO/IEC 14496-12) is by the brands at its start, and a command that
converts it; else it is a video."""


def kind_of(data: bytes, field: str) -> Kind:
    """Return the format of an image file; raise InvalidImage saying what it is instead."""
    for kind in _KINDS:
        if data.startswith(kind.start) and data[8:12].startswith(kind.inner):
            return kind
    raise InvalidImage(_what_it_is(data[:512]), field=field)


def _what_it_is(start: bytes) -> str:
    if start[4:8] == b"ftyp":
        name, command = _by_brand(start)
        return f"this is {name}; convert it to {_READ}{command}"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, name in _OTHERS:
        if text.startswith(signature.lower()):
            return f"this is {name}; send {_READ}"
    return f"not an image that can be read; send {_READ}"


def _by_brand(start: bytes) -> tuple[str, str]:
    length = int.from_bytes(start[:4], "big")
    compatible = start[16:length]
    brands = {start[8:12], *(compatible[at : at + 4] for at in range(0, len(compatible), 4))}
    found = ((name, command) for known, name, command in _BRANDS if brands.intersection(known))
    return next(found, ("a video", ""))
