"""From what TFaaS's clients send to the inputs of a model: rows of values, and pictures.

A row has values in order, and keys that TFaaS never looks at. There are two modes here. Where
the names of the features are known, from ``features`` in params.json or because the model has an
input for each, keys are matched to them: in any order, none missing, none unknown. Where they
are not, or a row has no keys, its values are taken in order, as TFaaS does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.errors import InvalidRequest, InvalidTensor
from gpfn.tensors.cast import cast_to

if TYPE_CHECKING:
    from gpfn.images.preparation import ImageInput
    from gpfn.tensors.spec import TensorSpec
    from gpfn.tfaas.row import FeatureRow

__all__ = ["PictureInput", "RowInputs", "picture_input", "picture_tensor", "row_inputs"]

_Array = np.ndarray[Any, Any]
_MOST_TOLD = 5
_CHANNELS = {1: "L", 3: "RGB"}


class RowInputs(NamedTuple):
    """How rows become inputs: the features' names, if they are known, and the model's inputs."""

    specs: tuple[TensorSpec, ...]
    names: tuple[str, ...]
    size: int | None
    """Values of a row; None when any number will do."""

    def arrays(self, row: FeatureRow) -> Mapping[str, _Array]:
        """Return the inputs that a row is, or several rows are.

        Raises InvalidTensor, naming what is missing, unknown, too many or too few.
        """
        values = row.values
        if self.names and row.keys:
            values = values[:, self._order(row.keys, values.shape[1])]
        elif self.size is not None and values.shape[1] != self.size:
            told = f"expected {self.size} values in a row, got {values.shape[1]}"
            raise InvalidTensor(told, field="values")
        if len(self.specs) == 1:
            return {self.specs[0].name: _shaped(values, self.specs[0])}
        return {
            spec.name: _shaped(values[:, number : number + 1], spec)
            for number, spec in enumerate(self.specs)
        }

    def _order(self, keys: Sequence[str], count: int) -> list[int]:
        """Return where the value of each feature stands in a row."""
        if len(keys) != count:
            told = f"{len(keys)} keys for {count} values"
            raise InvalidTensor(told, field="keys")
        places = {key: number for number, key in enumerate(keys)}
        if len(places) < count:
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise InvalidTensor(f"given twice: {_few(twice)}", field="keys")
        missing = [name for name in self.names if name not in places]
        unknown = [key for key in keys if key not in self.names]
        if missing or unknown:
            wrong = (("missing", missing), ("unknown", unknown))
            told = "; ".join(f"{what}: {_few(names)}" for what, names in wrong if names)
            raise InvalidTensor(told, field="keys")
        return [places[name] for name in self.names]


def row_inputs(specs: Sequence[TensorSpec], features: object) -> RowInputs:
    """Return how rows become the inputs of a model; ``features`` are params.json's.

    Raises InvalidTensor for a model that rows cannot be for.
    """
    if not specs:
        raise InvalidTensor("the model does not say what it takes; ask it over /v2", field="model")
    if len(specs) == 1:
        size = _row_size(specs[0].shape or ())
        names = _names(features)
        return RowInputs(tuple(specs), names if size in (None, len(names)) else (), size)
    for spec in specs:
        if spec.shape is not None and prod(size or 1 for size in spec.shape[1:]) != 1:
            told = f"its input {spec.name} takes more than one value; ask it over /v2"
            raise InvalidTensor(told, field="model")
    return RowInputs(tuple(specs), tuple(spec.name for spec in specs), len(specs))


def _row_size(shape: tuple[int | None, ...]) -> int | None:
    """Return the number of values in a row; one dimension of a known size is a row."""
    sizes = shape if len(shape) == 1 and shape[0] is not None else shape[1:]
    known = [size for size in sizes if size is not None]
    return prod(known) if shape and len(known) == len(sizes) else None


def _names(features: object) -> tuple[str, ...]:
    listed = features if isinstance(features, list) else []
    return tuple(listed) if all(isinstance(name, str) for name in listed) else ()


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return ", ".join(f"{name:.60}" for name in names[:_MOST_TOLD]) + more


def _shaped(values: _Array, spec: TensorSpec) -> _Array:
    """Return rows in the shape of an input, cast to its dtype if every value survives that."""
    if spec.shape is not None and len(spec.shape) != 2:
        inner = [size or -1 for size in spec.shape[1:]]
        shape = (len(values), *inner) if inner else (-1,) * len(spec.shape)
        try:
            values = values.reshape(shape)
        except ValueError:
            told = f"{values.shape[1]} values do not make up {list(spec.shape)}"
            raise InvalidTensor(told, field="values") from None
    return cast_to(values, spec, path="values")


class PictureInput(NamedTuple):
    """How a picture becomes an input: as described, or as TFaaS does, for a size or any."""

    name: str
    spec: TensorSpec
    described: ImageInput | None
    channels: int


def picture_input(
    specs: Sequence[TensorSpec], described: ImageInput | None, channels: int
) -> PictureInput:
    """Return how pictures become the input of a model. Raises InvalidRequest when they cannot.

    ``channels`` are params.json's, 0 for the model's own.
    """
    if len(specs) != 1 or specs[0].shape is None or len(specs[0].shape) != 4:
        raise InvalidRequest("the model takes no picture", field="model")
    spec = specs[0]
    channels = channels or (spec.shape or ())[3] or 0
    if described is None and channels not in _CHANNELS:
        told = "img_channels, 1 or 3, is not in params.json, and the model does not say"
        raise InvalidRequest(told, field="model")
    return PictureInput(spec.name, spec, described, channels)


def picture_tensor(data: bytes, wanted: PictureInput, max_pixels: int) -> _Array:
    """Return a picture as a model's input, in a thread; without a description 0 to 255.

    Raises InvalidImage, InvalidRequest with the sizes when the picture has another one.
    """
    from gpfn.images.decoding import upright_size
    from gpfn.images.preparation import ImageInput, prepare

    image = wanted.described
    if image is None:
        width, height = upright_size(data)
        shape = wanted.spec.shape or ()
        if any(
            have not in (None, want) for have, want in zip(shape[1:3], (height, width), strict=True)
        ):
            told = f"{width} x {height} pixels; the model takes {shape[2]} x {shape[1]}"
            raise InvalidRequest(f"{told}, and params.json has no block image", field="image")
        image = ImageInput(height, width, channels=_CHANNELS[wanted.channels])
    tensor = prepare(data, image, max_pixels)
    if wanted.described is None and wanted.spec.dtype != "uint8":
        tensor = tensor.astype(np.float32)
    return cast_to(tensor, wanted.spec, path="image")
