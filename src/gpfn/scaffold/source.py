"""The model that a function is made for: opened, its signature read, its files found.

Opening it is the check: whatever `open_model` refuses is refused here, in the same line,
before anything is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.models.backends import Backend
    from gpfn.models.description import Description
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["OWN_FILES", "FoundModel", "open_source", "source_size"]

OWN_FILES = (
    "func.py",
    "func.yaml",
    "requirements.txt",
    "sample.json",
    "test_func.py",
    "README.md",
    "Dockerfile",
)
"""What a function's folder has besides the model."""

_NEEDED = ("gpfn", "numpy")
"""What no module of a function may be called, besides the names of the standard library."""

_FIELD = "--from"
_PYTHON = "python"
_SAVED_MODEL = "saved_model.pb"
_LABELS = ("{stem}_labels.txt", "{stem}.labels.txt", "{stem}-labels.txt", "labels.txt")
"""Where class names lie beside a model that no model.toml describes."""

_ELSEWHERE = {
    "function": "a function's file; name the function of arrays in it, as {uri}:predict",
    "pipeline": "a pipeline names files of its own; gpfn pipeline up and gpfn serve run it",
}
_NO_FILE = "expected a model's file or folder on this machine, not an address"


class FoundModel(NamedTuple):
    """A model as its function names it, and what is copied for it.

    ``uri`` is what the function opens, and ``place`` where it was found. ``files`` are what is
    copied, by their paths in the folder; ``packages`` what a Python model imports and nothing
    else installs. ``labels`` is the name of the file of class names, empty without one.
    """

    uri: str
    backend: Backend
    model: Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: Mapping[str, Path]
    labels: str = ""
    description: Description | None = None
    packages: tuple[str, ...] = ()
    place: str = ""


def open_source(uri: str) -> FoundModel:
    """Open the model at ``uri``: a file, a folder, or FILE.py:FUNCTION. Whoever asks closes it.

    A folder is a SavedModel, or has a ``model.toml`` that says which of its files is the model.
    Raises as `open_model` does, and SetupError for what no folder can hold.
    """
    from gpfn.models.open import backend_of, open_model, split_uri

    uri = _described_within(uri)
    backend = backend_of(uri)
    if backend.schemes:
        raise SetupError(_NO_FILE, field=_FIELD)
    if backend.kind in _ELSEWHERE:
        raise SetupError(_ELSEWHERE[backend.kind].format(uri=uri), field=_FIELD)
    place, signature, _ = split_uri(uri)
    place, _, function = place.rpartition(":") if backend.kind == _PYTHON else (place, "", "")
    path = Path(os.path.abspath(place))
    _check_copied(path, place, function)
    if function:
        _check_names(dict(_files(path, function)))
        _make_importable(str(path.parent))
    model = open_model(uri)
    try:
        _check_told(model, uri)
        files = dict(_files(path, function))
        description, labels = _described(path, function, files)
        _check_names(files)
    except BaseException:
        model.close()
        raise
    named = f"{path.name}:{function}" if function else path.name
    return FoundModel(
        uri=f"{named}?signature={signature}" if signature else named,
        backend=backend,
        model=model,
        inputs=model.inputs,
        outputs=model.outputs,
        files=files,
        labels=labels,
        description=description,
        packages=_packages(path) if function else (),
        place=f"{path}:{function}" if function else str(path),
    )


def _described_within(uri: str) -> str:
    """Return the model that the ``model.toml`` in a folder describes; any other URI as it is."""
    from gpfn.models.description import FILE_NAME, read_description
    from gpfn.models.open import split_uri

    folder = split_uri(uri)[0]
    beside = Path(folder, FILE_NAME)
    if not beside.is_file() or os.path.exists(os.path.join(folder, _SAVED_MODEL)):
        return uri
    found = read_description(beside)
    function = f":{found.function}" if found.function else ""
    return f"{os.path.join(folder, found.model.name)}{function}{uri[len(folder) :]}"


