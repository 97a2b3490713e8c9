"""The rows of a function whose model is open: what its inputs and its ``model.toml`` say.

The description is the ``model.toml`` beside the model, or the catalogue's entry of a model that
was named by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from gpfn.errors import SetupError
from gpfn.models.description import Description, description_beside
from gpfn.models.labels import described_classes, output_classes
from gpfn.rows.schema import RowSchema, listed, row_schema

if TYPE_CHECKING:
    import numpy as np

    from gpfn.deadline import Deadline
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

    _Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = ["describe_model", "in_steps", "schema_of"]

_CATALOGUE = "catalogue:"
_MATRIX = 2


def schema_of(
    specs: Sequence[TensorSpec], model: Model | None, uri: str, candidates: Sequence[str]
) -> RowSchema:
    """Return how rows become the arrays ``specs``, and what classes the answers have.

    ``uri`` is where the model was found, ``candidates`` what the function declares. Raises
    SetupError, which says what to declare or which key of the ``model.toml`` is wrong.
    """
    told = describe_model(uri, candidates) if model is not None else None
    named = () if told is None else described_classes(told)
    classes = output_classes(model, named)
    if named and model is not None:
        _check_classes(named, model, {name: each for name, each in classes.items() if name})
    columns = () if told is None else told.columns
    sequences = frozenset(getattr(model, "sequences", ()))
    return row_schema(specs, columns, classes=classes, sequences=sequences)


def describe_model(uri: str, candidates: Sequence[str]) -> Description | None:
    """Return what is known of a model besides its file; None where nothing is."""
    from gpfn.models.open import split_uri

    path = split_uri(uri)[0]
    if "://" in path:
        return None
    beside = description_beside(path)
    names = [split_uri(each)[0][len(_CATALOGUE) :] for each in candidates if _is_named(each)]
    if beside is not None or not names:
        return beside
    from gpfn.models.catalogue import default_catalogue

    catalogue = default_catalogue()
    entries = [catalogue.get(name) for name in names if name in catalogue]
    file = os.path.basename(path)
    return next((entry for entry in entries if entry.model.name == file), None)


def in_steps(
    predict: Callable[[object, Deadline], object], model: Model
) -> Callable[[object, Deadline], object]:
    """Return what asks a model for any number of rows, also one that takes a row at a time.

    A remote model is not asked what it takes. Raises SetupError for a model that takes another
    number of rows, or none that is a row's.
    """
    from gpfn.models.backends import is_remote

    if is_remote(model.backend):
        return predict
    firsts = [spec.shape[0] for spec in model.inputs if spec.shape]
    for spec in model.inputs:
        if spec.shape and spec.shape[0] not in (None, 1):
            from gpfn.tensors.shapes import spec_text

            told = f"takes {spec_text(spec)}; rows need a first axis that is open, or of one row"
            raise SetupError(told, field=f"inputs.{spec.name}")
    if 1 not in firsts:
        return predict
    sequences = frozenset(getattr(model, "sequences", ()))

    def step(value: object, deadline: Deadline) -> object:
        arrays = cast("_Arrays", value)
        count = len(next(iter(arrays.values())))
        if count == 1:
            return predict(arrays, deadline)
        parts = [{name: each[at : at + 1] for name, each in arrays.items()} for at in range(count)]
        return _joined([cast("_Arrays", predict(part, deadline)) for part in parts], sequences)

    return step


def _joined(answers: Sequence[_Arrays], sequences: frozenset[str]) -> _Arrays:
    """Return the outputs of single rows as those of all; one that has no rows stays what it is."""
    import numpy as np

    found = {}
    for name, first in answers[0].items():
        axis = 1 if name in sequences else 0
        several = [answer[name] for answer in answers]
        found[name] = np.concatenate(several, axis) if first.ndim > axis else first
    return found


def _is_named(candidate: str) -> bool:
    return candidate.startswith(_CATALOGUE)


def _check_classes(
    named: tuple[str, ...], model: Model, known: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise SetupError when no output can have such classes, or has other names of its own."""
    if len({*named}) < len(named):
        twice = next(name for at, name in enumerate(named) if name in named[:at])
        raise SetupError(f"{twice} is there twice, and rows name values by it", field="classes")
    if not model.outputs:  # a Python function that declares nothing
        return
    for name, own in known.items():
        if len(own) == len(named) and {*own} != {*named}:
            told = f"the model itself calls those of {name} {listed(own)}"
            raise SetupError(told, field="classes")
    if len(named) in map(len, known.values()):
        return
    ends = [s for s in model.outputs if s.name not in known and s.dtype.startswith("float")]
    shapes = [(None, None) if spec.shape is None else spec.shape for spec in ends]
    widths = [shape[1] for shape in shapes if len(shape) == _MATRIX]
    if not {None, len(named)}.intersection(widths):
        sizes = ", ".join(map(str, [*widths, *map(len, known.values())])) or "no"
        raise SetupError(
            f"{len(named)} names, but the model gives {sizes} values a row", field="classes"
        )
