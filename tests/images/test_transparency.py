"""What a picture lets through is white, whatever form its transparency has."""

import struct

import numpy as np
import pytest
from PIL import Image

from gpfn.images.decoding import decode
from tests.images.making import chunk, encoded, png, transparent

LIMIT = 1_000_000
SIDE = 16
WHITE = (255, 255, 255)


def halves(data: bytes, size: tuple[int, int] = (SIDE, SIDE)) -> list[tuple[int, ...]]:
    """Return the colours of the left and the right half of a picture, which must be even."""
    pixels = np.asarray(decode(data, size, LIMIT))
    middle = pixels.shape[1] // 2
    found = []
    for half in (pixels[:, :middle], pixels[:, middle:]):
        assert (half == half[0, 0]).all()
        found.append(tuple(half[0, 0].tolist()))
    return found


def packed(left: int, right: int, bits: int) -> bytes:
    """Return a row of grey samples of so many bits, the left half's and the right half's."""
    row = np.repeat([left, right], SIDE // 2)
    if bits == 16:
        return row.astype(">u2").tobytes()
    each = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    return np.packbits(each.reshape(-1)).tobytes()


GREYS = [
    (1, 0, 1, 0, [WHITE, WHITE]),
    (1, 0, 1, 1, [(0, 0, 0), WHITE]),
    (2, 1, 2, 1, [WHITE, (170, 170, 170)]),
    (2, 0, 3, 0, [WHITE, WHITE]),
    (4, 8, 3, 8, [WHITE, (51, 51, 51)]),
    (4, 15, 8, 8, [WHITE, WHITE]),
    (4, 1, 7, 7, [(17, 17, 17), WHITE]),
    (8, 8, 136, 8, [WHITE, (136, 136, 136)]),
    (8, 17, 136, 136, [(17, 17, 17), WHITE]),
    (16, 0x1234, 0x1235, 0x1234, [WHITE, (0x12,) * 3]),
    (16, 0x1234, 0x00FF, 0x00FF, [(0x12,) * 3, WHITE]),
    (16, 0xFFFE, 0x0000, 0x0000, [(255,) * 3, WHITE]),
]
"""Bits, the left and the right sample, the transparent one, and the colours that are right."""


@pytest.mark.parametrize(("bits", "left", "right", "clear", "colours"), GREYS)
def test_one_transparent_grey(
    bits: int, left: int, right: int, clear: int, colours: list[tuple[int, ...]]
) -> None:
    rows = packed(left, right, bits) * SIDE
    assert halves(png((SIDE, SIDE), bits, 0, rows, transparent(clear))) == colours
    without = [
        tuple([(sample >> 8) if bits == 16 else sample * 255 // ((1 << bits) - 1)] * 3)
        for sample in (left, right)
    ]
    assert halves(png((SIDE, SIDE), bits, 0, rows)) == without


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_only_as_many_bits_as_a_sample_has_count(bits: int) -> None:
    """The PNG standard: the others of the sixteen are to be ignored."""
    rows, surplus = packed(1, 0, bits) * SIDE, 0xFFFF >> bits << bits & 0xFFFF
    assert halves(png((SIDE, SIDE), bits, 0, rows, transparent(1 | surplus)))[0] == WHITE


def colours(left: tuple[int, ...], right: tuple[int, ...], form: str) -> bytes:
    return np.repeat([left, right], SIDE // 2, axis=0).astype(form).tobytes() * SIDE


def test_one_transparent_colour() -> None:
    rows = colours((10, 20, 30), (10, 20, 31), "u1")
    data = png((SIDE, SIDE), 8, 2, rows, transparent(10, 20, 30))
    assert halves(data) == [WHITE, (10, 20, 31)]


@pytest.mark.parametrize(
    "other", [(0x1234, 0x5678, 0x9ABD), (0x1334, 0x5678, 0x9ABC), (0x1200, 0x5600, 0x9A00)]
)
def test_one_transparent_colour_of_sixteen_bits_is_just_that(other: tuple[int, ...]) -> None:
    clear = (0x1234, 0x5678, 0x9ABC)
    data = png((SIDE, SIDE), 16, 2, colours(clear, other, ">u2"), transparent(*clear))
    assert halves(data) == [WHITE, tuple(sample >> 8 for sample in other)]
    data = png((SIDE, SIDE), 16, 2, colours(clear, other, ">u2"))
    assert halves(data)[0] == (0x12, 0x56, 0x9A)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("alphas", "right"),
    [(b"\xff\x00", WHITE), (b"\x00", (200, 100, 0)), (b"\x00\x80", (227, 177, 127))],
)
def test_a_palette_has_its_own(bits: int, alphas: bytes, right: tuple[int, ...]) -> None:
    palette = chunk(b"PLTE", bytes([0, 0, 9, 200, 100, 0]))
    data = png((SIDE, SIDE), bits, 3, packed(0, 1, bits) * SIDE, palette, chunk(b"tRNS", alphas))
    left = WHITE if alphas[:1] == b"\x00" else (0, 0, 9)
    assert halves(data) == [left, right]


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_alpha(bits: int) -> None:
    most = (1 << bits) - 1
    clear, solid = (most // 3, 0), (most // 3, most)
    rows = colours(clear, solid, ">u2" if bits == 16 else "u1")
    assert halves(png((SIDE, SIDE), bits, 4, rows)) == [WHITE, (85, 85, 85)]
    assert halves(png((SIDE, SIDE), bits, 4, rows, interlaced=False), (3, 3))[0] == WHITE


def test_half_transparent_is_half_white() -> None:
    rows = colours((0, 0, 0, 128), (200, 0, 0, 51), "u1")
    assert halves(png((SIDE, SIDE), 8, 6, rows)) == [(127, 127, 127), (244, 204, 204)]


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
@pytest.mark.parametrize("grey", [False, True])
def test_other_formats(kind: str, grey: bool) -> None:
    layers = np.zeros((SIDE, SIDE, 4), np.uint8)
    layers[:, SIDE // 2 :] = (40, 40, 40, 255) if grey else (200, 0, 0, 255)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert halves(encoded(Image.fromarray(layers), kind, **options)) == [
        WHITE,
        (40, 40, 40) if grey else (200, 0, 0),
    ]


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_what_the_first_frame_leaves_free_is_white(kind: str) -> None:
    """A frame may be smaller than the picture; outside of it nothing has been drawn."""
    data = {"GIF": part_of_a_gif, "WEBP": part_of_a_webp}[kind]()
    assert halves(data) == [WHITE, (200, 0, 0)]


def part_of_a_gif() -> bytes:
    frame = Image.new("P", (SIDE // 2, SIDE))
    frame.putpalette([200, 0, 0, 0, 9, 0])
    data = bytearray(encoded(frame, "GIF"))
    data[6:10] = struct.pack("<HH", SIDE, SIDE)
    at = data.index(b"," + struct.pack("<4H", 0, 0, SIDE // 2, SIDE))
    data[at + 1 : at + 3] = struct.pack("<H", SIDE // 2)
    return bytes(data)


def part_of_a_webp() -> bytes:
    layers = np.zeros((SIDE, SIDE, 4), np.uint8)
    layers[:, SIDE // 2 :] = (200, 0, 0, 255)
    frames = [Image.fromarray(layers), Image.new("RGBA", (SIDE, SIDE), "blue")]
    return encoded(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])


def test_transparency_survives_reduction_and_turning() -> None:
    """Fails when the colour of what is transparent bleeds into what is not."""
    layers = np.zeros((400, 600, 4), np.uint8)
    layers[:, 300:] = (200, 0, 0, 255)
    data = encoded(Image.fromarray(layers), "PNG", exif=exif_of(3))
    pixels = np.asarray(decode(data, (SIDE, SIDE), LIMIT))
    assert (pixels[:, : pixels.shape[1] // 2 - 1] == (200, 0, 0)).all()
    assert (pixels[:, pixels.shape[1] // 2 + 1 :] == 255).all()


def exif_of(number: int) -> Image.Exif:
    meta = Image.Exif()
    meta[0x0112] = number
    return meta
