"""Versions of a few bytes for tests of the store, and what a store holds as plain values."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gpfn.repository.documents import Manifest, StoredFile, content_digest
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.objects import Objects
from gpfn.serving.repository.store import VersionStore

__all__ = ["Held", "commit", "contents_of", "draft_of", "folder_of", "held", "open_store"]


class Held(NamedTuple):
    """What a store holds of a model: versions and trash with their files, and the tags."""

    versions: Mapping[int, Mapping[str, bytes]]
    trash: Mapping[int, Mapping[str, bytes]]
    tags: Mapping[str, int]


def open_store(place: Path) -> VersionStore:
    """Return a new look at a store, as a process has that has just begun."""
    store = VersionStore(FolderObjects(place))
    store.look()
    return store


def draft_of(name: str, contents: Mapping[str, bytes], **more: object) -> Manifest:
    """Return a version's manifest without number and time; its first file is the model."""
    files = tuple(
        StoredFile(path, len(data), hashlib.sha256(data).hexdigest())
        for path, data in sorted(contents.items())
    )
    model = next(iter(contents))
    return Manifest(name, 1, content_digest(files), files, model, "litert")._replace(**more)


def folder_of(objects: Objects, contents: Mapping[str, bytes]) -> Path:
    """Return a folder with files, to be given away."""
    folder = objects.incoming()
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def commit(
    store: VersionStore, name: str, contents: Mapping[str, bytes], **more: object
) -> tuple[Manifest, bool]:
    """Make a version of files, as an upload does."""
    folder = folder_of(store.objects, contents)
    return store.commit(draft_of(name, contents, **more), folder, who="test")


def contents_of(store: VersionStore, manifest: Manifest) -> dict[str, bytes]:
    """Return the files of a version, which have to be what its manifest says."""
    place = store.objects.place(manifest.digest, manifest.files)
    found = {file.path: (place / file.path).read_bytes() for file in manifest.files}
    for file in manifest.files:
        data = found[file.path]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    return found


def held(store: VersionStore, names: Sequence[str] = ()) -> dict[str, Held]:
    """Return all that a store holds; every document and every file is read, and none is bad."""
    found = {}
    for name in names or [shelf.name for shelf in store.shelves()]:
        shelf = store.shelf(name)
        assert not any(shelf.damaged.values())
        sides = [
            {number: contents_of(store, manifest) for number, manifest in side.items()}
            for side in (shelf.versions, shelf.trash)
        ]
        found[name] = Held(*sides, dict(shelf.all_tags))
    return found
