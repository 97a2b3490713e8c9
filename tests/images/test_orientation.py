"""A picture is upright wherever its file says how it was held."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gpfn.images.decoding import decode
from gpfn.images.orientation import orientation, profile
from tests.images.making import chunk, encoded, exif, picture, stored, xmp

LIMIT = 1_000_000
KEYWORD = b"XML:com.adobe.xmp\0"
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def png_with(*chunks: bytes, late: bool = False) -> Callable[[int], bytes]:
    """Return a maker of a PNG with more chunks, each a template that is filled in."""

    def made(number: int) -> bytes:
        data = encoded(stored(number), "PNG")
        at = data.index(b"IEND" if late else b"IDAT") - 4
        return data[:at] + b"".join(CHUNKS[name](number) for name in chunks) + data[at:]

    return made


def raw_profile(name: str, content: bytes) -> bytes:
    lines = "\n".join(content.hex()[at : at + 72] for at in range(0, 2 * len(content), 72))
    return f"\n{name}\n{len(content):8}\n{lines}\n".encode()


def text(kind: bytes, key: bytes, content: bytes) -> bytes:
    head = {b"tEXt": b"", b"zTXt": b"\0", b"iTXt": b"\0\0en\0key\0", b"iTXz": b"\1\0\0\0"}[kind]
    packed = zlib.compress(content) if kind in (b"zTXt", b"iTXz") else content
    return chunk(b"iTXt" if kind == b"iTXz" else kind, key + b"\0" + head + packed)


RAW = b"Raw profile type "
CHUNKS: dict[bytes, Callable[[int], bytes]] = {
    b"eXIf": lambda n: chunk(b"eXIf", exif(n)),
    b"eXIf >": lambda n: chunk(b"eXIf", exif(n, ">")),
    b"no tag": lambda n: chunk(b"eXIf", exif(n).replace(b"\x12\x01", b"\x13\x01")),
    b"other": lambda n: chunk(b"eXIf", exif(9 - n)),
    **{
        kind + b" " + name: lambda n, kind=kind, name=name: text(
            kind, RAW + name, raw_profile(name.decode(), b"Exif\0\0" + exif(n))
        )
        for kind in (b"tEXt", b"zTXt", b"iTXt", b"iTXz")
        for name in (b"exif", b"APP1")
    },
    b"APP1 xmp": lambda n: text(b"zTXt", RAW + b"APP1", raw_profile("APP1", JPEG_XMP + xmp(n))),
    b"raw xmp": lambda n: text(b"zTXt", RAW + b"xmp", raw_profile("xmp", xmp(n))),
    **{
        kind + b" xmp": lambda n, kind=kind: text(kind, KEYWORD[:-1], xmp(n))
        for kind in (b"tEXt", b"zTXt", b"iTXt", b"iTXz")
    },
}


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(*contents: Callable[[int], bytes], **options: object) -> Callable[[int], bytes]:
    def made(number: int) -> bytes:
        data = encoded(stored(number), "JPEG", quality=95, **options)
        return data[:2] + b"".join(segment(0xE1, make(number)) for make in contents) + data[2:]

    return made


def webp(number: int, **options: object) -> bytes:
    return encoded(stored(number), "WEBP", lossless=True, **options)


def animated_webp(number: int) -> bytes:
    later = [Image.new("RGB", stored(number).size, "blue")]
    return webp(number, save_all=True, append_images=later, duration=9, exif=exif(number))


def mpo(number: int) -> bytes:
    meta = Image.Exif()
    meta[0x0112] = number
    image = stored(number)
    return encoded(image, "MPO", save_all=True, append_images=[image], exif=meta, quality=95)


AS_PILLOW = {
    "JPEG": jpeg_with(lambda n: b"Exif\0\0" + exif(n)),
    "JPEG, progressive": jpeg_with(lambda n: b"Exif\0\0" + exif(n), progressive=True),
    "JPEG, big-endian": jpeg_with(lambda n: b"Exif\0\0" + exif(n, ">")),
    "JPEG, mark twice": jpeg_with(lambda n: 2 * b"Exif\0\0" + exif(n)),
    "JPEG, long": jpeg_with(lambda n: b"Exif\0\0" + exif(n, "<", "I")),
    "JPEG, many tags": jpeg_with(lambda n: b"Exif\0\0" + exif(n, also=tuple(range(1, 200)))),
    "JPEG, two segments": jpeg_with(
        lambda n: b"Exif\0\0" + exif(n)[:20], lambda n: b"Exif\0\0" + exif(n)[20:]
    ),
    "JPEG, XMP": jpeg_with(lambda n: JPEG_XMP + xmp(n)),
    "JPEG, XMP element": jpeg_with(
        lambda n: JPEG_XMP + xmp(n, "<tiff:Orientation>%d</tiff:Orientation>")
    ),
    "JPEG, EXIF before XMP": jpeg_with(
        lambda n: JPEG_XMP + xmp(9 - n), lambda n: b"Exif\0\0" + exif(n)
    ),
    "JPEG, EXIF without": jpeg_with(
        lambda n: b"Exif\0\0" + exif(n).replace(b"\x12\x01", b"\x13\x01"),
        lambda n: JPEG_XMP + xmp(n),
    ),
    "MPO": mpo,
    "WebP": lambda n: webp(n, exif=exif(n)),
    "WebP, marked": lambda n: webp(n, exif=b"Exif\0\0" + exif(n)),
    "WebP, XMP": lambda n: webp(n, xmp=xmp(n)),
    "WebP, animated": animated_webp,
    **{
        f"PNG, {name.decode()}": png_with(name)
        for name in CHUNKS
        if name not in (b"no tag", b"other", b"APP1 xmp", b"raw xmp") and b"APP1" not in name
    },
    "PNG, eXIf late": png_with(b"eXIf", late=True),
    "PNG, profile late": png_with(b"zTXt exif", late=True),
    "PNG, XMP late": png_with(b"iTXt xmp", late=True),
    "PNG, EXIF before XMP": png_with(b"eXIf", b"iTXt xmp"),
    "PNG, EXIF without": png_with(b"no tag", b"iTXt xmp"),
}
"""What Pillow finds as well."""

BEYOND = {
    **{f"PNG, {name.decode()}": png_with(name) for name in CHUNKS if b"APP1" in name},
    "JPEG, byte": jpeg_with(lambda n: b"Exif\0\0" + exif(n, ">", "B")),
    "PNG, raw xmp": png_with(b"raw xmp"),
    "PNG, APP1 late": png_with(b"zTXt APP1", late=True),
    "PNG, profile and EXIF without": png_with(b"no tag", b"zTXt exif"),
    "JPEG, XMP quoted otherwise": jpeg_with(
        lambda n: JPEG_XMP + xmp(n, "<rdf:Description tiff:Orientation = '%d'/>")
    ),
    "JPEG, XMP in UTF-16": jpeg_with(
        lambda n: JPEG_XMP + xmp(n).decode().encode("utf-16-be"),
    ),
}
"""What Pillow does not look for."""


def upright(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, (96, 64), LIMIT)).astype(int)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("place", [*AS_PILLOW, *BEYOND])
def test_a_picture_is_upright_wherever_that_is_told(place: str, number: int) -> None:
    pixels = upright({**AS_PILLOW, **BEYOND}[place](number))
    assert pixels.shape == (64, 96, 3)
    assert abs(pixels - picture()).mean() < 6


@pytest.mark.parametrize("place", AS_PILLOW)
def test_it_is_as_upright_as_pillow_makes_it(place: str) -> None:
    for number in (2, 6, 7):
        data = AS_PILLOW[place](number)
        image = Image.open(io.BytesIO(data))
        theirs = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
        assert abs(upright(data) - theirs).max() < 3


@pytest.mark.parametrize("number", range(1, 9))
def test_a_photo_held_sideways_is_decoded_at_the_scale_it_needs(number: int) -> None:
    """Fails when the wanted sides are not swapped, or the scale is not reduced."""
    photo = stored(number).resize(tuple(8 * side for side in stored(number).size))
    data = jpeg_with(lambda n: b"Exif\0\0" + exif(n))(number)
    head = data[: data.index(b"\xff\xe0")]
    image = decode(head + encoded(photo, "JPEG", quality=95)[2:], (96, 64), LIMIT)
    assert image.size == (96, 64)
    assert abs(np.asarray(image).astype(int) - picture()).mean() < 6


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_what_is_no_orientation_leaves_the_picture(number: int) -> None:
    assert orientation([exif(number)], [xmp(6)]) == 1
    assert orientation([], [xmp(min(number, 9))]) == 1


@pytest.mark.parametrize(
    "block",
    [
        b"", b"Exif\0\0", b"II*\0", b"XX*\0" + exif(6)[4:], exif(6)[:20], exif(6)[:-8],
        b"II*\0" + struct.pack("<I", 1 << 31), b"II*\0" + struct.pack("<IH", 8, 65535),
        exif(6).replace(struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 3, 2)),
        exif(6).replace(struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 2, 1)),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_broken_block_says_nothing(block: bytes) -> None:
    assert orientation([block], []) == 1
    assert orientation([block, exif(8)], []) == 8


@given(st.binary(max_size=200), st.integers(0, 40))
def test_any_block_is_read_or_not(block: bytes, at: int) -> None:
    damaged = exif(6, also=(1, 2))
    assert orientation([block, damaged[:at] + block + damaged[at:]], [block]) in range(1, 9)
    assert isinstance(profile(b"\nexif\n 9\n" + block), bytes)


@pytest.mark.parametrize("where", ["text", "zipped", "exif"])
def test_a_long_block_costs_what_its_length_costs(where: str) -> None:
    import time

    content = {
        "text": b"\nexif\n 9\n" + b"\n" * (1 << 22),
        "zipped": b" " * (1 << 22),
        "exif": exif(1, also=tuple(range(0x200, 0x200 + 60_000))),
    }[where]
    started = time.process_time()
    assert profile(content) is not None
    assert orientation([content], [content, b"tiff:Orientation" * 100_000]) == 1
    assert time.process_time() - started < 0.5
