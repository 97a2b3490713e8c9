"""The names of a model's classes: a text file, one a line, in the order of the scores.

The order is the file's. Nothing here sorts, and nothing makes names of folders: a model that
was trained on the folders 1 to 12 may well have 10 before 2, and only its own file knows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.errors import ModelUnreadable

if TYPE_CHECKING:
    from gpfn.models.description import Description

__all__ = ["check_labels", "described_classes", "read_labels"]

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


def check_labels(labels: Sequence[str], classes: int, where: str) -> None:
    """Raise ModelUnreadable unless there is a label for each class.

    ``where`` is what the labels are called. Two labels for one score are those of a model
    that gives the probability of the second alone.
    """
    if len(labels) != classes and not (classes == 1 and len(labels) == 2):
        way = _EACH if where in _LISTS else f"write {_ORDER}"
        told = f"{where} has {len(labels)} labels for {classes} classes; {way}"
        raise ModelUnreadable(told, field="labels")
