"""What an image may cost is known before it is decoded, and is not more than that."""

import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidImage, TooLarge
from gpfn.images.decoding import decode
from gpfn.images.kinds import kind_of
from gpfn.images.outline import BYTES_A_PIXEL, SCANS, Outline
from tests.images.making import blank_png, chunk, encoded, png, transparent

LIMIT = 24_000_000
WANTED = (224, 224)
SIDES = (2400, 2000)
LONG = (220, 20_000)
MIB = 1 << 20
BESIDE = 8 * MIB
"""Tiles, tables and twice the file, which are there besides the pixels."""


def outline(data: bytes) -> Outline:
    return kind_of(data, "image").examine(data)


def jpeg(size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    return encoded(Image.new(mode, size, None), "JPEG", quality=80, **options)


def webp(size: tuple[int, int], mode: str = "RGBA", **options: object) -> bytes:
    return encoded(Image.new(mode, size), "WEBP", method=0, **options)


def lossy_webp_with_alpha() -> bytes:
    small = np.random.default_rng(1).integers(0, 256, (50, 60, 4), np.uint8)
    return encoded(Image.fromarray(small).resize(SIDES), "WEBP", method=0)


def gif(size: tuple[int, int], **options: object) -> bytes:
    return encoded(Image.new("P", size), "GIF", **options)


MEMORY: dict[str, tuple[Callable[[], bytes], float]] = {
    "JPEG": (lambda: jpeg(SIDES), 4 / 64),
    "JPEG, long": (lambda: jpeg(LONG), 4),
    "JPEG, progressive": (lambda: jpeg(SIDES, progressive=True), 3 + 4 / 64),
    "JPEG, all colours": (lambda: jpeg(SIDES, progressive=True, subsampling=0), 6 + 4 / 64),
    "JPEG, CMYK, long": (lambda: jpeg(LONG, "CMYK", progressive=True), 8 + 4),
    "PNG, RGB": (lambda: blank_png(SIDES, 8, 2), 4),
    "PNG, RGBA of 16 bits": (lambda: blank_png(SIDES, 16, 6), 4),
    "PNG, grey and alpha": (lambda: blank_png(SIDES, 8, 4), 4),
    "PNG, a transparent colour": (lambda: blank_png(SIDES, 8, 2, transparent(0, 0, 0)), 4),
    "PNG, one of 16 bits": (lambda: blank_png(SIDES, 16, 2, transparent(0, 0, 0)), 8),
    "PNG, grey of 16 bits": (lambda: blank_png(SIDES, 16, 0, transparent(0)), 2),
    "PNG, palette": (lambda: blank_png(SIDES, 8, 3, chunk(b"PLTE", bytes(768))), 1),
    "PNG, one row": (lambda: blank_png((2_000_000, 1), 16, 6), 4 + 2 * 8),
    "PNG, one column": (lambda: blank_png((1, 2_000_000), 8, 6), 4 + 11),
    "WebP, lossless": (lambda: webp(SIDES, lossless=True), 17),
    "WebP, lossy with alpha": (lossy_webp_with_alpha, 17),
    "WebP, animated": (
        lambda: webp(SIDES, save_all=True, append_images=[Image.new("RGB", SIDES)]), 17
    ),
    "GIF": (lambda: gif(SIDES, transparency=0), 1),
    "GIF, long": (lambda: gif(LONG, interlace=1), 1),
}  # fmt: skip
"""The worst files of every format, and the bytes that a pixel takes."""

DECODE = """
import sys
import numpy
from gpfn.images.decoding import decode

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

small, file = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
decode(small, (224, 224), 10**6)
before = peak()
decode(file, (224, 224), int(sys.argv[3]), fit=sys.argv[4])
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("name", "fit"),
    [*((name, "stretch") for name in MEMORY), ("JPEG, long", "crop"), ("PNG, one row", "crop")],
)
def test_memory_is_told_before_and_kept(name: str, fit: str, tmp_path: Path) -> None:
    """Fails when a format takes more than four bytes for each pixel that is allowed."""
    make, bytes_a_pixel = MEMORY[name]
    data = make()
    known = outline(data)
    pixels = known.size[0] * known.size[1]
    assert known.peak(WANTED) / pixels == pytest.approx(bytes_a_pixel, rel=0.06)
    enough = max(-(-known.peak(WANTED) // BYTES_A_PIXEL), pixels)
    (tmp_path / "file").write_bytes(data)
    kind = kind_of(data, "image").name
    (tmp_path / "small").write_bytes(encoded(Image.new("RGB", (300, 300)), kind))
    command = [
        sys.executable,
        "-c",
        DECODE,
        tmp_path / "small",
        tmp_path / "file",
        str(enough),
        fit,
    ]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert int(run.stdout) < known.peak(WANTED) + BESIDE
    with pytest.raises(TooLarge, match="GPFN_MAX_PIXELS") as caught:
        decode(data, WANTED, min(pixels - 1, (known.peak(WANTED) - 2 * MIB) // BYTES_A_PIXEL))
    assert caught.value.field == "image"


def test_a_few_bytes_of_webp_do_not_take_what_its_pixels_do_not_promise() -> None:
    """Fails as long as Pillow may take 16 bytes a pixel for a WebP: 395 MB for this one."""
    data = webp((4899, 4898), "RGB", lossless=True)
    assert len(data) < 2000
    with pytest.raises(TooLarge, match="4899 x 4898 of this WebP takes") as caught:
        decode(data, WANTED, LIMIT)
    assert "GPFN_MAX_PIXELS" in str(caught.value)


@pytest.mark.parametrize("side", [6000, 65_535])
def test_a_frame_larger_than_its_gif_counts(side: int) -> None:
    data = bytearray(gif((8, 8)))
    at = data.index(b"," + struct.pack("<4H", 0, 0, 8, 8))
    data[at + 5 : at + 9] = struct.pack("<HH", side, side)
    with pytest.raises(TooLarge, match="GPFN_MAX_PIXELS") as caught:
        decode(bytes(data), WANTED, LIMIT, field="picture")
    assert caught.value.field == "picture"


def scans_of(data: bytes) -> list[int]:
    """Return where each scan of a JPEG begins, and where the last one ends."""
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    return [*starts, len(data) - 2]


def repeated(times: int, size: tuple[int, int] = (2000, 1500), between: bytes = b"") -> bytes:
    """Return a progressive JPEG with its smallest scan repeated."""
    data = jpeg(size, progressive=True)
    starts = scans_of(data)
    scan = min((data[a:b] for a, b in pairwise(starts)), key=len)
    return data[:-2] + (between + scan) * times + data[-2:]


def comment(text: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text


@pytest.mark.parametrize(
    "between",
    [b"", b"\xff", b"junk", comment(b"\xff\xd9"), comment(b"\xff\xda\xff"), b"\xff\xd0"],
    ids=["plain", "filled", "junk", "an end in a comment", "a scan in a comment", "a restart"],
)
def test_repeated_scans_are_refused_before_they_are_decoded(between: bytes) -> None:
    """Fails when each is gone through: 199 kB took 37 s."""
    data = repeated(7000, between=between)
    started = time.process_time()
    with pytest.raises(TooLarge, match=f"more than {SCANS} scans"):
        decode(data, WANTED, LIMIT)
    assert time.process_time() - started < 0.2


def test_scans_are_counted_by_the_pixels_they_go_over() -> None:
    assert outline(jpeg((600, 400), progressive=True)).scans == 10
    assert outline(jpeg((600, 400), "L", progressive=True)).scans == 6
    assert outline(repeated(5, (600, 400))).scans == 15
    assert outline(jpeg((600, 400))).scans == 1
    many = repeated(90, (1000, 1000))
    assert decode(many, WANTED, LIMIT).size == (250, 250)
    with pytest.raises(TooLarge, match="100 scans of 1000 x 1000 are more than 40 of 1000000"):
        decode(many, WANTED, 1_000_000)


def test_scans_of_one_colour_each_are_counted_as_well() -> None:
    """A sequential JPEG may have several: its coefficients are kept as those of others."""
    grey = jpeg((800, 800), "L")
    start, end = scans_of(grey)
    head = grey[:start].replace(b"\x01\x01\x11\x00", b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00")
    frame = head.index(b"\xff\xc0")
    head = head[: frame + 2] + struct.pack(">H", 17) + head[frame + 4 :]
    scans = b"".join(
        grey[start : start + 5] + bytes([colour]) + grey[start + 6 : end] for colour in (1, 2, 3)
    )
    known = outline(head + scans + b"\xff\xd9")
    assert (known.scans, known.peak(WANTED)) == (3, 4 * 400 * 400 + 2 * 3 * 800 * 800)
    assert decode(head + scans + b"\xff\xd9", WANTED, LIMIT).size == (400, 400)


class Clock(Deadline):
    """A deadline that passes when it is looked at for the third time."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        super().__init__(float("inf"))
        self.looks = 0

    def check(self, before: str) -> None:
        self.looks += 1
        if self.looks > 2:
            raise DeadlineExceeded(f"the deadline passed 0.000 s before {before}")


def noise(kind: str, **options: object) -> bytes:
    values = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    return encoded(Image.fromarray(values), kind, **options)


@pytest.mark.parametrize(
    "data",
    [noise("JPEG"), noise("JPEG", progressive=True), noise("PNG"), noise("GIF")],
    ids=["JPEG", "progressive", "PNG", "GIF"],
)
def test_the_deadline_stops_decoding_half_way(data: bytes) -> None:
    clock = Clock()
    with pytest.raises(DeadlineExceeded, match="before the image was decoded"):
        decode(data, WANTED, LIMIT, deadline=clock)
    assert clock.looks == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_nothing_is_decoded_after_the_deadline(kind: str) -> None:
    with pytest.raises(DeadlineExceeded):
        decode(noise(kind), WANTED, LIMIT, deadline=Deadline.after(-1))


SIZE = 1_000_000


def with_chunks(*chunks: bytes) -> bytes:
    return blank_png((8, 8), 8, 2, *chunks)


def text_bomb(index: int) -> bytes:
    """A text of a million characters, one of which makes each of them four bytes in Python."""
    packed = zlib.compress(b"a" * 1_000_000 + "\U0001f600".encode())
    return chunk(b"iTXt", b"key%d\0\1\0\0\0" % index + packed)


HOSTILE = {
    "PNG of tiny chunks": with_chunks(*[chunk(b"aaAa", b"")] * (SIZE // 12)),
    "PNG of texts": with_chunks(*map(text_bomb, range(60))),
    "PNG of profiles": with_chunks(
        *[chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20)))] * (SIZE // 1100)
    ),
    "PNG of EXIF texts": with_chunks(
        *[chunk(b"zTXt", b"exif\0\0" + zlib.compress(bytes(1 << 24)))] * (SIZE // 16_400)
    ),
    "PNG of small pixels": with_chunks(*[chunk(b"IDAT", b"")] * (SIZE // 12)),
    "JPEG of junk": b"\xff\xd8\xff\xfe\0\2" + b"a" * SIZE + jpeg((8, 8))[2:],
    "JPEG of comments": b"\xff\xd8" + b"\xff\xfe\0\2" * (SIZE // 4) + jpeg((8, 8))[2:],
    "JPEG of tables": b"\xff\xd8" + b"\xff\xdb\0\2" * (SIZE // 4) + jpeg((8, 8))[2:],
    "JPEG of one table": b"\xff\xd8"
    + (b"\xff\xdb" + struct.pack(">H", 65_002) + (b"\0" + bytes(range(1, 65))) * 1000) * 15
    + jpeg((8, 8))[2:],
    "JPEG of EXIF": b"\xff\xd8"
    + (b"\xff\xe1" + struct.pack(">H", 65_002) + b"Exif\0\0" + bytes(64_994)) * 15
    + jpeg((8, 8))[2:],
    "GIF of comments": b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe\0" * (SIZE // 3) + gif((8, 8))[13:],
    "GIF of blocks": b"GIF89a\x08\0\x08\0\0\0\0!\xfe"
    + b"\1a" * (SIZE // 2) + b"\0" + gif((8, 8))[13:],
    "WebP of tiny chunks": webp((8, 8)) + b"aaaa\0\0\0\0" * (SIZE // 8),
    "WebP of frames": b"RIFF\0\0\0\0WEBP" + b"VP8X\x0a\0\0\0\x02\0\0\0\7\0\0\7\0\0"
    + b"ANMF\0\0\0\0" * (SIZE // 8),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_costs_what_its_length_costs(data: bytes) -> None:
    import tracemalloc

    decode(noise("PNG"), WANTED, LIMIT)
    tracemalloc.start()
    started = time.process_time()
    try:
        decode(data, WANTED, LIMIT)
    except (InvalidImage, TooLarge) as error:
        assert len(str(error)) < 300  # noqa: PT017  (either outcome is right)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 1
    assert peak < 3 * len(data) + 4 * MIB


def test_rows_of_a_png_are_read_as_they_are() -> None:
    """Fails when leaving chunks out harms the pixels."""
    rows = np.random.default_rng(3).integers(0, 256, (8, 24), np.uint8)
    texts = chunk(b"tEXt", b"a\0b"), chunk(b"iCCP", b"bad"), chunk(b"gAMA", b"\0")
    data = png((8, 8), 8, 2, rows.tobytes(), *texts)
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    pixels = data[at + 8 : at + 8 + length]
    cut = b"".join(chunk(b"IDAT", pixels[i : i + 5]) for i in range(0, length, 5))
    data = data[:at] + cut + chunk(b"IEND", b"")
    np.testing.assert_array_equal(np.asarray(decode(data, (8, 8), LIMIT)), rows.reshape(8, 8, 3))
