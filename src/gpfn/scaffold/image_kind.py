"""Functions of images: what of a model is an image's tensor, and a picture to send to it.

What the file does not tell (what training did to the bytes) stands in the code with a word
on it, unless a model.toml beside the model has it.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpfn.errors import GpfnError, SetupError
from gpfn.scaffold.samples import SampleEvent
from gpfn.scaffold.spelling import literal

if TYPE_CHECKING:
    import numpy as np

    from gpfn.images.image_input import ImageInput
    from gpfn.models.image_model import ImageModel
    from gpfn.models.scoring import Scoring
    from gpfn.scaffold.source import FoundModel

__all__ = ["image_parts", "image_sample", "no_image"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NEAR = 0.05
"""How far from 1 the sum of quantised probabilities may be."""
_BYTE = 255.0


_NO_SHAPE = (
    "image is for one input of numbers, (n, height, width, 3) or (n, 3, height, width); take arrays"
)


def no_image(source: FoundModel) -> str:
    """Return why a model is no classifier of images, and what to do; nothing when it is.

    What a `Classifier` of it would refuse is refused here in its words.
    """
    if _described(source) is None and (len(source.inputs) != 1 or _by_shape(source) is None):
        return _NO_SHAPE
    try:
        if not _names(source) and not any(getattr(source.model, "labels", {}).values()):
            return _without_names(source)
        _checked(source, _scoring(source) or _plain(source))
    except GpfnError as error:
        return error.detail
    return ""


def _without_names(source: FoundModel) -> str:
    if source.description is None:
        return "image needs the names of the classes: put labels.txt beside the model, one a line"
    return "image needs the names of the classes: name a file of them as labels in model.toml"


def _described(source: FoundModel) -> ImageInput | None:
    return None if source.description is None else source.description.image


def _scoring(source: FoundModel) -> Scoring | None:
    return None if source.description is None else source.description.scores


def _names(source: FoundModel) -> tuple[str, ...]:
    """Return the names of the classes that lie beside the model."""
    from gpfn.models.labels import described_classes, read_labels

    if source.description is not None:
        return described_classes(source.description)
    return read_labels(source.files[source.labels]) if source.labels else ()


def _plain(source: FoundModel) -> Scoring:
    """Return where the scores are: of several outputs the first with a value for each class."""
    from gpfn.models.scoring import Scoring

    if len(source.outputs) == 1:
        return Scoring()
    count = len(_names(source))
    fits = [spec for spec in source.outputs if (spec.shape or ())[-1:] == (count,)]
    return Scoring(output=(fits or source.outputs)[0].name)


def _checked(source: FoundModel, scoring: Scoring) -> ImageModel:
    from gpfn.models.image_model import image_model

    described, where = source.description, source.labels
    if described is not None and described.classes:
        where = "classes"
    return image_model(source.model, _input(source), _names(source), scoring, where)


def _input(source: FoundModel) -> ImageInput:
    """Return how an image becomes the input: as described, else by its shape and dtype."""
    image = _described(source) or _by_shape(source)
    assert image is not None, "no_image has looked"  # noqa: S101
    return image


def _by_shape(source: FoundModel) -> ImageInput | None:
    from gpfn.models.image_lookup import input_by_shape

    return input_by_shape(source.inputs[0], fit="crop")


def image_parts(source: FoundModel) -> Mapping[str, str]:
    """Return the arguments of the Classifier: those that no model.toml says."""
    lines = [f"labels={literal(source.labels)},"] if _names_are_said(source) else []
    if _described(source) is None:
        lines += _input_lines(source)
    if _scoring(source) is None:
        lines += _score_lines(source)
    said = "".join(f"\n        {line}" for line in lines)
    imported = "Classifier" if _described(source) else "Classifier, ImageInput"
    return {"imported": imported, "said": said, "model": literal(_named(source))}


def _named(source: FoundModel) -> str:
    """Return the model as a Classifier takes it: a plain name would be one of the catalogue."""
    from gpfn.models.image_lookup import image_model_uri, is_of_catalogue

    is_name = is_of_catalogue(image_model_uri(source.uri))
    return f"./{source.uri}" if is_name else source.uri


def _names_are_said(source: FoundModel) -> bool:
    return source.description is None and bool(source.labels)


def _input_lines(source: FoundModel) -> list[str]:
    image = _input(source)
    lines = ["input=ImageInput(", f"    size=({image.height}, {image.width}),"]
    if not image.quantised:
        lines += ["    # what training did to a byte: (byte - mean) / std, here 0 to 1",
                  "    mean=0,", "    std=255,"]  # fmt: skip
    if image.channels == "L":
        lines += ['    channels="L",', f"    layout={literal(image.layout)},"]
    else:
        lines.append(f'    channels="{"first" if image.layout == "NCHW" else "last"}",')
    return [*lines, '    crop="center",', "),"]


def _score_lines(source: FoundModel) -> list[str]:
    """Return what the model gives, as far as it shows when it is asked."""
    plain = _plain(source)
    lines = [f"output={literal(plain.output)},"] if plain.output else []
    known = _checked(source, plain)
    try:
        found = known.run(source.model, _trials(known.input))
    except SetupError as error:
        if error.field != "scores":
            raise
        alone = len(known.labels) == 2 and _width(source, known.target) == 1
        said = "sigmoid=True,  # it gives a logit" if alone else "softmax=True,  # it gives logits"
        return [*lines, said]
    if abs(found.sum(axis=1) - 1).max() > _NEAR:
        lines.append("multilabel=True,  # its probabilities do not add up to 1")
    return lines


def _width(source: FoundModel, output: str) -> int | None:
    sizes = next(spec.shape for spec in source.outputs if spec.name == output)
    return sizes[-1] if sizes else None


def _trials(image: ImageInput) -> np.ndarray[Any, Any]:
    """Return two pictures as the model takes them; of numbers the second is out of all bounds.

    Probabilities stay such for any numbers, and logits grow with them.
    """
    import numpy as np

    size = image.height * image.width * (1 if image.channels == "L" else 3)
    ramp = np.linspace(0, _BYTE, size).reshape(image.shape)
    if image.quantised:
        return np.stack([ramp, _BYTE - ramp]).astype("uint8")
    return np.stack([ramp / _BYTE, ramp]).astype("float32")


def image_sample(source: FoundModel) -> SampleEvent:
    """Return a picture of the model's size in base64, as a caller would send one."""
    image = _input(source)
    picture = base64.b64encode(_png(image.height, image.width)).decode()
    return SampleEvent({"image": picture})


def _png(height: int, width: int) -> bytes:
    """Return a PNG of shades of grey."""
    lines = (bytes([0, *((x + y) % 256 for x in range(width))]) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
