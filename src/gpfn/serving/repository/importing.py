"""Models that lie elsewhere, made versions of a repository: TFaaS's folder, TF Serving's layout.

    FOLDER/NAME/…             a model and its params.json and labels, as TFaaS keeps it
    FOLDER/NAME/VERSION/…     versions, as TF Serving and Triton keep them; the lowest first

Files are copied, links are followed, and nothing there is changed. What cannot be a version is
told, and keeps no other one from becoming one. Done twice, it does nothing the second time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import GpfnError, SetupError
from gpfn.repository.documents import StoredFile
from gpfn.repository.names import check_model_name, check_path
from gpfn.serving.repository.intake import Arrived, examine_upload, stored_file
from gpfn.serving.repository.settings import VetBounds
from gpfn.serving.repository.store import VersionStore
from gpfn.serving.wanted import version_order

__all__ = ["Imported", "import_folder"]


class Imported(NamedTuple):
    """What became of a folder: the version that it is, or why it is none; ``place`` is its path."""

    place: str
    name: str
    version: int = 0
    existed: bool = False
    error: str = ""


def import_folder(
    store: VersionStore,
    folder: Path,
    *,
    who: str,
    vet: VetBounds = VetBounds(),  # noqa: B008
) -> Iterator[Imported]:
    """Make versions of what is in a folder; gives each when it is done.

    Raises SetupError when there is no such folder, StoreUnavailable.
    """
    if not folder.is_dir():
        raise SetupError(f"no such folder: {folder}", field="folder")
    for name, place in _found(folder):
        shown = str(place.relative_to(folder))
        try:
            manifest, existed = _import(store, name, place, who, vet)
        except GpfnError as error:
            yield Imported(shown, name, error=str(error))
        else:
            yield Imported(shown, name, manifest, existed)


def _found(folder: Path) -> Iterator[tuple[str, Path]]:
    for model in sorted(folder.iterdir()):
        if not model.is_dir() or model.name.startswith("."):
            continue
        versions = [each for each in model.iterdir() if each.is_dir() and each.name.isdecimal()]
        versions.sort(key=lambda each: version_order(each.name))
        yield from ((model.name, version) for version in versions or [model])


def _import(
    store: VersionStore, name: str, place: Path, who: str, vet: VetBounds
) -> tuple[int, bool]:
    check_model_name(name)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    kept = store.objects.incoming()
    try:
        stored = tuple(_copied(path, place, kept) for path in files)
        manifest = examine_upload(Arrived(name, kept, stored, source="import"), vet)
        store.look(name)
        for known in store.shelf(name).versions.values():
            if known.digest == manifest.digest:
                return known.version, True
        found, existed = store.commit(manifest, kept, who=who)
    finally:
        shutil.rmtree(kept, ignore_errors=True)
    return found.version, existed


def _copied(path: Path, place: Path, kept: Path) -> StoredFile:
    name = check_path(path.relative_to(place).as_posix(), field="path")
    target = kept / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return stored_file(target, name)
