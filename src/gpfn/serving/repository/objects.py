"""Where a repository lies, as the store sees it: small documents, and the files of versions.

The keys are the same in a folder and in an object store:

    repository.json                what format the rest has
    models/NAME/versions/N.json    the manifest of version N
    models/NAME/trash/N.json       the manifest of one that was deleted
    models/NAME/tags/SEQ.json      a change of tags
    files/DIGEST/PATH              the files of a version

A document is made once and never changed. So one operation is enough to claim a number for
good, by whatever number of servers: :meth:`Objects.create`, which only one of them can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from gpfn.errors import GpfnError
from gpfn.repository.documents import StoredFile

__all__ = ["Objects", "StoreDamaged", "StoreFull", "StoreUnavailable"]


class StoreUnavailable(GpfnError):
    """The place where a repository lies cannot be reached, or is not to be written; try later."""

    status = 503
    type = "store-unavailable"
    title = "Store unavailable"


class StoreFull(StoreUnavailable):
    """There is no room for what is to be stored."""

    status = 507
    type = "store-full"
    title = "Store full"


class StoreDamaged(GpfnError):
    """What lies in a repository is not what was put there."""

    type = "store-damaged"
    title = "Store damaged"


class Objects(Protocol):
    """A place for a repository. Methods block, and may be called in any thread.

    All raise StoreUnavailable when the place cannot be reached, is full or cannot be written.
    """

    def read(self, key: str) -> bytes | None:
        """Return a document, None when there is none."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a document that is not there yet; False when it is.

        It is there as a whole or not at all, and is there to stay when this returns.
        """

    def delete(self, key: str) -> None:
        """Remove a document; one that is not there is removed already."""

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all documents below a prefix that ends with a slash, sorted."""

    def keep(self, digest: str, folder: Path, files: Sequence[StoredFile]) -> None:
        """Take the files of a version over from a folder, which is given away.

        They are there to stay when this returns. Files that are there already stay.
        """

    def place(self, digest: str, files: Sequence[StoredFile]) -> Path:
        """Return a folder of this machine that has the files of a version, to be read only.

        It stays until :meth:`release` was called as often. Raises StoreDamaged when they are not
        what they were.
        """

    def release(self, digest: str) -> None:
        """Say that a folder of :meth:`place` is not used any more, so that it may go."""

    def drop(self, digest: str) -> None:
        """Remove the files of a version."""

    def digests(self) -> list[tuple[str, float]]:
        """Return the digests of the files that are kept, and when each was kept last (epoch)."""

    def writing(self) -> AbstractContextManager[object]:
        """Keep other writers out for a while, where that can be done.

        Numbers are claimed rightly without it. It keeps files from being collected while a
        version of them is being made.
        """

    def incoming(self) -> Path:
        """Return a new, empty folder of this machine for files that are to be kept."""
