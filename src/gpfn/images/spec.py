"""How an image becomes a model's input; data of the model catalogue."""

from typing import NamedTuple

__all__ = ["ImageInput"]


class ImageInput(NamedTuple):
    """A tensor of one image: ``height`` by ``width`` pixels, ``channels`` RGB, BGR or L.

    ``fit`` "stretch" resizes both sides on their own, "crop" keeps the proportions and
    cuts what stands out from the middle. A quantised model takes the bytes of the
    resized image as they are (uint8), a float model takes ``(byte - mean) / std`` for
    each of the channels (float32). ``layout`` is NHWC or NCHW.
    """

    height: int
    width: int
    channels: str = "RGB"
    layout: str = "NHWC"
    quantised: bool = True
    fit: str = "stretch"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
