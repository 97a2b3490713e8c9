"""What is known of a model besides its arrays: its description, its classes, its pictures.

That is the catalogue's row of a name, or the model.toml beside a file, and what the model
itself tells. Of a model behind a server nothing is known but that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import InvalidImage, ModelUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpfn.images.preparation import ImageInput
    from gpfn.models.description import Description
    from gpfn.models.image_model import ImageModel
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["ImageTarget", "class_names", "description_of", "image_classifier", "picture_input"]


class ImageTarget(NamedTuple):
    """The input that takes a picture, how, and what of that is assumed: empty when nothing."""

    name: str
    image: ImageInput
    assumed: str = ""


def description_of(name: str) -> Description | None:
    """Return what the catalogue says of a name, or the model.toml beside a file.

    Raises ModelUnreadable when a file is not the one that the model.toml has a hash of.
    """
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.description import description_beside
    from gpfn.models.files import check_file

    path = name.partition("#")[0]
    if not os.path.exists(path) and ".py:" not in path:
        return default_catalogue().get(name) if name in default_catalogue() else None
    found = description_beside(path)
    for file in found.files if found else ():
        beside = Path(path).parent / file.name
        if not beside.is_file():
            continue
        wrong = check_file(beside, sha256=file.sha256, size=file.size or None)
        if wrong:
            raise ModelUnreadable(f"{beside} {wrong} by the model.toml beside it")
    return found


def class_names(
    model: Model, found: Description | None, widths: Mapping[str, int]
) -> dict[str, Sequence[object]]:
    """Return the classes of outputs by their names, of those that have so many values a row.

    ``widths`` are of the outputs that can have a value for each class.

    Raises ModelUnreadable for a file of labels that cannot be read.
    """
    from gpfn.models.labels import described_classes, labels_of, output_classes

    classes = output_classes(model, described_classes(found) if found else ())
    told = {name: labels_of(name, width, classes) for name, width in widths.items()}
    return {name: labels for name, labels in told.items() if labels}


def image_classifier(name: str, model: Model, found: Description | None) -> ImageModel | None:
    """Return an open model as the classifier of images that it is described as, else None.

    ``name`` is what the user calls it. Raises SetupError or ModelUnreadable for a description
    that does not fit the model, as a function with it would.
    """
    if found is None or found.image is None:
        return None
    named = found.classes or found.labels or found.scores or any(getattr(model, "labels", {}))
    if not named:  # it may as well be something else that sees pictures
        return None
    from gpfn.models.image_lookup import Stated, find_image_model, image_model_uri, model_folder

    uri = name if os.path.exists(name) else image_model_uri(name)
    return find_image_model(uri, model, model_folder(model), Stated())


def picture_input(specs: Sequence[TensorSpec], found: Description | None) -> ImageTarget:
    """Return which input takes a picture and how, as described or else as its shape allows.

    Raises InvalidImage when no input, or more than one, can be a picture.
    """
    if found is not None and found.image is not None and specs:
        return ImageTarget(specs[0].name, found.image)
    from gpfn.models.image_lookup import input_by_shape

    found_by = [(spec, input_by_shape(spec, fit="stretch")) for spec in specs]
    able = [(s, image) for s, image in found_by if image and s.shape and s.shape[0] in (None, 1)]
    if len(able) != 1:
        from gpfn.tensors.shapes import spec_text

        told = "; ".join(f"{spec.name} {spec_text(spec)}" for spec in specs) or "nothing it tells"
        hint = "say how pictures become an input in a model.toml beside the model"
        raise InvalidImage(f"which input is a picture? the model takes {told}; {hint}")
    spec, image = able[0]
    values = "bytes" if image.quantised else "values from 0 to 1"
    size = f"{image.width} x {image.height} {image.channels}"
    return ImageTarget(spec.name, image, f"{size}, {image.layout}, stretched, {values}")
