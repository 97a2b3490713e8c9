"""An image classifier: how pictures become a model's input, and its output named classes.

What is known of it (`gpfn.models.description`, or whoever builds it) is checked against the
model here, so that what does not fit is told before the first picture.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import ModelFailed, SetupError
from gpfn.models.batch_axis import has_batch_axis
from gpfn.models.labels import check_labels
from gpfn.models.scoring import Scoring
from gpfn.tensors.shapes import spec_text
from gpfn.tensors.spec import TensorSpec, find_name

if TYPE_CHECKING:
    import numpy as np

    from gpfn.images.preparation import ImageInput
    from gpfn.models.model import Model

    _Array = np.ndarray[Any, Any]

__all__ = ["ImageModel", "as_input", "image_model"]

_TOGETHER = 8
"""Pictures in one call of a model whose rows do not influence each other."""
_RANK = 4
_DEPTHS = (1, 3)
_BYTES = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64")
"""What bytes from 0 to 255 can be given as."""


class ImageModel(NamedTuple):
    """A model with what makes an image classifier of it.

    ``source`` is its one input, ``target`` the name of the output that has the scores.
    """

    input: ImageInput
    labels: tuple[str, ...]
    scoring: Scoring
    source: TensorSpec
    target: str

    def run(self, model: Model, rows: _Array, deadline: Deadline = NEVER) -> _Array:
        """Return the probabilities (rows, classes) of prepared pictures.

        A row that the model gives no numbers for has NaN. Raises what the model raises,
        ModelUnreadable when the labels do not fit, SetupError when these are no probabilities.
        """
        scores = self._scores(model, rows, deadline)
        check_labels(self.labels, scores.shape[1], "the label file")
        return self.scoring.probabilities(scores, len(self.labels))

    def rehearse(self, model: Model, rows: _Array) -> None:
        """Run the model on a picture that nobody sent.

        Raises as :meth:`run` does, and SetupError for a softmax of probabilities.
        """
        self.run(model, rows)
        self.scoring.check_first(self._scores(model, rows, NEVER))

    def _scores(self, model: Model, rows: _Array, deadline: Deadline) -> _Array:
        import numpy as np

        fixed = self.source.shape[0] if self.source.shape else None
        step = fixed or (_TOGETHER if has_batch_axis(model) else 1)
        found = []
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            count = len(part)
            if fixed and count < fixed:  # a model for so many and no other number
                part = np.concatenate(
                    (part, np.zeros((fixed - count, *part.shape[1:]), part.dtype))
                )
            found.append(self._asked(model, part, deadline)[:count])
        return np.concatenate(found)

    def feed(self, model: Model, rows: _Array) -> dict[str, _Array]:
        """Return prepared pictures as the model's input."""
        name = self.source.name
        integers = getattr(model, "input_quantization", {}).get(name)
        return {name: as_input(rows, self.source.dtype, integers)}

    def _asked(self, model: Model, rows: _Array, deadline: Deadline) -> _Array:
        fed = self.feed(model, rows)
        scores = model(fed, outputs=(self.target,), deadline=deadline)[self.target]
        quantization = getattr(model, "quantization", {}).get(self.target)
        if quantization is not None:
            scores = quantization.dequantize(scores)
        if len(rows) > 1 and scores.shape[:1] != (len(rows),):
            raise ModelFailed(f"gave {scores.shape} for {len(rows)} pictures")
        return scores.reshape(len(rows), -1)


def as_input(rows: _Array, dtype: str, integers: Any) -> _Array:
    """Return prepared rows as the model takes them.

    Bytes stay what they are: an int8 model, which has 0 in the middle, gets them less 128.
    Real numbers become the integers of a quantised model that stand for them.
    """
    if rows.dtype == dtype:
        return rows
    if rows.dtype.kind == "f" and integers is not None:
        made: _Array = integers.quantize(rows, dtype)
        return made
    if dtype == "int8":
        return (rows.astype("int16") - 128).astype(dtype)
    return rows.astype(dtype)


