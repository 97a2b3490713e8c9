"""An image in, class names and probabilities out: models of the catalogue, and one's own.

:class:`Classifier` is a handler object (:mod:`gpfn.function.declaration`):
``Function(Classifier("mobilenet_v2"))`` is a whole function, and so is
``Function(Classifier("model.tflite"))`` with a ``model.toml`` beside the model.
"""

import os
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from gpfn.call.contract import Call
from gpfn.call.image_request import read_image_request, real_number, whole_number
from gpfn.call.payload import Payload
from gpfn.errors import (
    GpfnError,
    InvalidRequest,
    ModelFailed,
    SetupError,
    error_document,
)
from gpfn.images.preparation import ImageInput, prepare, trial, warm_up
from gpfn.images.rows import prepare_rows
from gpfn.limits import Limits

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.image_model import ImageModel
    from gpfn.models.model import Model

__all__ = ["Classifier", "ImageInput", "Order", "Scores"]

_TOLD = 3


class Order(NamedTuple):
    """What one call asks for: pictures as the model's input, what is told, by which model.

    ``rows`` are those pictures that are sound. ``problems`` has one entry for each picture,
    None for those; ``topk`` and ``threshold`` are None where the model's own hold.
    """

    rows: "np.ndarray"
    problems: Sequence[GpfnError | None]
    several: bool
    topk: int | None
    threshold: float | None
    model: str


class Scores(NamedTuple):
    """Probabilities (rows, classes) in the model's order, and what of them was asked for."""

    probabilities: "np.ndarray"
    order: Order


