"""The table of kinds: what a function takes and how it is written, whatever its model.

A kind is a row here and a text in ``templates``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.scaffold.image_kind import image_parts, image_sample, no_image
from gpfn.scaffold.row_kind import column_file, has_columns, no_rows, row_sample
from gpfn.scaffold.samples import SampleEvent, usual_arrays

if TYPE_CHECKING:
    import numpy as np

    from gpfn.scaffold.source import FoundModel

__all__ = ["KINDS", "FunctionKind", "usual_kind"]

_STRING = "string"


class FunctionKind(NamedTuple):
    """A row: the words for it, when it fits, and what is put into its text."""

    summary: str
    misfit: Callable[[FoundModel], str]
    """Why the kind does not fit a model, and what to do; nothing when it does."""
    sample: Callable[[FoundModel], SampleEvent]
    parts: Callable[[FoundModel], Mapping[str, str]] = lambda _source: {}
    """What its own text has besides what all have."""
    files: Callable[[FoundModel], Mapping[str, str]] = lambda _source: {}
    """Texts that the folder gets besides, by their paths."""
    extras: tuple[str, ...] = ()
    """Which extras of gpfn it needs."""
    memory: int = 0
    """MB that it needs besides those of the model's library."""


def usual_kind(source: FoundModel) -> str:
    """Return the kind for a model when nobody asks for one.

    A model.toml with a picture and classes means images, also where the two do not fit: why
    they do not is told then, instead of a function that nobody meant.
    """
    told = source.description
    if told and told.image and (told.labels or told.classes or not no_image(source)):
        return "image"
    if source.description is not None and source.description.columns and not no_rows(source):
        return "rows"
    return "text" if not _no_text(source) else "arrays"


def _fits(_source: FoundModel) -> str:
    return ""


def _no_text(source: FoundModel) -> str:
    if all(spec.dtype == _STRING for spec in source.inputs):
        return no_rows(source) if has_columns(source) else ""
    taken = ", ".join(sorted({spec.dtype for spec in source.inputs} - {_STRING}))
    return f"text is for models that take strings, and this one takes {taken}; take arrays"


def _text_sample(source: FoundModel) -> SampleEvent:
    """Return a text, or an object of them where the model has several inputs."""
    if not has_columns(source):
        return _array_sample(source)
    sample = row_sample(source)
    if len(source.inputs) > 1:
        return sample
    return sample._replace(data=sample.data[source.inputs[0].name])


def _text_parts(source: FoundModel) -> Mapping[str, str]:
    """Return how texts are taken: one a row where the model lets it, else as arrays."""
    if has_columns(source):
        told = "a text, a list of texts, or CSV; a plain text goes as text/plain"
        return {"told": told, "takes_rows": ' takes="rows",'}
    told = "texts come as arrays of str, and those that the model gives go out as str"
    return {"told": told, "takes_rows": ""}


def _array_sample(source: FoundModel) -> SampleEvent:
    return SampleEvent(_json_data(usual_arrays(source)))


def _json_data(arrays: Mapping[str, np.ndarray]) -> Any:
    values = {name: array.tolist() for name, array in arrays.items()}
    return next(iter(values.values())) if len(values) == 1 else values


KINDS = {
    "arrays": FunctionKind("Arrays in, arrays out", _fits, _array_sample),
    "text": FunctionKind("Texts in", _no_text, _text_sample, _text_parts),
    "rows": FunctionKind("Table rows in, rows out", no_rows, row_sample, files=column_file),
    "image": FunctionKind(
        "An image in, class names and probabilities out",
        no_image,
        image_sample,
        image_parts,
        extras=("images",),
        memory=128,
    ),
    "event": FunctionKind("An event in, an event out", _fits, _array_sample),
}
"""Every kind by its name, in the order in which they are offered."""
