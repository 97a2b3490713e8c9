"""What a model takes of an image: its size, channels, layout and numbers, checked when stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple, Self, SupportsFloat

from gpfn.errors import SetupError

__all__ = ["CHANNELS", "MOST_SIDE", "ImageInput"]

CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
"""How many numbers a pixel has, by the name of their order."""

MOST_SIDE = 4096
"""Pixels of a side: who sends a description has no more than 200 MB of memory by it."""

_MOST_RESIZE = 4 * MOST_SIDE
_LAYOUTS = {"last": "NHWC", "first": "NCHW"}
_FITS = {"center": "crop", "none": "stretch"}
_RESAMPLES = ("bilinear", "bicubic", "lanczos", "nearest", "box")


class _Fields(NamedTuple):
    height: int
    width: int
    channels: str = "RGB"
    layout: str = "NHWC"
    quantised: bool = True
    fit: str = "stretch"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: int = 0
    resample: str = "bilinear"


class ImageInput(_Fields):
    """A tensor of one image: ``height`` by ``width`` pixels, ``channels`` RGB, BGR or L.

    A quantised model takes the bytes of the resized image as they are (uint8), a float model
    takes ``(byte - mean) / std`` for each of the channels (float32). The keys are those of
    ``image`` in a ``model.toml``:

    Args:
        height: Pixels; with ``width`` it says what ``size`` says.
        width: Pixels.
        channels: RGB, BGR or L; "first" or "last" is RGB in the layout NCHW or NHWC.
        layout: NHWC (the default) or NCHW.
        quantised: Whether the bytes are taken as they are; so it is without mean and std.
        fit: "stretch" (the default) resizes both sides on their own, "crop" keeps the
            proportions and cuts what stands out from the middle.
        mean: One number, or one for each channel, of bytes from 0 to 255.
        std: As ``mean``; what the difference is divided by.
        resize: With crop: the shorter side before the middle is cut out, such as 256 for 224;
            by default as little as may be is cut off.
        resample: bilinear, bicubic, lanczos, nearest or box, as Pillow has them.
        size: (height, width), or one number for both.
        crop: "center" is ``fit="crop"``, "none" is ``fit="stretch"``.
        unit: Whether bytes become 0 to 1 before mean and std, as in PyTorch.

    Raises SetupError, whose field is the argument that is wrong.

    >>> ImageInput(size=180, mean=127.5, std=127.5, channels="first", crop="center").layout
    'NCHW'
    """

    __slots__ = ()

    def __new__(
        cls,
        height: int = 0,
        width: int = 0,
        *,
        channels: str = "RGB",
        layout: str | None = None,
        quantised: bool | None = None,
        fit: str | None = None,
        mean: float | Iterable[float] = (),
        std: float | Iterable[float] = (),
        resize: int = 0,
        resample: str = "bilinear",
        size: int | Iterable[int] | None = None,
        crop: str | None = None,
        unit: bool | None = None,
    ) -> Self:
        """State what a model takes; see the class."""
        if size is not None:
            height, width = _sides(size, height, width)
        if channels in tuple(_LAYOUTS):
            if layout is not None:
                raise SetupError("channels says it already", field="layout")
            channels, layout = "RGB", _LAYOUTS[channels]
        if crop is not None:
            if fit is not None:
                raise SetupError("crop says it already", field="fit")
            fit = _FITS[_choice("crop", crop, tuple(_FITS))]
        if fit is None:
            fit = "crop" if resize else "stretch"
        channels = _choice("channels", channels, (*CHANNELS, *_LAYOUTS))
        means, stds = _scaling(mean, std, CHANNELS[channels], quantised, unit)
        made = super().__new__(
            cls,
            height=_whole("height", height, 1),
            width=_whole("width", width, 1),
            channels=channels,
            layout=_choice(
                "layout", "NHWC" if layout is None else layout, tuple(_LAYOUTS.values())
            ),
            quantised=not stds,
            fit=_choice("fit", fit, ("stretch", "crop")),
            mean=means,
            std=stds,
            resize=_whole("resize", resize, max(height, width) if resize else 0, _MOST_RESIZE),
            resample=_choice("resample", resample, _RESAMPLES),
        )
        if resize and made.fit != "crop":
            raise SetupError("is for crop alone", field="resize")
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, object]]:
        """Return what a copy is made with."""
        return (), {**self._asdict(), "unit": False}

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: (height, width, channels), or with the channels first."""
        depth = CHANNELS[self.channels]
        if self.layout == "NCHW":
            return depth, self.height, self.width
        return self.height, self.width, depth

    @property
    def dtype(self) -> str:
        """What the tensor is of: uint8 or float32."""
        return "uint8" if self.quantised else "float32"


def _sides(size: object, height: int, width: int) -> tuple[int, int]:
    if height or width:
        raise SetupError("size says it already", field="height" if height else "width")
    items = _items(size)
    sides = (size, size) if items is None else tuple(items)
    if len(sides) != 2:
        raise SetupError("expected (height, width), or one number for both", field="size")
    return _whole("size", sides[0], 1), _whole("size", sides[1], 1)


def _whole(key: str, value: object, least: int, most: int = MOST_SIDE) -> int:
    if type(value) is int and least <= value <= most:
        return value
    if type(value) is int and value > most:
        raise SetupError(f"at most {most} pixels, got {value!r:.40}", field=key)
    told = "above 0" if least < 2 else f"of at least {least}"
    raise SetupError(f"expected a whole number {told}, got {value!r:.40}", field=key)


def _choice(key: str, value: object, known: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise SetupError(f"expected one of {', '.join(known)}, got {value!r:.40}", field=key)


def _scaling(
    mean: object, std: object, count: int, quantised: object, unit: object
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for each channel, of bytes; none for bytes as they are."""
    for key, flag in (("quantised", quantised), ("unit", unit)):
        if flag is not None and not isinstance(flag, bool):
            raise SetupError(f"expected true or false, got {flag!r:.40}", field=key)
    means, stds = _numbers("mean", mean, count), _numbers("std", std, count)
    if unit and not (means or stds or quantised):
        means, stds = (0.0,) * count, (1.0,) * count
    if quantised and (means or stds or unit):
        unused = "mean" if means else "std" if stds else "unit"
        raise SetupError("unused, as it is quantised", field=unused)
    if bool(means) != bool(stds) or (quantised is False and not stds):
        told = "missing: values are (byte - mean) / std; 0 and 1 leave bytes as they are"
        raise SetupError(told, field="std" if means else "mean")
    if 0 in stds:
        raise SetupError("nothing can be divided by 0", field="std")
    if unit is None and stds and max(map(abs, stds)) < 1:
        told = "below 1, and bytes are 0 to 255; say unit = true when they are 0 to 1 before"
        raise SetupError(f"{told}, as PyTorch's ToTensor makes them", field="std")
    factor = 255.0 if unit else 1.0
    return tuple(each * factor for each in means), tuple(each * factor for each in stds)


def _numbers(key: str, value: object, count: int) -> tuple[float, ...]:
    """Return a number for each channel; none when none are given."""
    if isinstance(value, tuple) and not value:
        return ()
    items = _items(value)
    values = [*items] if items is not None else [value] * count
    sound = [
        float(each)
        for each in values
        if isinstance(each, SupportsFloat) and not isinstance(each, bool) and isfinite(each)
    ]
    if len(sound) != len(values) or len(values) != count:
        raise SetupError(f"expected a number, or a list of {count} numbers", field=key)
    return tuple(sound)


def _items(value: object) -> Iterable[object] | None:
    """Return the items of a list, None for anything else."""
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return value
    return None