def image_model(
    model: Model,
    described: ImageInput | None,
    labels: tuple[str, ...],
    scoring: Scoring,
    where: str = "the label file",
) -> ImageModel:
    """Return a model as an image classifier, checked.

    Without ``labels`` those count that the model itself has; ``where`` is what they are
    called. Raises SetupError or ModelUnreadable, which say what to write.
    """
    source, target = _source(model), _target(model, scoring, len(labels))
    if described is None:
        told = "nothing says how a picture becomes that: give input=ImageInput(…), or write a "
        raise SetupError(
            f"the model takes {spec_text(source)}, and {told}model.toml beside it with "
            f"[image] {_told_input(source)}",
            field="input",
        )
    _check_input(model, source, described)
    own: tuple[object, ...] = tuple(getattr(model, "labels", {}).get(target.name, ()))
    names = labels or tuple(str(each) for each in own)
    if not names:
        told = "no names of classes: give labels=FILE, or name it in a model.toml beside the model"
        raise SetupError(told, field="labels")
    classes = _classes(target)
    if classes is not None:
        check_labels(names, classes, where)
    return ImageModel(described, names, scoring, source, target.name)


def _source(model: Model) -> TensorSpec:
    if len(model.inputs) == 1:
        return model.inputs[0]
    names = ", ".join(spec.name for spec in model.inputs) or "nothing that it tells"
    raise SetupError(f"an image classifier has one input; the model takes {names}", field="input")


def _target(model: Model, scoring: Scoring, labels: int) -> TensorSpec:
    """Return the output that has the scores."""
    known = {spec.name: spec for spec in model.outputs}
    listed = ", ".join(f"{spec.name} {spec_text(spec)}" for spec in model.outputs)
    if not scoring.output and len(known) == 1:
        return model.outputs[0]
    if not scoring.output:
        fits = [spec.name for spec in model.outputs if _classes(spec) == labels] or [*known]
        told = f"the model gives {listed}; name the one that has the scores"
        raise SetupError(f"{told}: output = {fits[0]!r}" if fits else told, field="output")
    found = find_name(scoring.output, known)
    if found is None:
        raise SetupError(f"the model gives {listed}, not {scoring.output!r}", field="output")
    return known[found]


def _classes(spec: TensorSpec) -> int | None:
    """Return how many scores a picture gets; None where that is open."""
    sizes = None if spec.shape is None else spec.shape[1:] or spec.shape
    if sizes is None or None in sizes or spec.dtype == "string":
        return None
    return prod(size for size in sizes if size is not None)


def _check_input(model: Model, source: TensorSpec, described: ImageInput) -> None:
    """Raise SetupError unless pictures as described fit the input."""
    made = TensorSpec(described.dtype, (None, *described.shape))
    sizes = source.shape
    fits = sizes is None or (
        len(sizes) == _RANK
        and all(have in (None, want) for have, want in zip(sizes[1:], described.shape, strict=True))
    )
    exact = getattr(model, "input_quantization", {}).get(source.name) is not None
    numbers = _BYTES if described.quantised or exact else ("float16", "float32", "float64")
    if fits and source.dtype in numbers:
        return
    told = f"the model takes {spec_text(source)}, and a picture becomes {spec_text(made)}"
    if fits:
        raise SetupError(f"{told}; leave out mean and std for its bytes", field="input")
    raise SetupError(f"{told}; for that model: {_told_input(source)}", field="input")


def _told_input(spec: TensorSpec) -> str:
    """Return what to write for an input, as far as its shape tells it."""
    sizes = spec.shape or ()
    if len(sizes) != _RANK:
        return "an input of a batch, height, width and channels"
    first = sizes[1] in _DEPTHS and sizes[3] not in _DEPTHS
    height, width = sizes[2:] if first else sizes[1:3]
    depth = sizes[1] if first else sizes[3]
    grey = ', channels = "L", layout = "NCHW"' if first else ', channels = "L"'
    order = grey if depth == 1 else ', channels = "first"' if first else ""
    return f"size = [{height or '…'}, {width or '…'}]{order}"
