"""From pixels as a file has them to upright RGB, in less memory than a second picture."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["REDUCING_GAP", "Stored", "around", "middle", "upright_rgb"]

_Box = tuple[int, int, int, int]

REDUCING_GAP = 2.0
"""How many times larger than wanted an image stays before it is resized well."""

_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""The Image.Transpose that undoes each EXIF orientation but the first, which is upright."""

_TILE_WIDTH, _TILE_PIXELS = 1 << 10, 1 << 16


class Stored(NamedTuple):
    """A loaded image, with what Pillow does not keep in it.

    ``low`` has the lower bytes of an image of 16 bits when its transparent colour needs
    them; outside of ``drawn`` (left, top, right, bottom) there is nothing in the file.
    """

    image: "Image.Image"
    low: "Image.Image | None" = None
    drawn: _Box | None = None


def upright_rgb(stored: Stored, size: tuple[int, int], fit: str, orientation: int) -> "Image.Image":
    """Return an image as upright RGB on white, reduced unless it is just that.

    ``size`` is what is wanted, as the file has its sides.
    """
    from PIL import Image

    turn, image = _TURNS.get(orientation), stored.image
    if turn is None and image.mode == "RGB" and "transparency" not in image.info:
        return image
    pixels = _reduced(stored, size, fit)
    return pixels if turn is None else pixels.transpose(Image.Transpose(turn))


def middle(have: tuple[int, int], want: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest box of the proportions ``want`` in the middle of ``have``."""
    return around(have, want, min(have[0] / want[0], have[1] / want[1]))


def around(
    have: tuple[int, int], want: tuple[int, int], scale: float
) -> tuple[float, float, float, float]:
    """Return the box of ``scale`` times ``want`` in the middle of ``have``, which is no smaller."""
    # 224 * (29 / 224) is more than 29 in floats, and Pillow refuses an offset below 0.
    left, top = (max(0.0, (own - side * scale) / 2) for own, side in zip(have, want, strict=True))
    return left, top, have[0] - left, have[1] - top


def _reduced(stored: Stored, size: tuple[int, int], fit: str) -> "Image.Image":
    """Convert tile by tile and reduce each: what comes out is small, however long the image."""
    from PIL import Image

    image = stored.image
    left, top = (int(edge) for edge in middle(image.size, size)[:2]) if fit == "crop" else (0, 0)
    width, height = image.width - 2 * left, image.height - 2 * top
    across = max(1, int(width / size[0] / REDUCING_GAP))
    down = max(1, int(height / size[1] / REDUCING_GAP))
    made = Image.new("RGB", (-(-width // across), -(-height // down)))
    step_x = max(_TILE_WIDTH // across, 1) * across
    step_y = max(_TILE_PIXELS // min(step_x, width) // down, 1) * down
    for y in range(0, height, step_y):
        for x in range(0, width, step_x):
            right, bottom = min(x + step_x, width), min(y + step_y, height)
            box = (left + x, top + y, left + right, top + bottom)
            made.paste(_tile(stored, box).reduce((across, down)), (x // across, y // down))
    return made


def _tile(stored: Stored, box: _Box) -> "Image.Image":
    from PIL import Image

    tile = _rgb(stored.image.crop(box), stored.low and stored.low.crop(box))
    if stored.drawn is None:
        return tile
    (left, top), white = box[:2], Image.new("RGB", tile.size, "white")
    inner = [max(a, b) for a, b in zip(box[:2], stored.drawn[:2], strict=True)]
    outer = [min(a, b) for a, b in zip(box[2:], stored.drawn[2:], strict=True)]
    if inner[0] < outer[0] and inner[1] < outer[1]:
        part = inner[0] - left, inner[1] - top, outer[0] - left, outer[1] - top
        white.paste(tile.crop(part), part)
    return white


def _rgb(tile: "Image.Image", low: "Image.Image | None") -> "Image.Image":
    if tile.mode.startswith("I"):
        return _from_16_bits(tile)
    if low is not None:
        from PIL import ImageChops

        tile = tile.convert("RGBA")
        alpha = low.convert("RGBA").getchannel("A")
        tile.putalpha(ImageChops.lighter(tile.getchannel("A"), alpha))
    if tile.mode in ("RGBA", "LA", "PA") or "transparency" in tile.info:
        return _on_white(tile.convert("RGBA"))
    return tile.convert("RGB")


def _on_white(layers: "Image.Image") -> "Image.Image":
    from PIL import Image

    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layers).convert("RGB")


def _from_16_bits(tile: "Image.Image") -> "Image.Image":
    """Keep the upper eight bits; Pillow's own conversion clips at 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(tile)
    grey = (values >> 8).clip(0, 255).astype(np.uint8)
    grey[values == tile.info.get("transparency", -1)] = 255
    return Image.fromarray(grey, "L").convert("RGB")
