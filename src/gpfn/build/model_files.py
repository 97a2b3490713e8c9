"""Which models a function's files name: what it declares, what its code opens, what lies there.

A function may open a model in its own code (``open_model("weights/scorer.onnx")``): then its
declaration says nothing of it. So every text in the code that is the name of a model beside it
counts as well, and the stages of pipelines; where nothing names any, all the models in the folder.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from gpfn.build.imports import written_texts
from gpfn.build.models import catalogue_files
from gpfn.errors import GpfnError
from gpfn.hosts.funcfile import find_func_file, read_func_file
from gpfn.models.backends import (
    Backend,
    backend_by_ending,
    backend_by_folder,
    backend_by_suffix,
    installed_backends,
)
from gpfn.models.open import split_uri

__all__ = ["backends_named", "config_of"]

_MOST_ENTRIES = 10_000
_MOST_STEPS = 20
"""How deep pipelines may name pipelines; opening them refuses circles."""
_ENV = "env:"


def config_of(folder: Path) -> dict[str, str]:
    """Return the variables that func.yaml gives a function; none without such a file."""
    file = find_func_file(folder)
    return dict(read_func_file(file).config) if file else {}


def backends_named(
    file: Path, declared: Iterable[str], starts: list[str], config: Mapping[str, str]
) -> dict[Backend, str]:
    """Return the backends that a function needs, with a model for each.

    ``declared`` are its URIs, ``starts`` modules that are imported when it opens its model, and
    ``config`` the variables that ``env:NAME`` may stand for.
    """
    folder = file.parent
    there = _models_in(folder)
    named = [*_declared(declared, config), *_in_code(file, starts, there)]
    found: dict[Backend, str] = {}
    for name in named or sorted(there):
        beside = (folder / name).parent
        for model in (name, *_stages(folder / name, _MOST_STEPS)):
            row = _row_of(folder / model) or _row_of(beside / model)
            if row is not None and "://" not in model:
                found.setdefault(row, model)
    return found


def _declared(uris: Iterable[str], config: Mapping[str, str]) -> Iterator[str]:
    """Yield the files and folders that URIs name; a catalogue's model is one of its files."""
    values = [config.get(uri[len(_ENV) :], "") if uri.startswith(_ENV) else uri for uri in uris]
    try:
        yield from (wanted.name for wanted in catalogue_files(values))
    except GpfnError:
        yield from ()  # no such name: opening it says so
    for uri in values:
        if uri and not uri.startswith(("catalogue:", "secret:", _ENV)):
            yield split_uri(uri)[0]


def _in_code(file: Path, starts: list[str], there: Iterable[str]) -> Iterator[str]:
    texts = {PurePosixPath(text.lstrip("./")) for text in written_texts(file, starts)}
    texts.discard(PurePosixPath())
    for path in sorted(there):
        parts = PurePosixPath(path).parts
        if any(PurePosixPath(*parts[at:]) in texts for at in range(len(parts))):
            yield path


def _models_in(folder: Path) -> set[str]:
    """Return the models in a folder and below, as seen from it; hidden ones do not count."""
    found: set[str] = set()
    entries = 0
    for top, folders, files in os.walk(folder):
        place = Path(top).relative_to(folder)
        folders[:] = [name for name in folders if name[:1] != "." and name != "__pycache__"]
        entries += len(folders) + len(files)
        if entries > _MOST_ENTRIES:
            return found
        if place.parts and backend_by_folder(top):
            found.add(place.as_posix())
            folders.clear()  # its variables are no models
            continue
        visible = (name for name in files if name[:1] != ".")
        found.update((place / name).as_posix() for name in visible if _by_name(name))
    return found


def _by_name(name: str) -> Backend | None:
    row = backend_by_suffix(name)
    if row is None and (ending := backend_by_ending(name)) and ending.kind == "pipeline":
        return ending
    return row


def _row_of(path: Path) -> Backend | None:
    if path.is_dir():
        return backend_by_folder(str(path))
    return backend_by_suffix(path.name) or backend_by_suffix(path.name, installed_backends())


def _stages(path: Path, steps: int) -> Iterator[str]:
    """Yield the models of a pipeline's stages, as whole paths; nothing for another file."""
    from gpfn.models.pipeline.reading import SUFFIX, read_pipeline

    if not steps or not path.name.endswith(SUFFIX) or not path.is_file():
        return
    try:
        stages = read_pipeline(path).stages
    except GpfnError:
        return  # opening it says what is wrong
    uris = [stage.target for stage in stages if isinstance(stage.target, str)]
    for target in _declared(uris, {}):
        yield os.path.relpath(target, path.parent) if os.path.isabs(target) else target
        yield from _stages(Path(target), steps - 1)
