"""Whatever a file is damaged to, it is a picture or an error of ours, and soon."""

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpfn.errors import InvalidImage, TooLarge
from gpfn.images.decoding import decode
from gpfn.images.kinds import kind_of
from tests.images.making import chunk, encoded, exif, picture, png, transparent, xmp

NOISE = np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8)
RGB, FLAT = Image.fromarray(NOISE), Image.fromarray(picture(40, 24))
XMP = b"XML:com.adobe.xmp" + bytes(5)
FRAMES = {"save_all": True, "append_images": [FLAT], "duration": 10}
MADE = (
    encoded(RGB, "JPEG", exif=b"Exif\0\0" + exif(6), xmp=xmp(3)),
    encoded(FLAT, "JPEG", progressive=True, exif=b"Exif\0\0" + exif(8, ">")),
    encoded(FLAT.convert("CMYK"), "JPEG", progressive=True),
    encoded(FLAT, "JPEG", restart_marker_blocks=1),
    encoded(RGB, "PNG"),
    encoded(FLAT, "PNG", **FRAMES),
    png((8, 4), 4, 0, bytes(range(16)), transparent(3), chunk(b"eXIf", exif(5))),
    png((4, 4), 16, 2, bytes(96), transparent(0, 0, 0), chunk(b"iTXt", XMP + xmp(7))),
    png((8, 8), 8, 3, bytes(64), chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(9))),
    encoded(RGB, "WEBP", exif=exif(6), xmp=xmp(6)),
    encoded(FLAT.convert("RGBA"), "WEBP", lossless=True),
    encoded(FLAT, "WEBP", **FRAMES),
    encoded(RGB, "GIF"),
    encoded(FLAT, "GIF", **FRAMES, transparency=0),
)  # fmt: skip
"""A file of each form that is read in its own way."""

PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc2", b"\xff\xff"]),
    st.sampled_from([b"IDAT", b"IHDR", b"tRNS", b"eXIf", bytes(4), b"\xff" * 4]),
    st.sampled_from([b"VP8X", b"VP8L", b"ANMF", b"ALPH", b"!\xf9\4", b",", b";"]),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with some places overwritten, cut out, doubled or filled with something else."""
    data = bytearray(draw(st.sampled_from(MADE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)) | st.integers(0, min(60, len(data))))
        until = at + draw(st.sampled_from([0, 1, 1, 2, 4, 30]))
        data[at:until] = draw(PIECES | st.just(bytes(data[at:until]) * 2))
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(damaged(), st.sampled_from([(8, 8), (40, 3)]), st.sampled_from(["crop", "stretch"]))
def test_any_damage_is_a_picture_or_an_error(data: bytes, size: tuple[int, int], fit: str) -> None:
    started = time.process_time()
    try:
        image = decode(data, size, 1_000_000, fit=fit)
    except (InvalidImage, TooLarge) as error:
        assert error.field == "image"  # noqa: PT017  (either outcome is right)
        assert len(str(error)) < 300  # noqa: PT017
    else:
        assert image.mode == "RGB"
        assert image.width * image.height <= 1_000_000
    assert time.process_time() - started < 1


@settings(max_examples=600, deadline=None)
@given(st.sampled_from([data[:12] for data in MADE]), st.lists(PIECES, max_size=12))
def test_what_only_begins_as_an_image_is_an_error(start: bytes, pieces: list[bytes]) -> None:
    with pytest.raises((InvalidImage, TooLarge)):
        decode(start + b"".join(pieces), (8, 8), 1_000_000)


@pytest.mark.filterwarnings("ignore:Palette images")
@pytest.mark.parametrize("data", MADE, ids=range(len(MADE)))
def test_what_is_left_out_changes_no_pixel(data: bytes) -> None:
    """The file that the decoder gets is read by Pillow as the whole one is."""
    left = kind_of(data, "image").examine(data).data
    whole, rest = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(left))
    assert rest.size == whole.size
    pixels = [np.asarray(image.convert("RGB")) for image in (whole, rest)]
    np.testing.assert_array_equal(*pixels)
