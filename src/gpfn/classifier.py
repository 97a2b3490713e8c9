"""An image in, class names and probabilities out, with models of the catalogue.

:class:`Classifier` is a handler object (:mod:`gpfn.function.declaration`):
``Function(Classifier("mobilenet_v2"))`` is a whole function.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from gpfn.call.contract import Call
from gpfn.call.payload import Payload
from gpfn.errors import (
    CallerError,
    InvalidImage,
    InvalidRequest,
    ModelUnreadable,
    UnsupportedMedia,
)
from gpfn.images.preparation import ImageInput, prepare, warm_up
from gpfn.images.sources import from_bytes, from_text, multipart_fields
from gpfn.limits import Limits
from gpfn.settings import read_digits, read_switch

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = ["Classifier", "Order", "Scores"]

_URLS_SWITCH = "GPFN_IMAGE_URLS"
_RAW_TYPES = ("application/octet-stream", "text/plain", "", "application/x-www-form-urlencoded")


class Order(NamedTuple):
    """What one call asks for: the model's input, how many classes, by which model."""

    tensor: "np.ndarray"
    topk: int
    model: str


class Scores(NamedTuple):
    """Probabilities of all classes in the model's order, and how many to tell."""

    probabilities: "np.ndarray"
    topk: int
    model: str


class _Known(NamedTuple):
    """What a model of the catalogue needs besides its file."""

    input: ImageInput
    labels: tuple[str, ...]


class Classifier:
    """Classifies images with one or more models; a handler object for ``Function``.

    The first model is the default, the caller may ask for another of ``names``. Model and
    label files are looked for beside the function's file, then where ``gpfn models pull``
    puts them; nothing is downloaded here.

    >>> Classifier("digits").models
    ('catalogue:digits',)
    """

    def __init__(self, *names: str, topk: int = 3, limits: Limits | None = None) -> None:
        """Take the names of models in the catalogue, and how many classes to tell."""
        self.names = names
        self.topk = topk
        self._limits = limits
        self._known: dict[str, _Known] = {}
        self._models: dict[str, Model] = {}
        self._lock = Lock()

    @property
    def models(self) -> tuple[str, ...]:
        """The URIs of its models; a function opens the first."""
        return tuple(f"catalogue:{name}" for name in self.names)

    def open(self, model: "Model | None") -> None:
        """Read the default model's labels and warm the preparation up, before the first call.

        Raises ModelUnreadable when the labels are not there or do not fit the model.
        """
        if model is not None:
            warm_up(self._about(self.names[0], model, model).input)

    def prepare(self, payload: Payload, model: "Model", call: Call) -> Order:
        """Read the image and the options, and make the model's input of the image."""
        limits = self._limits = self._limits or Limits.from_env()
        options = _options(payload)
        name = self._chosen(options.get("model"))
        known = self._about(name, self._named(name, model), model)
        topk = _whole_number(options.get("topk"), self.topk, len(known.labels))
        data = _image_bytes(options, limits, call)
        tensor = prepare(data, known.input, limits.pixels, deadline=call.deadline)
        return Order(tensor, topk, name)

    def predict(self, order: Order, model: "Model", call: Call) -> Scores:
        """Run the model; ``model`` is the default one, opened before the first call."""
        model = self._named(order.model, model)
        source, target = model.inputs[0].name, model.outputs[0].name
        scores = model({source: order.tensor}, deadline=call.deadline)[target]
        quantization = getattr(model, "quantization", {}).get(target)
        if quantization is not None:
            scores = quantization.dequantize(scores)
        return Scores(scores.reshape(-1), order.topk, order.model)

    def finish(self, scores: Scores) -> dict[str, list[dict[str, object]]]:
        """Return the most probable classes, highest first."""
        labels = self._known[scores.model].labels
        best = (-scores.probabilities).argsort(kind="stable")[: scores.topk]
        return {
            "results": [
                {"className": labels[index], "probability": _rounded(scores.probabilities[index])}
                for index in best
            ]
        }

    def _chosen(self, name: object) -> str:
        if name is None:
            return self.names[0]
        if isinstance(name, str) and name in self.names:
            return name
        known = ", ".join(self.names)
        raise InvalidRequest(f"unknown model {name!r}; known here: {known}", field="model")

    def _about(self, name: str, model: "Model", default: "Model") -> _Known:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _load_known(name, model, _folder(default))
        return known

    def _named(self, name: str, default: "Model") -> "Model":
        """Return the model that a call has chosen; all but the default open when asked for."""
        if name == self.names[0]:
            return default
        with self._lock:
            if name not in self._models:
                from gpfn.function.opening import open_and_warm

                self._models[name], _ = open_and_warm(
                    (f"catalogue:{name}",), _folder(default), 1, Limits.from_env()
                )
            return self._models[name]


