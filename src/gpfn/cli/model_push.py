"""What of a model's file or folder becomes a version: its files under their names there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import CallerError, SetupError

__all__ = ["Gathered", "gather"]

_PARAMS = "params.json"
_LABELS = "labels.txt"
_SAVED_MODEL = "saved_model.pb"


class Gathered(NamedTuple):
    """Files by their paths in the version; which of them is the model, and has the labels.

    ``model`` is ``"."`` for the folder itself; ``labels`` may be empty.
    """

    name: str
    files: dict[str, Path]
    model: str
    labels: str


def gather(path: Path, name: str, labels: Path | None, params: Path | None) -> Gathered:
    """Return what is to be sent of a model.

    Raises SetupError for what is no model or has names that a repository refuses, and
    ModelUnreadable for a damaged file.
    """
    from gpfn.repository.documents import MOST_FILES

    if not path.exists():
        raise SetupError("no such file or folder", field=str(path))
    files, model = _folder(path) if path.is_dir() else _file(path)
    if params is not None:
        files[_PARAMS] = params
    named = _LABELS if _LABELS in files else ""
    if labels is not None:
        named = _placed(labels, path)
        files[named] = labels
    elif not path.is_dir() and (beside := _labels_beside(path)):
        named, files[beside.name] = beside.name, beside
    if len(files) > MOST_FILES:
        raise SetupError(f"{len(files)} files; a version has {MOST_FILES} at most", field=str(path))
    return Gathered(_checked(path, name, files), files, model, named)


def _checked(path: Path, name: str, files: dict[str, Path]) -> str:
    """Return the model's name, once it and the files' are such as a repository takes."""
    from gpfn.repository.names import check_model_name, check_path

    try:
        for each, place in files.items():
            check_path(each, field=str(place))
    except CallerError as error:
        raise SetupError(error.detail, field=error.field) from None
    whole = path.resolve()
    try:
        return check_model_name(name or (whole.name if whole.is_dir() else whole.stem))
    except CallerError as error:
        raise SetupError(f"{error.detail}; give one with --name", field="--name") from None


def _file(path: Path) -> tuple[dict[str, Path], str]:
    """Return a file, and those beside it that it keeps tensors in."""
    from gpfn.models.open import backend_of
    from gpfn.models.parts import model_parts

    backend_of(path)  # raises for what is no model
    parts = model_parts(path)
    return {part.name or path.name: Path(part.path) for part in parts}, path.name


def _folder(folder: Path) -> tuple[dict[str, Path], str]:
    """Return all files of a folder that are not hidden, and the model among them."""
    files = {place.relative_to(folder).as_posix(): place for place in _within(folder)}
    if _SAVED_MODEL in files:
        return files, "."
    models = [name for name in files if "/" not in name and _may_be_model(name)]
    if len(models) != 1:
        told = ", ".join(models) or f"neither {_SAVED_MODEL} nor a model's file"
        raise SetupError(f"expected one model in it, found {told}", field=str(folder))
    return files, models[0]


def _may_be_model(name: str) -> bool:
    from gpfn.models.backends import backend_by_suffix, installed_backends

    return bool(backend_by_suffix(name) or backend_by_suffix(name, installed_backends()))


def _within(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (Path(at) / name).is_file():
                yield Path(at) / name


def _placed(labels: Path, path: Path) -> str:
    """Return where the labels are in the version: in the model's folder, or beside the file."""
    if path.is_dir() and labels.resolve().is_relative_to(path.resolve()):
        return labels.resolve().relative_to(path.resolve()).as_posix()
    return labels.name


def _labels_beside(path: Path) -> Path | None:
    """Return the labels that a model.toml beside the file names."""
    from gpfn.models.description import description_beside

    found = description_beside(path)
    beside = path.parent / found.labels.name if found and found.labels else None
    return beside if beside and beside.is_file() else None
