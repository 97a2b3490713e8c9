"""From the bytes of an image file to upright RGB pixels, what that costs checked first."""

import io
import struct
import warnings
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidImage, MissingExtra, TooLarge
from gpfn.images.kinds import Kind, kind_of
from gpfn.images.outline import Outline, check
from gpfn.images.pixels import Stored, upright_rgb

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = ["decode", "upright_size"]

_BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, OverflowError),
    *(LookupError, TypeError, struct.error),
)
"""What Pillow raises for damaged files; it documents only OSError."""

_BLOCK, _SMALL_BLOCK = 1 << 14, 1 << 8
"""Bytes decoded at once, the deadline looked at between: of a PNG they are up to 16 MiB, and
ten scans of a JPEG fit into the smaller one."""
_READS = 100_000


class _Feed(io.BytesIO):
    """A file for Pillow that ends at the deadline, and one of endless small parts as well."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline
        self._reads_left = _READS + len(data) // _SMALL_BLOCK

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raises DeadlineExceeded, ValueError after too many reads."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise ValueError("it has too many parts")
        self._deadline.check("the image was decoded")
        return super().read(size)


def decode(
    data: bytes | memoryview,
    size: tuple[int, int],
    max_pixels: int,
    *,
    fit: str = "stretch",
    deadline: Deadline = NEVER,
    field: str = "image",
) -> "Image.Image":
    """Return the image as RGB, upright as EXIF or XMP says, at least ``size`` large.

    ``size`` is (width, height). A larger image is reduced to less than four times that on
    each side; with ``fit`` "crop" what stands out from the middle is cut off before. The
    first frame of an animation counts; what is transparent becomes white.

    Raises InvalidImage with the reason; TooLarge by the file's structure alone when it has
    more than ``max_pixels`` or takes more than four bytes for each of these; DeadlineExceeded.
    """
    if not len(data):
        raise InvalidImage("empty file", field=field)
    data = bytes(data)
    kind = kind_of(data, field)
    try:
        outline = kind.examine(data)
        if outline.orientation >= 5:  # 5 to 8 swap the sides
            size = size[::-1]
        check(outline, kind.name, size, max_pixels, field)
        with _opened(kind, outline, deadline, field) as image:
            actual = outline._replace(size=image.size)  # a frame may be larger than its GIF
            check(actual, kind.name, size, max_pixels, field)
            low = _low_bytes(kind, outline, deadline, field) if outline.deep else None
            stored = _loaded(image, low, outline, size)
            return upright_rgb(stored, size, fit, outline.orientation)
    except _BROKEN as error:
        raise InvalidImage(f"damaged {kind.name} file: {error}", field=field) from None


def upright_size(data: bytes, *, field: str = "image") -> tuple[int, int]:
    """Return (width, height) that the image will have; raises InvalidImage with the reason."""
    if not data:
        raise InvalidImage("empty file", field=field)
    kind = kind_of(data, field)
    try:
        outline = kind.examine(data)
    except _BROKEN as error:
        raise InvalidImage(f"damaged {kind.name} file: {error}", field=field) from None
    return outline.size[::-1] if outline.orientation >= 5 else outline.size


def _opened(kind: Kind, outline: Outline, deadline: Deadline, field: str) -> "ImageFile.ImageFile":
    """Let Pillow read the file's header."""
    try:
        from PIL.Image import DecompressionBombError
    except ImportError:
        raise MissingExtra("Pillow", "images") from None
    _keep_pillow_quiet()
    module, _, name = kind.reader.partition(":")
    try:
        made = getattr(import_module(f"PIL.{module}"), name)(_Feed(outline.data, deadline))
    except DecompressionBombError:  # a frame may be larger than its GIF
        raise TooLarge("a frame has far more pixels (GPFN_MAX_PIXELS)", field=field) from None
    made.decodermaxblock = _SMALL_BLOCK if outline.scans > 1 else _BLOCK
    return cast("ImageFile.ImageFile", made)


@cache
def _keep_pillow_quiet() -> None:
    """Switch off its warnings on strange files: Python would remember each text for ever."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _loaded(
    image: "ImageFile.ImageFile",
    low: "Image.Image | None",
    outline: Outline,
    size: tuple[int, int],
) -> Stored:
    if outline.scaled:
        image.draft("RGB", size)
    if outline.deep:  # Pillow keeps the upper bytes
        image.info["transparency"] = tuple(value >> 8 for value in outline.clear)
    elif outline.clear:
        image.info["transparency"] = outline.clear if outline.clear[1:] else outline.clear[0]
    drawn = image.tile[0][1] if image.tile and "transparency" not in image.info else None
    image.load()
    return Stored(image, low, None if drawn == (0, 0, *image.size) else drawn)


def _low_bytes(kind: Kind, outline: Outline, deadline: Deadline, field: str) -> "Image.Image":
    """Return the lower bytes of a picture of 16 bits: Pillow can read them as its upper ones."""
    image = _opened(kind, outline, deadline, field)
    (tile,) = image.tile
    image.tile = cast("list[ImageFile._Tile]", [(*tile[:3], "RGB;16L")])
    image.info["transparency"] = tuple(value & 255 for value in outline.clear)
    image.load()
    return image
