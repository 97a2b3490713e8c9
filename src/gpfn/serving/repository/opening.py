"""A repository from its settings: where it lies, and the record of its changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gpfn.errors import SetupError
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.objects import Objects, StoreUnavailable
from gpfn.serving.repository.repository import Repository
from gpfn.serving.repository.settings import Audit, RepositorySettings
from gpfn.serving.repository.store import VersionStore

if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.serving.keeper import Keeper
    from gpfn.serving.library import Library
    from gpfn.serving.wanted import Wanted

__all__ = ["make_repository", "open_store"]


def open_store(place: str, cache: str = "") -> VersionStore:
    """Return the store at a folder or the URL of an object store, and look at it.

    Raises SetupError for a place that cannot be one, StoreUnavailable.
    """
    store = VersionStore(_objects(place, cache))
    store.look()
    return store


def _objects(place: str, cache: str) -> Objects:
    if place.startswith("file:///"):
        place = unquote(place.removeprefix("file://"))
    if "://" in place:
        from gpfn.serving.repository.object_store import open_objects

        return open_objects(place, Path(cache) if cache else None)
    try:
        objects = FolderObjects(Path(place))
    except StoreUnavailable as error:
        raise SetupError(f"cannot be used: {error.detail}", field="--repository") from error
    objects.sweep()
    return objects


def make_repository(
    settings: RepositorySettings, wanted: Wanted, library: Library, keeper: Keeper, log: Log
) -> Repository:
    """Return the repository of a server, whose store is still to be opened."""
    path = Path(settings.audit) if settings.audit else None
    if path is None and "://" not in settings.place:
        path = Path(settings.place) / "audit.jsonl"
    return Repository(settings, wanted, library, keeper, audit=Audit(path, log))
