"""What a file says of its picture before it is decoded, and whether it may be decoded."""

from typing import NamedTuple

from gpfn.errors import TooLarge

__all__ = ["BYTES_A_PIXEL", "SCANS", "Outline", "check"]

BYTES_A_PIXEL = 4
"""What a picture of as many pixels as are allowed may take, whatever its format."""
SCANS = 256
"""Scans of one JPEG; encoders make some twenty."""

_PASSES = 40
"""How often all pixels that are allowed may be gone over, by the scans of a JPEG."""
_SLACK = 1 << 20  # rows and buffers of a small picture


class Outline(NamedTuple):
    """A picture as its file's structure tells it.

    ``size`` is (width, height), ``data`` a file with no more than its decoder needs,
    ``memory`` the bytes that decoding takes at its peak; to those of a JPEG, which is
    ``scaled``, come four for each pixel at the scale it is decoded at. ``orientation`` is
    EXIF's. ``clear`` is the grey or the colour that is transparent, of 8 or 16 bits a
    sample, ``deep`` when it is a colour of 16. ``scans`` is how often its pixels are gone
    over.
    """

    size: tuple[int, int]
    data: bytes
    memory: int
    orientation: int = 1
    clear: tuple[int, ...] = ()
    deep: bool = False
    scaled: bool = False
    scans: int = 1

    def peak(self, wanted: tuple[int, int]) -> int:
        """Return the bytes that decoding takes when (width, height) are wanted of it."""
        if not self.scaled:
            return self.memory
        width, height = self.size
        least = min(width // wanted[0], height // wanted[1])
        scale = next((scale for scale in (8, 4, 2) if scale <= least), 1)  # as Pillow's draft
        return self.memory + 4 * -(-width // scale) * -(-height // scale)


def check(
    outline: Outline, kind: str, wanted: tuple[int, int], max_pixels: int, field: str
) -> None:
    """Raise TooLarge for more pixels, memory or work than ``max_pixels`` allow."""
    width, height = outline.size
    allowed = f"{max_pixels} pixels (GPFN_MAX_PIXELS)"
    if width * height > max_pixels:
        raise TooLarge(f"{width} x {height} is more than {allowed}", field=field)
    peak, most = outline.peak(wanted), BYTES_A_PIXEL * max_pixels + _SLACK
    if peak > most:
        raise TooLarge(
            f"{width} x {height} of this {kind} takes {peak} bytes to decode, more than {most}: "
            f"{BYTES_A_PIXEL} for each of {allowed}",
            field=field,
        )
    if outline.scans > SCANS:
        raise TooLarge(f"a JPEG of more than {SCANS} scans", field=field)
    if outline.scans * width * height > _PASSES * max_pixels:
        raise TooLarge(
            f"{outline.scans} scans of {width} x {height} are more than {_PASSES} of {allowed}",
            field=field,
        )
