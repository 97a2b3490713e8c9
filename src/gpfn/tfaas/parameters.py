"""params.json, which says of a model in TFaaS what its graph does not: read with care.

    {"name": "dnn", "model": "tf_model.pb", "labels": "labels.txt",
     "inputNode": "x", "outputNode": "out"}

The talk and its documents say ``inputNode``, today's TFaaS ``input_node``, and for images
``input_name``; all of them are read, in any case as Go reads them, and ``:0`` is taken off,
for users have it and TFaaS finds no such operation. What is not known is kept: the file can be
fetched as it was uploaded.

One block is ours: ``image``, with the keys of the block of that name in ``model.toml``, says how a
picture becomes the input. Without it TFaaS's way holds: 0 to 255, not resized.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gpfn import json_exact
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.images.preparation import ImageInput
from gpfn.tensors.shapes import what
from gpfn.tensors.spec import bare

__all__ = ["PARAMETERS_BYTES", "TfaasParameters", "parameters_of", "read_parameters"]

PARAMETERS_BYTES = 1 << 20
"""Most bytes of params.json."""

_DEPTH = 32
_TEXT = 10_000  # characters of a description, the longest text that is known
_SPELLED = {
    "inputnode": "input_node",
    "outputnode": "output_node",
    "imgchannels": "img_channels",
}
_IMAGE = ("height", "width", "channels", "layout", "quantised", "fit", "mean", "std")
_CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
_MOST_PIXELS = 1 << 16  # along one side


class TfaasParameters(NamedTuple):
    """What params.json says; texts are empty and ``channels`` is 0 where it says nothing.

    ``uploaded`` has all members as they came.
    """

    name: str = ""
    model: str = ""
    labels: str = ""
    input_node: str = ""
    output_node: str = ""
    input_name: str = ""
    output_name: str = ""
    channels: int = 0
    options: Any = None
    description: str = ""
    timestamp: str = ""
    image: ImageInput | None = None
    uploaded: Mapping[str, Any] = {}

    @property
    def input(self) -> str:
        """The input that is meant, by whichever key; empty when none is named."""
        return self.input_node or self.input_name

    @property
    def output(self) -> str:
        """The output that is meant, likewise."""
        return self.output_node or self.output_name


def read_parameters(data: bytes | memoryview) -> TfaasParameters:
    """Return what a params.json says.

    Raises TooLarge, or InvalidRequest, which names the member.
    """
    if len(data) > PARAMETERS_BYTES:
        told = f"{len(data)} bytes; at most {PARAMETERS_BYTES} are read"
        raise TooLarge(told, field="params")
    try:
        value = json_exact.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: {error}", field="params") from None
    return parameters_of(value)


def parameters_of(value: object) -> TfaasParameters:
    """Return what the value of a params.json says. Raises InvalidRequest."""
    if type(value) is not dict:
        raise InvalidRequest(f"expected an object, got {what(value)}", field="params")
    if _is_deeper(value, _DEPTH):
        raise InvalidRequest(f"more than {_DEPTH} levels", field="params")
    members = _folded(value)
    image = members.get("image")
    return TfaasParameters(
        **{key: _text(members, key) for key in ("name", "model", "labels", "description")},
        **{key: bare(_text(members, key)) for key in ("input_node", "output_node")},
        **{key: bare(_text(members, key)) for key in ("input_name", "output_name")},
        channels=_channels(members),
        options=members.get("options"),
        timestamp=_text(members, "timestamp"),
        image=None if image is None else _image(image),
        uploaded=value,
    )


def _folded(value: dict[str, Any]) -> dict[str, Any]:
    """Return the members by their names of today, whatever their case; the last one counts."""
    members: dict[str, Any] = {}
    for key, item in value.items():
        folded = key.casefold()
        name = _SPELLED.get(folded, folded)
        if item is not None or name not in members:
            members[name] = item
    return members


def _text(members: Mapping[str, Any], key: str) -> str:
    value = members.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"expected a text, got {what(value)}", field=f"params.{key}")
    if len(value) > _TEXT:
        told = f"{len(value)} characters; at most {_TEXT} are read"
        raise InvalidRequest(told, field=f"params.{key}")
    return value


def _channels(members: Mapping[str, Any]) -> int:
    value = members.get("img_channels")
    if value is None:
        return 0
    if type(value) is not int or value not in (0, 1, 3):
        raise InvalidRequest(f"expected 1 or 3, got {what(value)}", field="params.img_channels")
    return value


def _is_deeper(value: object, most: int) -> bool:
    """Say whether lists and objects stand in each other more than ``most`` times."""
    level: list[Any] = [value]
    for _ in range(most):
        inner: list[Any] = []
        for item in level:
            inner += item.values() if type(item) is dict else item if type(item) is list else ()
        level = [item for item in inner if type(item) in (dict, list)]
        if not level:
            return False
    return True


def _image(block: object) -> ImageInput:
    """Return how a picture becomes the input; the keys are those of ``model.toml``."""
    if type(block) is not dict:
        raise _wrong_image("", f"expected an object, got {what(block)}")
    for key in block:
        if key not in _IMAGE:
            raise _wrong_image(str(key)[:40], f"unknown; known: {', '.join(_IMAGE)}")
    channels = _one_of(block, "channels", tuple(_CHANNELS))
    quantised = block.get("quantised")
    if type(quantised) is not bool:
        raise _wrong_image("quantised", f"expected true or false, got {what(quantised)}")
    count = 0 if quantised else _CHANNELS[channels]
    mean, std = _numbers(block, "mean", count), _numbers(block, "std", count)
    if 0 in std:
        raise _wrong_image("std", "nothing can be divided by 0")
    return ImageInput(
        height=_side(block, "height"),
        width=_side(block, "width"),
        channels=channels,
        layout=_one_of(block, "layout", ("NHWC", "NCHW")),
        quantised=quantised,
        fit=_one_of(block, "fit", ("stretch", "crop")),
        mean=mean,
        std=std,
        unit=False,
    )


def _wrong_image(key: str, told: str) -> InvalidRequest:
    return InvalidRequest(told, field=f"params.image.{key}" if key else "params.image")


def _one_of(block: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = block.get(key)
    if type(value) is not str or value not in choices:
        raise _wrong_image(key, f"expected one of {', '.join(choices)}, got {what(value)}")
    return value


def _side(block: Mapping[str, Any], key: str) -> int:
    value = block.get(key)
    if type(value) is not int or not 0 < value <= _MOST_PIXELS:
        told = f"expected a whole number from 1 to {_MOST_PIXELS}, got {what(value)}"
        raise _wrong_image(key, told)
    return value


def _numbers(block: Mapping[str, Any], key: str, count: int) -> tuple[float, ...]:
    value = block.get(key, [])
    good = type(value) is list and len(value) == count
    if not good or not all(type(item) in (int, float) and _is_finite(item) for item in value):
        told = f"expected {count} numbers" if count else "unused, as it is quantised"
        raise _wrong_image(key, told)
    return tuple(map(float, value))


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond a double
        return False
