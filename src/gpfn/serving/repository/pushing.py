"""A version that comes file by file: what is here already is not sent again.

A file that was sent ahead of its version is kept as a version's files are, under the digest of
a folder that has nothing but it. So it survives a restart, any server of a store may be asked
for it, and a collector removes it when nobody makes a version of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from gpfn.errors import InvalidRequest
from gpfn.repository.documents import Manifest, StoredFile, content_digest
from gpfn.serving.repository.objects import StoreDamaged
from gpfn.serving.repository.receiving import ReceivedUpload
from gpfn.serving.repository.store import VersionStore

__all__ = [
    "WrongDigest",
    "drop_ahead",
    "fill_folder",
    "is_asked_for",
    "keep_ahead",
    "missing_files",
]

_NAME = ".ahead"
"""No file of a version is called so: its name begins with a dot."""


class WrongDigest(InvalidRequest):
    """What has come is not what was announced."""

    type = "wrong-digest"
    title = "Wrong digest"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected SHA-256 {expected}, got {found}", field="body", status=422)


def keep_ahead(store: VersionStore, received: ReceivedUpload, sha256: str) -> None:
    """Keep a file until its version comes; in a thread. Raises WrongDigest."""
    try:
        (file,) = received.files
        if file.sha256 != sha256:
            raise WrongDigest(sha256, file.sha256)
        folder = received.folder / "kept"
        folder.mkdir()
        os.rename(file.path, folder / _NAME)
        kept = StoredFile(_NAME, file.size, sha256)
        with store.objects.writing():
            store.objects.keep(content_digest([kept]), folder, [kept])
    finally:
        received.remove()


def is_asked_for(latest: Manifest, draft: Manifest) -> bool:
    """Say whether a version is what somebody wants to be one, of which not all is known yet."""
    return latest.digest == draft.digest and all(
        wanted in ("", {}, known)
        for known, wanted in (
            (latest.model, draft.model),
            (latest.labels, draft.labels),
            (latest.params, draft.params),
        )
    )


def missing_files(store: VersionStore, files: Sequence[StoredFile]) -> list[str]:
    """Return the hashes of files that are not here; in a thread."""
    return sorted({file.sha256 for file in files if not _use(store, file, lambda _: None)})


def fill_folder(store: VersionStore, files: Sequence[StoredFile], folder: Path) -> None:
    """Put files that are here into a folder, in a thread; without a copy where that can be."""
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _use(store, file, partial(_put, target)):
            raise InvalidRequest(f"{file.path} has not been sent", field="files", status=409)


def _put(target: Path, source: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(source, target)


def drop_ahead(store: VersionStore, files: Sequence[StoredFile]) -> None:
    """Remove files that came ahead of the version that they are in now."""
    for file in files:
        store.objects.drop(content_digest([file._replace(path=_NAME)]))


_Holder = tuple[str, Sequence[StoredFile], str]


def _use(store: VersionStore, file: StoredFile, use: Callable[[Path], object]) -> bool:
    """Use a file that came ahead, or that another version has; False when none does."""
    for digest, files, path in _holders(store, file):
        try:
            place = store.objects.place(digest, files)
        except StoreDamaged:  # it is not there, or is no more
            continue
        try:
            use(place / path)
        finally:
            store.objects.release(digest)
        return True
    return False


def _holders(
    store: VersionStore, file: StoredFile
) -> Iterator[tuple[str, Sequence[StoredFile], str]]:
    ahead = [file._replace(path=_NAME)]
    yield content_digest(ahead), ahead, _NAME
    for shelf in store.shelves():
        for manifest in shelf.versions.values():
            for each in manifest.files:
                if each.sha256 == file.sha256 and each.size == file.size:
                    yield manifest.digest, manifest.files, each.path