def source_size(source: FoundModel) -> int:
    """Return the bytes of all files that are copied."""
    return sum(path.stat().st_size for path in source.files.values())


def _check_copied(path: Path, place: str, function: str) -> None:
    """Refuse a model that is no file here, or whose name says something else in a function."""
    if function and not path.is_file():
        told = f"expected FILE.py:FUNCTION, whose file is copied; there is no file {place}"
        raise SetupError(told, field=_FIELD)
    odd = not path.name.isprintable() or any(mark in path.name for mark in ("?", "#", "://"))
    if odd or path.name.startswith(("env:", "catalogue:")):
        raise SetupError(f"rename it: no function can name {path.name!r:.99}", field=_FIELD)


def _check_told(model: Model, uri: str) -> None:
    if model.inputs:
        return
    line = '@declare(inputs={"x": TensorSpec("float32", (None, 4))})'
    raise SetupError(
        f"{uri} does not say what it takes; put such a line above it: {line}, with "
        "from gpfn import TensorSpec and from gpfn.models import declare",
        field=_FIELD,
    )


def _files(path: Path, function: str) -> Iterator[tuple[str, Path]]:
    """Yield what is copied of the model itself, by its path in the folder."""
    if function:
        from gpfn.build.imports import parsed_files

        for found, _ in parsed_files(path):
            yield str(found.relative_to(path.parent)), found
        return
    from gpfn.models.parts import model_parts

    for name, part in model_parts(path):
        inner = os.path.join(path.name, name) if path.is_dir() else name or path.name
        yield inner, Path(part)


def _described(path: Path, function: str, files: dict[str, Path]) -> tuple[Description | None, str]:
    """Add what the model.toml beside it names, and the labels; return both."""
    from gpfn.models.description import FILE_NAME, description_beside

    found = description_beside(f"{path}:{function}" if function else path)
    if found is not None:
        files[FILE_NAME] = path.parent / FILE_NAME
        named = [file.name for file in found.files if file is not found.model]
        for name in (*named, *found.serving.warmup):
            if not (path.parent / name).is_file():
                raise SetupError(f"model.toml names {name}, which is not beside it", field=_FIELD)
            files[name] = path.parent / name
        return found, found.labels.name if found.labels else ""
    for form in _LABELS:
        beside = path.parent / form.format(stem=path.stem)
        if beside.is_file():
            files[beside.name] = beside
            return None, beside.name
    return None, ""


def _check_names(files: Mapping[str, Path]) -> None:
    """Refuse names that a function's folder has, and modules that would be taken for others."""
    for name in files:
        if name in OWN_FILES:
            told = f"rename it: a function's folder has a {name} of its own"
            raise SetupError(told, field=_FIELD)
        top, slash, _ = name.partition(os.sep)
        module = top if slash else top.removesuffix(".py")
        if name.endswith(".py") and (module in sys.stdlib_module_names or module in _NEEDED):
            told = f"rename it: in a function's folder {top} stands before Python's {module}"
            raise SetupError(told, field=_FIELD)


def _make_importable(folder: str) -> None:
    """Let a model import what is beside it, but for names that the standard library has.

    What else lies there is not copied, so that it must not stand before that here.
    """
    if folder in sys.path:
        return
    ends = ("site-packages", "dist-packages")
    places = (at for at, place in enumerate(sys.path) if place.endswith(ends))
    sys.path.insert(next(places, len(sys.path)), folder)


def _packages(path: Path) -> tuple[str, ...]:
    """Return the packages that a Python model imports, but for what gpfn brings anyway."""
    from gpfn.build.imports import imported_names
    from gpfn.build.needs import Needs

    tops = {name.partition(".")[0]: place for name, place in imported_names(path, [])}
    for name in ("gpfn", "numpy"):
        tops.pop(name, None)
    return tuple(sorted(Needs(tops, {}, frozenset()).packages))
