"""Which file of a version is its model, whether that is whole, and what is said of it.

A model is what a backend of files opens, told by its suffix, a SavedModel (the folder itself,
or one in it called ``NAME.savedmodel``), or a function of a Python file. Of several, the one
called ``model`` counts, or the one that ``model.toml`` names, which may have any name. A
``model.toml`` lies beside the model, or in the folder of all versions, for those that have
none. Its ``model`` is the name of the file in the version's folder, ``saved_model.pb`` for a
SavedModel there, or the name of that folder.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import ModelUnreadable
from gpfn.models.backends import BACKENDS, installed_backends
from gpfn.models.description import FILE_NAME, Description, read_description
from gpfn.models.files import check_file
from gpfn.models.labels import read_labels
from gpfn.models.open import backend_of, signatures_of, split_uri
from gpfn.models.parts import model_digest, model_parts
from gpfn.serving.folder_view import Entry

__all__ = [
    "Beside",
    "Candidate",
    "FoundVersion",
    "NoModel",
    "examine",
    "model_suffixes",
    "read_beside",
    "why_no_model",
]

_SAVED = ("saved_model.pb", "saved_model.pbtxt")
_MOST_TOML = 1 << 20


class NoModel(ModelUnreadable):
    """There is nothing that could be a model; with any other reason something may become one."""


class Beside(NamedTuple):
    """What lies beside a version: a folder with a ``model.toml``, and what that says.

    ``error`` is what is wrong with it. An empty ``folder`` is none.
    """

    folder: str = ""
    files: Mapping[str, Entry] = {}
    description: Description | None = None
    error: str = ""

    def counted(self) -> dict[str, Entry]:
        """Return the files that count for a model described here, by name."""
        if not self.folder:
            return {}
        names = [FILE_NAME]
        if self.description is not None:
            names += [file.name for file in self.description.files]
            names += self.description.serving.warmup
        return {name: self.files[name] for name in names if name in self.files}


class Candidate(NamedTuple):
    """What may be a version of a model: its ``files`` in the folder ``home``, by their names.

    ``shown`` is its path as seen from the models folder. ``changed`` is when anything about
    one of its files did last (ns, by the clock of the file system).
    """

    name: str
    version: str
    shown: str
    home: str
    files: dict[str, Entry]
    beside: Beside
    changed: int

    def stamp(self) -> tuple[object, ...]:
        """Return what changes with every file that counts."""
        outside = self.beside.counted().items()
        apart = {f"../{name}": each for name, each in outside if each not in self.files.values()}
        marks = ((name, *each.mark) for name, each in sorted((self.files | apart).items()))
        return (*marks, self.beside.error) if self.beside.error else tuple(marks)


class FoundVersion(NamedTuple):
    """A version of a model that can be opened.

    ``uri`` is for `gpfn.models.open_model`; ``stamp`` changes with any of its files.
    ``labels`` are the names of classes, ``warmup`` the paths of samples.
    """

    name: str
    version: str
    uri: str
    stamp: tuple[object, ...]
    description: Description | None = None
    labels: tuple[str, ...] = ()
    warmup: tuple[str, ...] = ()


def examine(candidate: Candidate) -> FoundVersion:
    """Return a candidate as a version, once its files have been looked into.

    Raises SetupError, whose text is the reason to pass it over; `NoModel` when nothing is there.
    """
    try:
        described, folder, names = _description(candidate)
        model = _model(candidate.files, described)
        path = os.path.join(candidate.home, model) if model else candidate.home
        function = described.function if described else ""
        _check_whole(path, function)
        found = FoundVersion(
            candidate.name,
            candidate.version,
            f"{path}:{function}" if function else path,
            candidate.stamp(),
        )
        if described is None:
            return found
        _check_files(described, candidate.home, folder)
        labels = described.labels and _beside(described.labels.name, folder, names)
        return found._replace(
            description=described,
            labels=described.classes or (read_labels(labels) if labels else ()),
            warmup=tuple(_beside(each, folder, names) for each in described.serving.warmup),
        )
    except OSError as error:  # it has vanished meanwhile, or cannot be read
        raise ModelUnreadable(f"{error.strerror}: {error.filename}") from None


def read_beside(entry: Entry) -> Description:
    """Return what a ``model.toml`` says. Raises SetupError."""
    if entry.mark[1] > _MOST_TOML:
        raise ModelUnreadable(f"{FILE_NAME} has more than {_MOST_TOML:,} bytes")
    return read_description(Path(entry.path))


@cache
def model_suffixes() -> tuple[str, ...]:
    """Return the suffixes of model files, in the order of the backends."""
    rows = (*BACKENDS, *installed_backends())
    return tuple(dict.fromkeys(suffix for row in rows for suffix in row.suffixes))


def why_no_model(files: Iterable[str]) -> str:
    """Return why none of ``files`` is taken for a model."""
    names = list(files)
    if any(name.endswith(".pipeline.toml") for name in names):
        return "pipelines are not served"
    python = [name for name in names if name.endswith(".py") and "/" not in name]
    if python:
        named = "func.py" if "func.py" in python else python[0]
        return f'which function of arrays? say model = "{named}:NAME" in {FILE_NAME}'
    return f"no model: expected a SavedModel or a file *{' *'.join(model_suffixes())}"


def _description(
    candidate: Candidate,
) -> tuple[Description | None, str, Mapping[str, Entry]]:
    """Return what is said of it, in which folder, and the files of that folder."""
    home, files, beside = candidate.home, candidate.files, candidate.beside
    if FILE_NAME in files:
        return read_beside(files[FILE_NAME]), home, files
    if beside.error:
        raise ModelUnreadable(beside.error)
    described = beside.description
    if described is not None and described.model.name == os.path.basename(home):
        saved = next((name for name in _SAVED if name in files), _SAVED[0])
        described = described._replace(model=described.model._replace(name=saved))
    elif described is not None and described.model.name.isdigit():  # another version's
        described = None
    return described, beside.folder, beside.files


def _model(files: Mapping[str, Entry], described: Description | None) -> str:
    """Return the name of the model in its folder; nothing when it is the folder itself."""
    if described is not None:
        return _named_model(files, described.model.name)
    found = _models_in(files)
    usual = [name for name in found if os.path.splitext(name)[0] == "model"]
    if "" in found:
        return ""
    if len(found) > 1 and len(usual) != 1:
        raise ModelUnreadable(f"several models: {', '.join(found)}; say which in {FILE_NAME}")
    if not found:
        raise NoModel(why_no_model(files))
    return (usual or found)[0]


def _models_in(files: Mapping[str, Entry]) -> list[str]:
    """Return what looks like a model in a folder; nothing for the folder itself."""
    itself = [""] if any(name in files for name in _SAVED) else []
    folders = {name.partition("/")[0] for name in files if name.endswith(_SAVED)}
    inside = [name for name in sorted(folders) if name.endswith(".savedmodel")]
    suffixes = model_suffixes()
    single = [n for n in files if "/" not in n and os.path.splitext(n)[1].lower() in suffixes]
    return [*itself, *inside, *single]


def _named_model(files: Mapping[str, Entry], name: str) -> str:
    if name in _SAVED and name in files:
        return ""
    if name in files or any(f"{name}/{each}" in files for each in _SAVED):
        return name
    kind = ModelUnreadable if _models_in(files) else NoModel
    raise kind(f"{FILE_NAME} names {name}, which is not there")


def _check_whole(path: str, function: str) -> None:
    """Raise ModelUnreadable unless a model's files are there, of its kind and not cut off.

    That is told without the backend's library and as fast for a large model as for a small
    one; what else may be wrong with it comes out when it is opened.
    """
    if split_uri(path)[0] != path:
        raise ModelUnreadable("a name with ?signature= or #sha256= in it")
    if path.endswith(".py"):
        if not function:
            raise ModelUnreadable(why_no_model([os.path.basename(path)]))
        return
    if backend_of(path).parts:
        model_parts(path)
    elif os.path.isdir(path):
        signatures_of(path)


def _check_files(described: Description, home: str, folder: str) -> None:
    """Compare the sizes and hashes that a description states."""
    for file in described.files:
        if not (file.sha256 or file.size):
            continue
        mine = file.name == described.model.name
        path = os.path.join(home if mine else folder, file.name)
        if not os.path.exists(path):
            raise ModelUnreadable(f"{FILE_NAME} names {file.name}, which is not there")
        if os.path.isdir(path):
            found = model_digest(path)
            wrong = f"has sha256 {found}" if file.sha256 and found != file.sha256 else ""
        else:
            wrong = check_file(Path(path), sha256=file.sha256, size=file.size or None)
        if wrong:
            raise ModelUnreadable(f"{file.name} {wrong}")


def _beside(name: str, folder: str, files: Mapping[str, Entry]) -> str:
    if name not in files:
        raise ModelUnreadable(f"{FILE_NAME} names {name}, which is not beside it")
    return os.path.join(folder, name)
