"""What is known of an image model: said by who uses it, by its description, by the model itself.

Whatever classifies images asks here, so that a function, a command and a test of the same
model prepare pictures and name classes alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import ModelUnreadable

if TYPE_CHECKING:
    from gpfn.images.preparation import ImageInput
    from gpfn.models.description import Description
    from gpfn.models.image_model import ImageModel
    from gpfn.models.model import Model
    from gpfn.models.scoring import Scoring
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Stated",
    "find_image_model",
    "image_model_uri",
    "input_by_shape",
    "is_of_catalogue",
    "model_folder",
]

_CATALOGUE = "catalogue:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COLOURS: dict[int | None, str] = {1: "L", 3: "RGB"}
_RANK = 4
_BYTE = 255.0
_SUFFIX = re.compile(r"\.[A-Za-z]\w*")


class Stated(NamedTuple):
    """What is said where a model is used; None for what its description says."""

    labels: str | os.PathLike[str] | Sequence[str] | None = None
    input: ImageInput | None = None
    scoring: Scoring | None = None


def image_model_uri(name: str) -> str:
    """Return the URI of a model: a name of the catalogue, or a URI as it is.

    What has a path, an address or a suffix of letters is no name.

    >>> image_model_uri("mobilenet_v1"), image_model_uri("flowers.onnx")
    ('catalogue:mobilenet_v1', 'flowers.onnx')
    """
    if _NAME.fullmatch(name) and not _SUFFIX.fullmatch(os.path.splitext(name)[1]):
        return _CATALOGUE + name
    return name


def is_of_catalogue(uri: str) -> bool:
    """Say whether a URI is a name of the catalogue."""
    return uri.startswith(_CATALOGUE)


def model_folder(model: Model) -> str:
    """Return where a model's file lies: its labels and its siblings may lie there too."""
    return os.path.dirname(_path(model))


def _path(model: Model) -> str:
    from gpfn.models.open import split_uri

    return os.path.abspath(split_uri(model.name)[0])


def input_by_shape(spec: TensorSpec, *, fit: str) -> ImageInput | None:
    """Return how a picture becomes an input, as its shape and dtype say; None when it cannot.

    Real numbers are taken from 0 to 1, whole ones as bytes: what training did is not in a file.
    """
    from gpfn.images.image_input import MOST_SIDE, ImageInput

    shape = spec.shape or ()
    if len(shape) != _RANK or not spec.dtype.startswith(("float", "int", "uint")):
        return None
    _, one, two, three = shape
    first = one in _COLOURS and three not in _COLOURS
    depth, height, width = (one, two, three) if first else (three, one, two)
    if depth not in _COLOURS or not (height and width) or max(height, width) > MOST_SIDE:
        return None
    real = spec.dtype.startswith("float")
    return ImageInput(
        height,
        width,
        channels=_COLOURS[depth],
        layout="NCHW" if first else "NHWC",
        fit=fit,
        mean=0 if real else (),
        std=_BYTE if real else (),
    )


def find_image_model(uri: str, model: Model, folder: str, stated: Stated) -> ImageModel:
    """Return an open model as an image classifier, checked.

    ``folder`` is where the labels of a model of the catalogue may lie as well. Raises
    SetupError or ModelUnreadable, which say what is missing or does not fit.
    """
    from gpfn.models.image_model import image_model
    from gpfn.models.scoring import Scoring

    described = _description(uri, model)
    image = stated.input or (described.image if described else None)
    if is_of_catalogue(uri) and image is None:
        told = f"{uri.removeprefix(_CATALOGUE)} is no image classifier: no image or labels"
        raise ModelUnreadable(told, field="model")
    scoring = (stated.scoring or Scoring()).over((described and described.scores) or Scoring())
    labels, where = _labels(uri, model, folder, stated.labels, described)
    return image_model(model, image, labels, scoring, where)


def _description(uri: str, model: Model) -> Description | None:
    """Return what the catalogue or the ``model.toml`` beside a model says of it."""
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.description import description_beside

    if is_of_catalogue(uri):
        return default_catalogue().get(uri.removeprefix(_CATALOGUE))
    return description_beside(_path(model))


def _labels(
    uri: str,
    model: Model,
    folder: str,
    stated: str | os.PathLike[str] | Sequence[str] | None,
    described: Description | None,
) -> tuple[tuple[str, ...], str]:
    """Return the labels, and what they are called; none where nobody names any."""
    from gpfn.models.labels import described_classes, read_labels

    if stated is not None and not isinstance(stated, str | os.PathLike):
        return tuple(stated), "labels"
    if stated is not None:
        path = _label_file(os.fspath(stated), uri, model)
        return read_labels(path), path
    if described is None:
        return (), "the label file"
    where = described.labels.name if described.labels and not described.classes else "classes"
    return described_classes(described, folder), where


def _label_file(name: str, uri: str, model: Model) -> str:
    """Return where a label file lies: beside the model, or where the model's own path begins."""
    from gpfn.models.open import split_uri

    path, relative = _path(model), split_uri(uri)[0]
    folders = [os.path.dirname(path), os.getcwd()]
    if not os.path.isabs(relative) and path.endswith(f"/{relative}"):
        folders.insert(1, path.removesuffix(f"/{relative}"))
    for folder in folders:
        found = os.path.join(folder, name)
        if os.path.isfile(found):
            return found
    tried = " nor in ".join(dict.fromkeys(folders))
    raise ModelUnreadable(f"{name} is neither in {tried}", field="labels")
