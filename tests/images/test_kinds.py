"""What is no image that is read here is named, with what to do."""

import struct

import pytest
from PIL import Image

from gpfn.errors import InvalidImage
from gpfn.images.decoding import decode
from tests.images.making import encoded


def media(brand: bytes, *compatible: bytes) -> bytes:
    """Return the start of an ISO media file of these brands."""
    content = brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(content) + 8) + b"ftyp" + content + b"\0\0\0\x08mdat"


NAMES = [
    (media(b"heic", b"mif1", b"heic"), "a HEIC photo"),
    (media(b"heix"), "a HEIC photo"),
    (media(b"mif1", b"mif1", b"heic"), "a HEIC photo"),
    (media(b"msf1", b"hevc"), "a HEIC photo"),
    (media(b"avif", b"mif1", b"miaf"), "an AVIF image"),
    (media(b"avis", b"msf1"), "an AVIF image"),
    (media(b"mif1", b"avif", b"miaf"), "an AVIF image"),
    (media(b"mif1", b"miaf"), "a HEIF image"),
    (media(b"isom", b"avc1"), "a video"),
    (media(b"qt  "), "a video"),
    (media(b"crx "), "a raw photo"),
    (media(b"mp42")[:11], "a video"),
    (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"II*\0\x08\0\0\0", "a TIFF image"),
    (b"MM\0*\0\0\0\x08", "a TIFF image"),
    (b"8BPS\0\1", "a Photoshop file"),
    (b"\0\0\1\0\1\0", "an icon"),
    (b"\x1aE\xdf\xa3", "a video"),
]


@pytest.mark.parametrize(("data", "name"), NAMES)
def test_another_format_is_named_with_what_to_do(data: bytes, name: str) -> None:
    with pytest.raises(InvalidImage, match=f"this is {name}.*JPEG, PNG, WebP or GIF") as caught:
        decode(data + bytes(600), (8, 8), 1000)
    assert caught.value.field == "image"


def test_real_avif_is_named() -> None:
    data = encoded(Image.new("RGB", (8, 8)), "AVIF")
    with pytest.raises(InvalidImage, match="this is an AVIF image; convert it to JPEG"):
        decode(data, (8, 8), 1000)


def test_an_iphone_is_told_how() -> None:
    with pytest.raises(InvalidImage, match=r"Most Compatible.*convert it to JPEG.*: heif-convert"):
        decode(media(b"heic"), (8, 8), 1000)
