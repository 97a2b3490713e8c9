"""From an image file to a model's input, in the way that the model's description states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.images.decoding import decode
from gpfn.images.image_input import ImageInput
from gpfn.images.pixels import REDUCING_GAP, around, middle

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["ImageInput", "prepare", "resize", "to_tensor", "trial", "warm_up"]


_GREY_DOT = bytes.fromhex(
    "ffd8" + "ffdb004300" + "ff" * 64 + "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000003ffc4001410010000000000000000000000000000"
    "0000ffda0008010100003f0037" + "ffd9"
)
"""A JPEG of one pixel, as short as may be."""


def prepare(
    data: bytes | memoryview,
    spec: ImageInput,
    max_pixels: int,
    *,
    deadline: Deadline = NEVER,
    field: str = "image",
) -> np.ndarray:
    """Return an image file as a model's input, one image in a batch.

    The shape is (1, height, width, channels), or (1, channels, height, width) for NCHW;
    uint8 when the model is quantised, else float32. Raises what :func:`decode` raises.
    """
    size = (spec.resize, spec.resize) if spec.resize else (spec.width, spec.height)
    image = decode(data, size, max_pixels, fit=spec.fit, deadline=deadline, field=field)
    return to_tensor(resize(image, spec), spec)


def warm_up(spec: ImageInput) -> None:
    """Prepare a picture of our own: imports Pillow, which the first caller would wait for."""
    prepare(_GREY_DOT, spec, 1)


def trial(spec: ImageInput) -> np.ndarray:
    """Return a picture of all shades as :func:`prepare` does, to try a model with."""
    from PIL import Image

    count = 3 * spec.width * spec.height
    shades = (bytes(range(256)) * (count // 256 + 1))[:count]
    return to_tensor(Image.frombytes("RGB", (spec.width, spec.height), shades), spec)


def resize(image: Image.Image, spec: ImageInput) -> Image.Image:
    """Return the image in the model's size, stretched or cropped."""
    from PIL import Image

    size = (spec.width, spec.height)
    if image.size == size and not spec.resize:
        return image
    box = _cut_out(image.size, spec) if spec.fit == "crop" else None
    how = Image.Resampling[spec.resample.upper()]
    return image.resize(size, how, box, reducing_gap=REDUCING_GAP)


def _cut_out(have: tuple[int, int], spec: ImageInput) -> tuple[float, float, float, float]:
    """Return the box of the image that becomes the input."""
    want = (spec.width, spec.height)
    return around(have, want, min(have) / spec.resize) if spec.resize else middle(have, want)


def to_tensor(image: Image.Image, spec: ImageInput) -> np.ndarray:
    """Return the pixels as the model's tensor; see :func:`prepare` for its shape."""
    import numpy as np

    pixels = np.asarray(image.convert("L") if spec.channels == "L" else image, np.uint8)
    tensor: np.ndarray = pixels.reshape(1, spec.height, spec.width, -1)
    if spec.channels == "BGR":
        tensor = tensor[..., ::-1]
    if not spec.quantised:
        mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
        tensor = (tensor.astype(np.float32) - mean) / std
    if spec.layout == "NCHW":
        tensor = tensor.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(tensor)
