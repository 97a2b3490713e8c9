"""A model repository in a server: what is served of it, and how that changes.

A model is opened when it is asked for, by all processes, and the one unused for longest is
closed when there are too many. What is open follows the store: a new version takes over
before whoever uploaded it hears that it is there, one that was deleted is asked no more.

Methods are for the loop's thread; what touches the store goes to threads of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gpfn.deadline import NEVER
from gpfn.errors import InvalidRequest, ModelRefused
from gpfn.http.loop.pool import WorkPool
from gpfn.repository.documents import Manifest
from gpfn.repository.names import version_number
from gpfn.serving.library import Asleep
from gpfn.serving.repository.awake import Awake
from gpfn.serving.repository.intake import Arrived
from gpfn.serving.repository.pushing import drop_ahead, fill_folder, is_asked_for
from gpfn.serving.repository.receiving import ReceivedUpload
from gpfn.serving.repository.settings import RepositorySettings
from gpfn.serving.repository.shelf import Shelf
from gpfn.serving.repository.turns import Looks, Turns
from gpfn.serving.repository.uploads import StoredVersion, Uploads
from gpfn.tfaas.parameters import TfaasParameters, parameters_of

if TYPE_CHECKING:
    from gpfn.serving.keeper import Keeper
    from gpfn.serving.library import Library
    from gpfn.serving.repository.settings import Audit
    from gpfn.serving.repository.store import VersionStore
    from gpfn.serving.wanted import Wanted

__all__ = ["Repository"]

_T = TypeVar("_T")
_THREADS, _WAITING = 4, 256


class Repository:
    """The models of a store, in one process of a server."""

    def __init__(
        self,
        settings: RepositorySettings,
        wanted: Wanted,
        library: Library,
        keeper: Keeper,
        *,
        audit: Audit,
    ) -> None:
        self.settings = settings
        self._wanted = wanted
        self._library = library
        self._keeper = keeper
        self._audit = audit
        self._pool = WorkPool(_THREADS, _WAITING, patient=False)
        self._turn = Turns().of
        library.asleep = self._latest
        library.default = self.default

    def begin(self, store: VersionStore) -> None:
        """Begin with a store: in the process that serves, for some cannot be forked."""
        self.store = store
        self._looks = Looks(self._wanted, partial(self._run, store.look))
        self.uploads = Uploads(self.settings, store.objects.incoming)
        self._awake = Awake(store, self._wanted, self._keeper, self.settings.max_open, self._run)

    # questions

    async def shelves(self) -> list[Shelf]:
        """Return all models, as they are now."""
        await self._looks.look()
        return self.store.shelves()

    async def shelf(self, name: str) -> Shelf:
        """Return a model, as it is now; an empty one when there is none."""
        await self._run(self.store.look, name)
        return self.store.shelf(name)

    def default(self) -> str:
        """Return the model that is meant where none is named, "" for none. May raise Asleep."""
        if self.settings.default:
            return self.settings.default
        if self._looks.old:
            raise Asleep("")
        names = self._library.names()
        return names[0] if len(names) == 1 else ""

    def params(self, name: str, version: str) -> TfaasParameters:
        """Return the parameters that a version was uploaded with.

        Raises Asleep when this process has not looked since another one has made it.
        """
        manifest = self.store.shelf(name).versions.get(version_number(version) or 0)
        if manifest is None:
            raise Asleep(name, version)
        return parameters_of(dict(manifest.params))

    def lacks(self, name: str) -> bool:
        """Say whether the server itself has a model of that name, which no upload may have."""
        return name in self._wanted.sources() and name not in self._awake.sources()

    # changes

    async def load(self, name: str) -> None:
        """Have the latest version open, also when that has failed; raises as `wake` does."""
        if self._library.failure(name) is not None:
            await self.unload(name)
        await self.wake(name)

    async def unload(self, name: str) -> None:
        """Have a model closed until somebody asks for it again. Raises UnknownModel."""
        async with self._turn(name):
            (await self.shelf(name)).find()
            await self._awake.close(name)

    async def wake(self, name: str, reference: str = "") -> None:
        """Have a version opened by all processes, the latest for no reference.

        For no name, look what there is. Raises UnknownModel, and NotReady with the reason when it
        cannot be opened.
        """
        if not name:
            await self._looks.look()
            return
        async with self._turn(name):
            if self._is_awake(name, reference):  # who came before has woken it
                return
            shelf = await self.shelf(name)
            manifest = shelf.find(reference)
            await self._awake.want(name, manifest)
        self._library.check(manifest.name, str(manifest.version))

    def _is_awake(self, name: str, reference: str) -> bool:
        """Say whether a version answers, and is known to this process' store.

        Raises NotReady when it cannot be opened.
        """
        try:
            served = self._library.find(name, reference)
        except Asleep:
            return False
        return version_number(served.version) in self.store.shelf(name).versions

    async def take_in(
        self,
        received: ReceivedUpload,
        unpack: Callable[[ReceivedUpload], Arrived],
        *,
        who: str,
        tag: str = "",
    ) -> StoredVersion:
        """Make a version of an upload and have it served; what is left of the upload is removed.

        Raises what its examination finds wrong.
        """
        try:
            arrived = await self._run(unpack, received)
            self._check_name(arrived.name)
            manifest = await self.uploads.examine(arrived)
            return await self._commit(manifest, arrived.folder, who=who, tag=tag)
        finally:
            await self._run(received.remove)

    async def take_kept(self, draft: Manifest, *, who: str, tag: str = "") -> StoredVersion:
        """Make a version of files that were sent ahead, or that other versions have.

        ``draft`` says which; what they are is found out here. Raises as :meth:`take_in` does.
        """
        self._check_name(draft.name)
        shelf = await self.shelf(draft.name)
        if shelf.latest is not None and is_asked_for(shelf.latest, draft):
            return await self._commit(shelf.latest, None, who=who, tag=tag)
        folder = await self._run(self.store.objects.incoming)
        try:
            await self._run(fill_folder, self.store, draft.files, folder)
            arrived = Arrived(
                draft.name, folder, draft.files, draft.model, draft.labels, draft.source
            )
            manifest = await self.uploads.examine(arrived)
            if draft.params:
                manifest = manifest._replace(params=draft.params)
            stored = await self._commit(manifest, folder, who=who, tag=tag)
            await self._run(drop_ahead, self.store, draft.files)
            return stored
        finally:
            await self._run(partial(shutil.rmtree, folder, ignore_errors=True))

    async def tag(self, name: str, tag: str, version: int | None, *, who: str) -> Shelf:
        """Let a tag lead to a version, or to none. Raises UnknownModel, InvalidRequest."""
        async with self._turn(name):
            shelf = await self._run(partial(self.store.tag, who=who), name, tag, version)
            self._audit.note("tag", name, who, tag=tag, version=version)
            await self._changed(shelf)
        return shelf

    async def delete(self, name: str, version: int | None = None, *, who: str) -> list[int]:
        """Move a version to the trash, or all of them; returns which. Raises UnknownModel."""
        async with self._turn(name):
            deleted = await self._run(self.store.delete, name, version)
            self._audit.note("delete", name, who, versions=deleted)
            await self._changed(self.store.shelf(name))
        return deleted

    async def restore(self, name: str, version: int, *, who: str) -> Manifest:
        """Take a version out of the trash again. Raises UnknownModel."""
        async with self._turn(name):
            manifest = await self._run(self.store.restore, name, version)
            self._audit.note("restore", name, who, version=version)
            await self._changed(self.store.shelf(name))
        return manifest

    async def follow(self) -> None:
        """Look at the store, and have what is open as it says; the other processes hear of it."""
        before = self._latest()
        self._looks.grow_old()
        await self._looks.look()
        if self._latest() != before:
            self._wanted.ask_for_a_look()
        for name in self._awake.sources():
            async with self._turn(name):
                await self._awake.follow(self.store.shelf(name))

    async def catch_up(self) -> None:
        """Look at the store if others have changed it, and let what is known grow old."""
        if self._looks.behind:
            await self._looks.look()
        self._looks.grow_old()

    async def in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        """Return what comes of work on the store."""
        return await self._run(work, self.store, *args)

    # parts

    def _latest(self) -> list[tuple[str, str]]:
        return [(shelf.name, str(max(shelf.versions))) for shelf in self.store.shelves()]

    async def _commit(
        self, manifest: Manifest, folder: Path | None, *, who: str, tag: str
    ) -> StoredVersion:
        async with self._turn(manifest.name):
            commit = partial(self.store.commit, manifest, folder, who=who)
            manifest, existed = await self._run(commit)
            if tag:
                version = manifest.version
                await self._run(partial(self.store.tag, who=who), manifest.name, tag, version)
            self._audit.note(
                "upload", manifest.name, who, version=manifest.version, digest=manifest.digest,
                source=manifest.source, existed=existed, tag=tag,
            )  # fmt: skip
            self._wanted.ask_for_a_look()
            await self._awake.want(manifest.name, manifest)
        failure = self._library.failure(manifest.name, str(manifest.version))
        if failure is not None and not existed:  # it passed all gates, and cannot be opened here
            await self.delete(manifest.name, manifest.version, who=who)
            raise ModelRefused(str(failure), field="model") from failure
        self._library.check(manifest.name, str(manifest.version))
        return StoredVersion(manifest, existed, self.store.shelf(manifest.name).tags)

    async def _changed(self, shelf: Shelf) -> None:
        """Have a change of a model seen everywhere."""
        self._wanted.ask_for_a_look()
        await self._awake.follow(shelf)

    def _check_name(self, name: str) -> None:
        if self.lacks(name):
            told = f"the server itself has a model called {name}"
            raise InvalidRequest(told, field="name", status=409)

    async def _run(self, work: Callable[..., _T], *args: object) -> _T:
        found: _T = await self._pool.run(lambda: work(*args), NEVER)
        return found
