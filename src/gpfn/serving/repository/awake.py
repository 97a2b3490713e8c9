"""The models of a repository that are open, in all processes of a server: no more than may be.

What is open is in the list of what is wanted, so every process opens the same. A model that is
open is awake: its latest version answers, and those that somebody has asked for by number or
tag. When one more is woken than may be open, the one unused for longest goes to sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from gpfn.models.description import Serving
from gpfn.models.labels import read_labels
from gpfn.repository.documents import WHOLE_FOLDER, Manifest
from gpfn.repository.names import LATEST
from gpfn.serving.repository.shelf import Shelf
from gpfn.serving.wanted import STORED, ModelSource

if TYPE_CHECKING:
    from gpfn.serving.keeper import Keeper
    from gpfn.serving.repository.store import VersionStore
    from gpfn.serving.wanted import Wanted

__all__ = ["Awake"]

_MOST_OLD = 8
"""Versions of one model that are open beside its latest one, because somebody named them."""
_FROZEN = "tensorflow-frozen"
"""The kind of a model that does not say itself what it takes."""


_Choose = Callable[[], Awaitable[tuple[list[ModelSource], list[str]]]]
"""Returns what is to be open, and among which models that is all."""


class Awake:
    """Keeps what is open as the store has it. Methods are for the loop's thread.

    Changes of one model have to come one after the other, within a process; between processes
    the store decides, which is looked at before each change.
    """

    def __init__(
        self,
        store: VersionStore,
        wanted: Wanted,
        keeper: Keeper,
        most: int,
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        """``run`` has work done in a thread; ``most`` models are open at once."""
        self._store = store
        self._wanted = wanted
        self._keeper = keeper
        self._most = most
        self._run = run
        self._choosing = asyncio.Lock()
        self._placed: set[str] = set()  # digests whose files this process has asked for

    def sources(self) -> dict[str, Mapping[str, ModelSource]]:
        """Return what is open, or being opened, by model and version."""
        return {
            name: sources
            for name, sources in self._wanted.sources().items()
            if any(source.stored for source in sources.values())
        }

    async def want(self, name: str, manifest: Manifest) -> None:
        """Have a version open in all processes; returns when it is, or has failed.

        Raises UnknownModel when it was deleted meanwhile.
        """
        await self._run(self._source, self._store.shelf(name), manifest)  # fetching takes time

        async def choose() -> tuple[list[ModelSource], list[str]]:
            shelf = await self._fresh(name)
            source = await self._run(self._source, shelf, shelf.find(str(manifest.version)))
            awake = self.sources()
            before = awake.get(name, {}).values()
            kept = [s for s in before if s.named_only and int(s.version) in shelf.versions]
            if source.named_only:  # the latest goes on as it is
                kept += [s for s in before if not s.named_only]
            kept = [s for s in kept if s.version != source.version]
            if source.named_only:
                kept = self._most_used(kept)
            return [*kept, source], [name, *self._least_used(awake, name)]

        await self._replace(choose)

    async def follow(self, shelf: Shelf) -> None:
        """Have what is open of a model as the store has it now; ``shelf`` may be of before."""
        before = self.sources().get(shelf.name)
        if not before or await self._followed(before, shelf) == before:
            return

        async def choose() -> tuple[list[ModelSource], list[str]]:
            fresh = await self._fresh(shelf.name)
            before = self.sources().get(shelf.name, {})
            return [*(await self._followed(before, fresh)).values()], [shelf.name]

        await self._replace(choose)

    async def _followed(
        self, before: Mapping[str, ModelSource], shelf: Shelf
    ) -> Mapping[str, ModelSource]:
        """Return what is to be open of a model where so much was."""
        serving = _serving(shelf)
        kept = {
            version: source._replace(serving=serving)
            for version, source in before.items()
            if source.named_only and int(version) in shelf.versions
        }
        if shelf.latest is not None and not all(s.named_only for s in before.values()):
            latest = await self._run(self._source, shelf, shelf.latest)
            kept[latest.version] = latest
        return kept

    async def _fresh(self, name: str) -> Shelf:
        await self._run(self._store.look, name)
        return self._store.shelf(name)

    async def close(self, name: str) -> None:
        """Have a model closed in all processes, if it is open."""

        async def choose() -> tuple[list[ModelSource], list[str]]:
            return [], [name]

        if name in self.sources():
            await self._replace(choose)

    async def _replace(self, choose: _Choose) -> None:
        """Want what is chosen, and wait for it.

        Another process may have changed the store, and told all what it wants for that, after
        this one has looked: then it looks again. So nothing old is ever wanted after a change.
        """
        generation = -1
        while generation < 0:
            async with self._choosing:
                at = self._wanted.generation
                sources, among = await choose()
                generation = self._wanted.replace(sources, among, at=at)
        self._keeper.look_at_wanted()
        await self._keeper.until_done(generation)
        used = {s.stamp for versions in self.sources().values() for s in versions.values()}
        for digest in [one for one in self._placed if _stamp(one) not in used]:
            self._placed.discard(digest)
            await self._run(self._store.objects.release, digest)

    def _least_used(self, awake: Mapping[str, Mapping[str, ModelSource]], name: str) -> list[str]:
        """Return the models to be closed so that one more may be opened."""
        others = [other for other in awake if other != name]
        used = {other: max(map(self._keeper.last_used, awake[other].values())) for other in others}
        others.sort(key=used.__getitem__)
        return others[: max(0, len(others) + 1 - self._most)]

    def _most_used(self, sources: list[ModelSource]) -> list[ModelSource]:
        """Return what of a model stays open so that one more old version of it may be opened."""
        old = sorted((s for s in sources if s.named_only), key=self._keeper.last_used)
        gone = old[: max(0, len(old) + 1 - _MOST_OLD)]
        return [source for source in sources if source not in gone]

    def _source(self, shelf: Shelf, manifest: Manifest) -> ModelSource:
        """Return what a version is opened from; in a thread."""
        objects = self._store.objects
        place = objects.place(manifest.digest, manifest.files)
        if manifest.digest in self._placed:
            objects.release(manifest.digest)  # once is enough
        self._placed.add(manifest.digest)
        model = place if manifest.model == WHOLE_FOLDER else place / manifest.model
        frozen = manifest.kind == _FROZEN
        latest = shelf.latest
        return ModelSource(
            manifest.name,
            str(manifest.version),
            str(model),
            _stamp(manifest.digest),
            read_labels(place / manifest.labels) if manifest.labels else (),
            _serving(shelf),
            tuple(spec.name for spec in manifest.inputs) if frozen else (),
            tuple(spec.name for spec in manifest.outputs) if frozen else (),
            named_only=latest is None or latest.version != manifest.version,
        )


def _stamp(digest: str) -> str:
    return f"{STORED}{digest[:24]}"


def _serving(shelf: Shelf) -> Serving:
    tags = {**shelf.tags, LATEST: max(shelf.versions, default=0)}
    return Serving(tags=tuple((tag, str(number)) for tag, number in tags.items() if number))
