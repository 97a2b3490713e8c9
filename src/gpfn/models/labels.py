"""The names of a model's classes: a text file, one a line, in the order of the scores.

The order is the file's. Nothing here sorts, and nothing makes names of folders: a model that
was trained on the folders 1 to 12 may well have 10 before 2, and only its own file knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gpfn.errors import ModelUnreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpfn.models.description import Description
    from gpfn.models.model import Model

__all__ = [
    "UNNAMED",
    "ClassNames",
    "check_labels",
    "class_keys",
    "described_classes",
    "labels_of",
    "output_classes",
    "read_labels",
]

ClassNames = Mapping[str, Sequence[str]]
"""Names of classes by output; under the empty name those of every other output of their number.

An output that has none of them has an empty list.
"""

UNNAMED: ClassNames = MappingProxyType({})

_MOST_BYTES = 8 << 20
_LISTS = ("classes", "labels")
"""What names are called that stand in a list, where there are no lines."""
_EACH = "give one for each, in the order of the model's scores"
_ORDER = "one a line, in the order of the model's scores"


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of classes in a text file, one a line.

    A byte order mark, CRLF and empty lines at the end are none of them. Raises
    ModelUnreadable for a file that cannot be read, is too large, is not UTF-8, has no names,
    or has an empty line between them, which would shift all that follow.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelUnreadable(f"{name}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ModelUnreadable(f"{name}: labels of more than {_MOST_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        told = f"{name}: labels that are not UTF-8; save it as UTF-8"
        raise ModelUnreadable(told) from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            told = f"line {number} is empty" if len(lines) > 1 else "no labels in it"
            raise ModelUnreadable(f"{name}: {told}; write {_ORDER}")
    return tuple(lines)


def described_classes(described: Description, folder: str = "") -> tuple[str, ...]:
    """Return the names of classes in a description: its ``classes``, else its file of labels.

    The file may lie in ``folder`` too. Empty where neither is said. Raises ModelUnreadable.
    """
    if described.classes or described.labels is None:
        return described.classes
    beside = os.path.join(folder, described.labels.name)
    if folder and os.path.isfile(beside):
        return read_labels(beside)
    from gpfn.models.files import local_path

    return read_labels(local_path(described.name, described.labels))


def output_classes(model: Model | None, named: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the names of classes by output, as far as a model itself tells them.

    ``named`` are those of its description, for every other output. A classifier that was
    trained on numbers has nothing better to call its classes, so ``named`` come before those.
    """
    own: Mapping[str, tuple[int | str, ...]] = getattr(model, "labels", {})
    known = {
        name: tuple(map(str, labels))
        for name, labels in own.items()
        if labels and not (named and not isinstance(labels[0], str))
    }
    return {**known, "": tuple(named)}


def class_keys(name: str, array: NDArray[Any], classes: ClassNames) -> Sequence[str]:
    """Return what the values of an output's rows may be told by; none where nothing can be.

    Those are numbers with a fraction, one for each class, and no two classes of one name.
    """
    if not classes or array.ndim != 2 or array.dtype.kind != "f":
        return ()
    labels = labels_of(name, array.shape[1], classes)
    return labels if len({*labels}) == len(labels) else ()


def labels_of(name: str, count: int, classes: ClassNames) -> Sequence[str]:
    """Return the names of the ``count`` values that an output has for a row; none if unknown."""
    labels = classes[name] if name in classes else classes.get("", ())
    return labels if len(labels) == count else ()


def check_labels(labels: Sequence[str], classes: int, where: str) -> None:
    """Raise ModelUnreadable unless there is a label for each class.

    ``where`` is what the labels are called. Two labels for one score are those of a model
    that gives the probability of the second alone.
    """
    if len(labels) != classes and not (classes == 1 and len(labels) == 2):
        way = _EACH if where in _LISTS else f"write {_ORDER}"
        told = f"{where} has {len(labels)} labels for {classes} classes; {way}"
        raise ModelUnreadable(told, field="labels")
