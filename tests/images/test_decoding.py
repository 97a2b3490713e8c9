"""Images of every kind come out as upright RGB, broken ones with the reason."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpfn.errors import InvalidImage, TooLarge
from gpfn.images.decoding import decode

LIMIT = 24_000_000
RED_LEFT = np.zeros((64, 96, 3), np.uint8)
RED_LEFT[:, :48, 0] = 255


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    image = decode(data, size, LIMIT)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_the_formats_all_give_the_picture() -> None:
    picture = Image.fromarray(RED_LEFT)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("JPEG", {})):
        pixels = decoded(encoded(picture, kind, **options)).astype(int)
        assert pixels.shape == (64, 96, 3), kind
        assert abs(pixels - RED_LEFT).mean() < 4, kind


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
def test_other_colour_models_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    pixels = decoded(encoded(Image.fromarray(RED_LEFT).convert(mode), kind)).astype(int)
    if mode in ("L", "1"):
        assert (pixels[..., 0] == pixels[..., 2]).all()
    else:
        assert abs(pixels - RED_LEFT).mean() < 12, mode


def test_sixteen_bits_keep_the_upper_eight() -> None:
    grey = np.linspace(0, 65535, 96).astype(np.uint16)[None, :].repeat(64, 0)
    pixels = decoded(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(pixels[..., 0], grey >> 8)


def test_transparent_becomes_white() -> None:
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[:, :4] = (10, 20, 30, 255)
    pixels = decoded(encoded(Image.fromarray(layers), "PNG"), (8, 8))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[0, 7].tolist() == [255, 255, 255]


def test_a_transparent_colour_becomes_white() -> None:
    pixels = decoded(encoded(Image.fromarray(RED_LEFT), "PNG", transparency=(0, 0, 0)))
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[0, 90].tolist() == [255, 255, 255]


def test_a_large_transparent_image_is_reduced_first() -> None:
    """Fails when white is laid under every pixel: that takes twice the picture's memory."""
    layers = Image.new("RGBA", (1000, 800), (10, 20, 30, 255))
    image = decode(encoded(layers, "PNG"), (96, 64), LIMIT)
    assert image.size == (200, 134)
    assert image.getpixel((9, 9)) == (10, 20, 30)


def test_a_broken_orientation_leaves_the_picture() -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(8)
    assert decoded(encoded(Image.fromarray(RED_LEFT), "JPEG", exif=exif)).shape == (64, 96, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
    red, _, blue = decoded(data, (16, 16))[8, 8].astype(int)
    assert red > 200 > 60 > blue


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that makes each
    picture = Image.fromarray(RED_LEFT)
    stored = picture
    if orientation > 1:
        stored = picture.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(encoded(stored, "JPEG", exif=exif, quality=95)).astype(int)
    assert pixels.shape == (64, 96, 3)
    assert abs(pixels - RED_LEFT).mean() < 6


def test_a_jpeg_is_decoded_at_a_reduced_scale(shared: Path) -> None:
    """Fails when the fast path is not taken: the full picture is 1280 by 720."""
    image = decode((shared / "data/images/cat_720p.jpg").read_bytes(), (224, 224), LIMIT)
    assert image.width < 1280
    assert min(image.size) >= 224


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "HTML page"),
        (b"%PDF-1.4", "PDF document"),
        (b"just some text", "not an image"),
        (b"\xff\xd8\xff\xe0nothing more", "damaged JPEG file"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not an image"),
        (b"BM" + bytes(100), "BMP"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidImage, match=reason) as caught:
        decode(data, (8, 8), LIMIT)
    assert caught.value.field == "image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_every_truncation_and_flipped_bit_is_an_image_or_an_error(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    generator = np.random.default_rng(2)
    for cut in range(0, len(data), max(1, len(data) // 100)):
        _image_or_error(data[:cut])
    for _ in range(300):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] ^= 1 << generator.integers(8)
        _image_or_error(bytes(damaged))


def _image_or_error(data: bytes) -> None:
    try:
        decode(data, (8, 8), 1_000_000)
    except (InvalidImage, TooLarge) as error:
        assert error.field == "image"  # noqa: PT017 - either outcome is right


def test_only_the_plugin_that_is_needed_is_imported() -> None:
    """Fails when Pillow looks for a reader itself: it imports fifty, for GIF and for no image."""
    code = (
        "import io, sys\n"
        "from gpfn.images.decoding import decode\n"
        "from gpfn.errors import InvalidImage\n"
        "webp = b'RIFF0000WEBPVP8L\\x08\\0\\0\\0\\x2f\\0\\0\\0\\0\\0\\0\\0'\n"
        "for data in (b'GIF89a', b'no image', webp):\n"
        "    try: decode(data, (8, 8), 100)\n"
        "    except InvalidImage: pass\n"
        "print(*(name for name in sys.modules if name.endswith('Plugin')))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert set(run.stdout.decode().split()) == {"PIL.GifImagePlugin", "PIL.WebPImagePlugin"}


def test_nothing_is_said_or_remembered_of_strange_files() -> None:
    """Fails when Pillow warns: a text for every damage, kept by Python for ever."""
    image, exif = Image.fromarray(RED_LEFT), b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(8)
    code = (
        "import sys, PIL.TiffImagePlugin\n"
        "from gpfn.images.decoding import decode\n"
        "decode(sys.stdin.buffer.read(), (8, 8), 10**6)\n"
        "kept = getattr(PIL.TiffImagePlugin, '__warningregistry__', {})\n"
        "assert kept.keys() <= {'version'}, kept\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=encoded(image, "JPEG", exif=exif),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, b"")


def test_a_truncated_file_says_so(shared: Path) -> None:
    data = (shared / "data/images/burger.jpg").read_bytes()
    with pytest.raises(InvalidImage, match=r"damaged JPEG file: .*truncated"):
        decode(data[: len(data) // 2], (224, 224), LIMIT)


def test_pixels_are_limited_by_the_header_alone() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4)
    with pytest.raises(TooLarge, match="more than 24000000 pixels"):
        decode(bomb, (8, 8), LIMIT)


def test_a_real_bomb_costs_no_memory() -> None:
    import tracemalloc

    data = encoded(Image.new("L", (20_000, 20_000)), "PNG")
    assert len(data) < 1 << 20
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decode(data, (8, 8), LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()