class Classifier:
    """Classifies images with one or more models; a handler object for ``Function``.

    The first model is the default, the caller may ask for another of ``names``. Model and
    label files are looked for beside the function's file, then where ``gpfn models pull``
    puts them; nothing is downloaded here.

    >>> Classifier("digits").models
    ('catalogue:digits',)
    >>> Classifier("model.tflite", labels="labels.txt", input=ImageInput(size=180)).models
    ('model.tflite',)
    """

    def __init__(
        self,
        *names: str,
        labels: str | os.PathLike[str] | Sequence[str] | None = None,
        input: ImageInput | None = None,  # noqa: A002 - what it is
        output: str = "",
        softmax: bool = False,
        sigmoid: bool = False,
        multilabel: bool = False,
        threshold: float | None = None,
        topk: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Take names of the catalogue, or URIs of models of one's own.

        What is said here of one's own model comes before the ``model.toml`` beside it, and
        may be left out when that says it.

        Args:
            names: A model is one of the catalogue unless it has a path, an address or the
                suffix of a model file.
            labels: A text file beside the model or the function, one class a line in the
                order of the scores; or the names themselves.
            input: What the model takes of an image.
            output: The output that has the scores, of a model that gives several.
            softmax: The scores are logits of classes of which one is meant.
            sigmoid: The scores are logits of classes that stand alone.
            multilabel: Classes stand alone: all of at least the threshold are told.
            threshold: The least probability that is told; 0.5 with multilabel, else 0.
            topk: How many classes are told: 3, and any number with multilabel.
            limits: Bounds on a request; from the environment when None.

        Raises SetupError when it contradicts itself.
        """
        from gpfn.models.image_lookup import Stated
        from gpfn.models.scoring import Scoring

        if not names:
            raise SetupError("give the name or the file of a model", field="names")
        scoring = Scoring(output, softmax, sigmoid, multilabel, threshold)
        scoring.check()
        self._stated = Stated(labels, input, None if scoring == Scoring() else scoring)
        if len(names) > 1 and self._stated != Stated():
            told = "what is said here is of one model; give each of several its model.toml"
            raise SetupError(told, field="names")
        self.names, self.topk, self._limits = names, topk, limits
        self._known: dict[str, ImageModel] = {}
        self._models: dict[str, Model] = {}
        self._lock = Lock()

    @property
    def models(self) -> tuple[str, ...]:
        """The URIs of its models; a function opens the first."""
        from gpfn.models.image_lookup import image_model_uri

        return tuple(map(image_model_uri, self.names))

    def open(self, model: "Model | None") -> None:
        """Read what is known of the default model, and warm the preparation up.

        A model of one's own is tried with a picture of ours. Raises SetupError or ModelUnreadable
        when something is missing or does not fit, BackendError when the model fails.
        """
        from gpfn.models.backends import is_remote
        from gpfn.models.image_lookup import is_of_catalogue

        if model is None or is_remote(model.backend):
            return  # a function may start before its model server
        known = self._about(self.names[0], model, model)
        warm_up(known.input)
        if not is_of_catalogue(self.models[0]):
            known.rehearse(model, trial(known.input))

    def prepare(self, payload: Payload, model: "Model", call: Call) -> Order:
        """Read the images and the options, and make the model's input of them."""
        limits = self._limits = self._limits or Limits.from_env()
        files, several, options = read_image_request(payload, limits, call.deadline)
        name = self._chosen(options.get("model"))
        known = self._about(name, self._named(name, model), model)
        topk = whole_number(options.get("topk"), len(known.labels), "topk")
        threshold = real_number(options.get("threshold"), "threshold")
        if several:
            made = prepare_rows(files, known.input, limits, deadline=call.deadline)
            sound = [row for row, problem in enumerate(made.problems) if problem is None]
            return Order(made.rows[sound], made.problems, True, topk, threshold, name)
        (file,) = files
        assert isinstance(file, bytes), "one alone is raised"  # noqa: S101
        rows = prepare(file, known.input, limits.pixels, deadline=call.deadline)
        return Order(rows, (None,), False, topk, threshold, name)

    def predict(self, order: Order, model: "Model", call: Call) -> Scores:
        """Run the model; ``model`` is the default one, opened before the first call."""
        if not len(order.rows):
            return Scores(order.rows, order)
        model, known = self._named(order.model, model), self._known[order.model]
        return Scores(known.run(model, order.rows, call.deadline), order)

    def finish(self, scores: Scores) -> dict[str, object]:
        """Return the most probable classes, highest first; of several images for each of them."""
        order, rows = scores.order, iter(scores.probabilities)
        told = [self._told(order, problem or next(rows)) for problem in order.problems]
        if order.several:
            return {"images": [error_document(e) if isinstance(e, GpfnError) else e for e in told]}
        if isinstance(told[0], GpfnError):
            raise told[0]
        return told[0]

    def _told(self, order: Order, found: "np.ndarray | GpfnError") -> dict[str, object] | GpfnError:
        """Return the classes of one image, or what is wrong with it."""
        if isinstance(found, GpfnError):
            return found
        if found.max() != found.max():
            return ModelFailed("gave no numbers for this image")
        known = self._known[order.model]
        most = order.topk or self.topk or (None if known.scoring.multilabel else _TOLD)
        best = known.scoring.best(found, most, order.threshold)
        return {
            "results": [
                {"className": known.labels[index], "probability": _rounded(found[index])}
                for index in best
            ]
        }

    def _chosen(self, name: object) -> str:
        if name is None:
            return self.names[0]
        if isinstance(name, str) and name in self.names:
            return name
        known = ", ".join(self.names)
        raise InvalidRequest(f"unknown model {name!r:.80}; known here: {known}", field="model")

    def _about(self, name: str, model: "Model", default: "Model") -> "ImageModel":
        known = self._known.get(name)
        if known is None:
            from gpfn.models.image_lookup import find_image_model, image_model_uri, model_folder

            uri, folder = image_model_uri(name), model_folder(default)
            known = self._known[name] = find_image_model(uri, model, folder, self._stated)
        return known

    def _named(self, name: str, default: "Model") -> "Model":
        """Return the model that a call has chosen; all but the default open when asked for."""
        if name == self.names[0]:
            return default
        with self._lock:
            if name not in self._models:
                from gpfn.function.opening import open_and_warm
                from gpfn.models.image_lookup import image_model_uri, model_folder

                self._models[name], _ = open_and_warm(
                    (image_model_uri(name),), model_folder(default), 1, Limits.from_env()
                )
            return self._models[name]


def _rounded(probability: "np.floating") -> float:
    """Six digits: what a quantised model knows, without float32's tail."""
    return round(float(probability), 6)
