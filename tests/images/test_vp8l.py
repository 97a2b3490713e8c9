"""What the tables of a lossless WebP take is known before a decoder makes them."""

import io
import struct
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpfn.errors import InvalidImage, TooLarge
from gpfn.images.decoding import decode
from gpfn.images.kinds import kind_of
from gpfn.images.vp8l import table_bytes
from tests.images.making import encoded

A_TABLE = 4 * (2300 + 654) + 600
MIB = 1 << 20


class Writer:
    """Bits, the lowest first."""

    def __init__(self) -> None:
        self.bits = self.count = 0
        self.done = bytearray()

    def put(self, *values: tuple[int, int]) -> None:
        """Append numbers, each with its length in bits."""
        for value, length in values:
            self.bits |= value << self.count
            self.count += length
            while self.count >= 8:
                self.done.append(self.bits & 255)
                self.bits, self.count = self.bits >> 8, self.count - 8

    def put_code_of_one(self, symbol: int = 0) -> None:
        """Append a prefix code of one symbol, 0 or 1, which takes no bits."""
        self.put((1, 1), (0, 1), (0, 1), (symbol, 1))

    def put_code_of_bytes(self, alphabet: int) -> None:
        """Append a prefix code of the symbols 0 to 255, of eight bits each."""
        lengths = {8: 1, 18: 1}
        order = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)
        self.put((0, 1), (len(order) - 4, 4), *((lengths.get(key, 0), 3) for key in order))
        self.put((0, 1), *[(0, 1)] * 256)
        if alphabet > 256:
            self.put((1, 1), (alphabet - 256 - 11, 7))

    def put_byte(self, value: int) -> None:
        """Append a byte in that code."""
        self.put((int(f"{value:08b}"[::-1], 2), 8))


@cache
def stream(side: int, groups: int) -> bytes:
    """Return the bits of a black square whose squares of 4 x 4 have so many codes in turn."""
    bits = Writer()
    bits.put((0, 1), (0, 1), (1, 1), (0, 3), (0, 1))
    bits.put_code_of_bytes(280)
    bits.put_code_of_bytes(256)
    for _ in range(3):
        bits.put_code_of_one()
    for tile in range((-(-side // 4)) ** 2):
        bits.put_byte(tile % groups & 255)
        bits.put_byte(tile % groups >> 8)
    for _ in range(5 * groups):
        bits.put_code_of_one()
    bits.put((0, 64))
    return bytes(bits.done)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(packed(*chunk) for chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def packed(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def lossless(side: int, groups: int) -> bytes:
    head = b"\x2f" + struct.pack("<I", side - 1 | side - 1 << 14)
    return head + stream(side, groups)


def header(side: int, flags: int) -> tuple[bytes, bytes]:
    sides = 2 * struct.pack("<I", side - 1)[:3]
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def with_alpha(side: int, groups: int) -> tuple[tuple[bytes, bytes], ...]:
    plain = encoded(Image.new("RGB", (side, side)), "WEBP")
    return (b"ALPH", b"\1" + stream(side, groups)), (b"VP8 ", plain[20:])


def frame(side: int, *chunks: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    place = bytes(6) + 2 * struct.pack("<I", side - 1)[:3] + bytes(4)
    return b"ANMF", place + b"".join(packed(*chunk) for chunk in chunks)


def forms(side: int, groups: int) -> dict[str, bytes]:
    """Return a WebP of each form that has such a stream."""
    animation = header(side, 0x12), (b"ANIM", bytes(6))
    return {
        "plain": riff((b"VP8L", lossless(side, groups))),
        "extended": riff(header(side, 0x10), (b"VP8L", lossless(side, groups))),
        "alpha": riff(header(side, 0x10), *with_alpha(side, groups)),
        "animated": riff(*animation, frame(side, (b"VP8L", lossless(side, groups)))),
        "animated alpha": riff(*animation, frame(side, *with_alpha(side, groups))),
    }


@pytest.mark.parametrize("form", forms(8, 1))
def test_tables_are_counted_in_every_form(form: str) -> None:
    for side, groups in ((8, 1), (8, 3), (30, 50), (128, 700)):
        data = forms(side, groups)[form]
        known = kind_of(data, "image").examine(data)
        assert known.memory == 9 * side * side + groups * A_TABLE
        assert decode(data, (8, 8), 10_000_000).getpixel((1, 1)) is not None


@pytest.mark.parametrize("form", forms(8, 1))
def test_tables_that_take_more_than_the_pixels_may_are_refused(form: str) -> None:
    """Fails when Pillow gets it: 200 kB of file take 190 MB, for half a million pixels."""
    data = forms(724, 32_000)[form]
    with pytest.raises(TooLarge, match="724 x 724 of this WebP takes 4"):
        decode(data, (8, 8), 24_000_000)


DECODE = """
import sys
from gpfn.images.decoding import decode

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

small, file = (open(name, "rb").read() for name in sys.argv[1:])
decode(small, (8, 8), 10**6)
before = peak()
decode(file, (8, 8), 10**9)
print(peak() - before)
"""


def test_a_decoder_does_take_that(tmp_path: Path) -> None:
    """Fails when tables are counted that nobody makes."""
    (tmp_path / "small").write_bytes(forms(8, 1)["plain"])
    data = forms(256, 4096)["plain"]
    (tmp_path / "file").write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", DECODE, tmp_path / "small", tmp_path / "file"],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert 5000 * 4096 < int(run.stdout) < kind_of(data, "image").examine(data).memory + 4 * MIB


NOISE = np.random.default_rng(1).integers(0, 256, (90, 130, 4), np.uint8)
PICTURES = {
    "noise": Image.fromarray(NOISE),
    "grey": Image.fromarray(NOISE[..., 0]),
    "two colours": Image.fromarray(NOISE[..., 0] & 128),
    "ten colours": Image.fromarray(NOISE[..., 0] // 26 * 26),
    "steps": Image.linear_gradient("L").resize((600, 400)),
    "smooth": Image.fromarray(NOISE[:9, :13]).resize((650, 450)),
    "a pixel": Image.new("RGBA", (1, 1)),
}


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("method", [0, 4, 6])
def test_what_an_encoder_makes_has_few(picture: str, method: int) -> None:
    image = PICTURES[picture]
    data = encoded(image, "WEBP", lossless=True, method=method, exact=True)
    known = kind_of(data, "image").examine(data)
    pixels = image.width * image.height
    assert known.memory == max(17 * pixels, 9 * pixels + A_TABLE)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert decode(data, image.size, 2 * 10**7).size == (theirs.shape[1], theirs.shape[0])


def test_a_stream_that_takes_long_to_look_at_is_refused() -> None:
    data = forms(1600, 2)["plain"]
    with pytest.raises(InvalidImage, match="its tables are too fine"):
        decode(data, (8, 8), 24_000_000)


STREAMS = stream(30, 5), encoded(PICTURES["steps"], "WEBP", lossless=True)[25:]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STREAMS), st.binary(max_size=60), st.integers(0, 200))
def test_any_stream_is_counted_or_damaged(whole: bytes, more: bytes, at: int) -> None:
    data = whole[:at] + more + whole[at + len(more) :]
    with suppress(ValueError, LookupError):
        assert table_bytes(memoryview(data), 30, 30) >= A_TABLE