def _folder(model: "Model") -> str:
    """Return where a model's file lies: its labels and its siblings may lie there too."""
    return os.path.dirname(os.path.abspath(model.name))


def _load_known(name: str, model: "Model", folder: str) -> _Known:
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.files import local_path

    entry = default_catalogue().get(name)
    if entry.image is None or entry.labels is None:
        raise ModelUnreadable(f"{name} is no image classifier: no image or labels", field="model")
    beside = Path(folder) / entry.labels.name
    path = beside if beside.is_file() else local_path(name, entry.labels)
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"{path} cannot be read: {error}", field="model") from error
    classes = (model.outputs[0].shape or (None,))[-1]
    if classes is not None and classes != len(labels):
        raise ModelUnreadable(
            f"{path} has {len(labels)} labels for {classes} classes", field="model"
        )
    return _Known(entry.image, labels)


def _rounded(probability: "np.floating") -> float:
    """Six digits: what a quantised model knows, without float32's tail."""
    return round(float(probability), 6)


def _options(payload: Payload) -> Mapping[str, object]:
    """Return image, topk and model, whichever way they came."""
    if payload.base_type == "multipart/form-data":
        return multipart_fields(payload.data, payload.media_type)
    if _is_file(payload):
        return {"image": payload.data}
    if not payload.is_json:
        raise UnsupportedMedia(
            f"{payload.base_type}: send image/…, application/json or multipart/form-data",
            field="content-type",
        )
    options = payload.json()
    if isinstance(options, Mapping):
        return options
    if isinstance(options, str):  # base64 in quotes is JSON
        return {"image": options}
    kind = type(options).__name__
    raise InvalidRequest(f"expected an object with an image, got {kind}", field=payload.field)


def _is_file(payload: Payload) -> bool:
    """Tell a photo sent as it is from parameters, where the media type does not.

    ``fn invoke`` says text/plain and curl a form whatever they are given.
    """
    if payload.base_type.startswith("image/"):
        return True
    if payload.event is not None:
        return not payload.is_json
    return payload.base_type in _RAW_TYPES and payload.data[:64].lstrip()[:1] not in (b"{", b"")


def _image_bytes(options: Mapping[str, object], limits: Limits, call: Call) -> bytes:
    image = options.get("image")
    if isinstance(image, bytes):
        return from_bytes(image, limits.body_bytes)
    if isinstance(image, str) and image[:8].lower().startswith(("http://", "https://")):
        return _fetched(image, limits, call)
    return from_text(image, limits.body_bytes)


def _fetched(url: str, limits: Limits, call: Call) -> bytes:
    if not read_switch(_URLS_SWITCH):
        raise InvalidImage(
            f"image URLs are off; send the image itself, or set {_URLS_SWITCH}=on", field="image"
        )
    from gpfn.http.fetch import FetchPolicy, fetch

    return fetch(url, FetchPolicy(limits.body_bytes), call.deadline, field="image")


def _whole_number(value: object, default: int, most: int) -> int:
    from gpfn.tensors.shapes import shown

    if value is None:
        return min(default, most)
    number = read_digits(value) if isinstance(value, str) else value  # a form has no numbers
    if isinstance(number, bool) or not isinstance(number, int):
        raise CallerError(f"expected a whole number, got {shown(value)}", field="topk")
    if not 1 <= number <= most:
        raise CallerError(f"expected 1 to {most}, got {shown(value)}", field="topk")
    return number
