"""The rows of a function whose model is open: what its inputs and its ``model.toml`` say.

The description is the ``model.toml`` beside the model, or the catalogue's entry of a model that
was named by it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.errors import SetupError
from gpfn.models.description import Description, description_beside, read_labels
from gpfn.models.files import local_path
from gpfn.rows.schema import RowSchema, row_schema

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["describe_model", "schema_of"]

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
    labels = getattr(model, "labels", {})
    classes = {name: tuple(map(str, each)) for name, each in labels.items()}
    if told is not None:
        named = _classes(told)
        if named and model is not None:
            _check_classes(named, model, classes)
            classes[""] = named
    return row_schema(specs, told.columns if told is not None else (), classes=classes)


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


def _is_named(candidate: str) -> bool:
    return candidate.startswith(_CATALOGUE)


def _classes(told: Description) -> tuple[str, ...]:
    if told.classes or told.labels is None:
        return told.classes
    return read_labels(local_path(told.name, told.labels))


def _check_classes(named: tuple[str, ...], model: Model, known: dict[str, tuple[str, ...]]) -> None:
    """Raise SetupError when no output can have so many classes."""
    if not model.outputs:  # a Python function that declares nothing
        return
    ends = [s for s in model.outputs if s.name not in known and s.dtype.startswith("float")]
    shapes = [(None, None) if spec.shape is None else spec.shape for spec in ends]
    widths = [shape[1] for shape in shapes if len(shape) == _MATRIX]
    if not {None, len(named)}.intersection(widths):
        sizes = ", ".join(map(str, widths)) or "no"
        raise SetupError(
            f"{len(named)} names, but the model gives {sizes} values a row", field="classes"
        )
