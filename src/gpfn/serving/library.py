"""The models that a process serves: it opens and closes versions until all is as wanted.

A new version is opened, warmed and timed in a thread, while the old one goes on answering.
It takes over between two requests; then the old one computes what it has, and is closed. A
version that cannot be opened replaces nothing, and is listed with the reason.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from gpfn.call.opening import NotReady
from gpfn.serving.index import IndexEntry, UnknownModel
from gpfn.serving.version import Loaded, ServedVersion, load
from gpfn.serving.wanted import Source, Wanted, version_order

if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.models.model import Model
    from gpfn.serving.settings import ServerSettings
    from gpfn.serving.statistics import Slots

__all__ = ["Library"]

_LOOK_SECONDS = 0.05
"""How often a process looks whether something else is wanted."""


class Library:
    """All versions that are open in this process. Methods are for the loop's thread."""

    def __init__(
        self,
        wanted: Wanted,
        slots: Slots,
        settings: ServerSettings,
        open_it: Callable[[Source], Model],
        log: Log,
    ) -> None:
        """``open_it`` opens the model of a source, in a thread."""
        self._wanted = wanted
        self._slots = slots
        slots.in_use = self.in_use
        self._settings = settings
        self._open_it = open_it
        self._log = log
        self._sources: Mapping[str, Mapping[str, Source]] = {}
        self._open: dict[str, dict[str, ServedVersion]] = {}
        self._failed: dict[tuple[str, str, str], BaseException] = {}
        self._opening: Source | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._asked: set[str] | None = None  # the models that were wanted at the start
        self._seen = 0
        self._stopping = False
        self.on_ready: Callable[[], object] = lambda: None
        """Called once, when everything wanted at the start is open or has failed."""
        self.changes = 0
        """Grows whenever a version comes or goes."""

    # what is asked

    def find(self, name: str, version: str = "") -> ServedVersion:
        """Return a version, the highest when none is named.

        Raises UnknownModel, or NotReady while it is being opened or after that has failed.
        """
        versions = self._open.get(name)
        if versions:
            found = versions.get(version or next(iter(versions)))  # the highest stands first
            if found is not None:
                return found
        raise self._missing(name, version)

    def names(self) -> list[str]:
        """Return the names of all models that are to be served, loaded or not."""
        return [*self._sources]

    def versions(self, name: str) -> list[str]:
        """Return the open versions of a model, the lowest first."""
        return [*reversed(self._open.get(name, {}))]

    def all_open(self) -> Iterable[ServedVersion]:
        """Return every open version, by name, the lowest first."""
        return [
            found for name in sorted(self._open) for found in reversed(self._open[name].values())
        ]

    def in_use(self) -> list[tuple[str, str, int]]:
        """Return model, version and slot of what is counted."""
        return [(s.name, s.version, s.slot) for v in self._sources.values() for s in v.values()]

    @property
    def first(self) -> str:
        """The model that is meant where none is named; nothing while there is none."""
        return next(iter(self._sources), "")

    @property
    def ready(self) -> bool:
        """Whether a model answers, and every one that was wanted at the start and still is."""
        wanted = [name for name in self._asked or () if self._is_wanted(name)]
        return bool(self._open) and all(name in self._open for name in wanted)

    def _is_wanted(self, name: str) -> bool:
        return any(source.loaded for source in self._sources.get(name, {}).values())

    def index(self) -> list[IndexEntry]:
        """Return every version that is known, with its state and the reason for it."""
        found = []
        for name in sorted(self._sources):
            for version, source in sorted(self._sources[name].items(), key=_by_version):
                found.append(IndexEntry(name, version, *self._state(source)))
        return found

    def failure(self, name: str) -> BaseException | None:
        """Return why a wanted version of a model could not be opened, if one could not."""
        wanted = self._sources.get(name, {}).values()
        failures = [self._failed[source.key] for source in wanted if source.key in self._failed]
        return failures[0] if failures else None

    def _state(self, source: Source) -> tuple[str, str]:
        found = self._open.get(source.name, {}).get(source.version)
        if source.key in self._failed:
            return "UNAVAILABLE", str(self._failed[source.key])
        if found is not None and found.source.stamp == source.stamp:
            return "READY", ""
        return ("LOADING", "") if source.loaded else ("UNAVAILABLE", "unloaded")

    def _missing(self, name: str, version: str) -> Exception:
        sources = self._sources.get(name, {})
        known = [source for source in sources.values() if version in ("", source.version)]
        if not self._seen or not name:
            return NotReady("the model is still being loaded")
        if not known:
            return UnknownModel(name, version)
        states = [self._state(source) for source in known]
        for state, reason in states:
            if state == "LOADING":
                return NotReady(f"the model is still being loaded: {name}")
            if reason and reason != "unloaded":
                return NotReady(f"the model {name} cannot be opened: {reason}")
        return UnknownModel(name, version)

    # what is done

    def start(self) -> None:
        """Begin to do what is wanted, and go on with that; on the loop."""
        self._loop = asyncio.get_running_loop()
        self._look()

    async def stop(self) -> None:
        """Close everything; nothing is asked any more."""
        self._stopping = True
        for versions in [*self._open.values()]:
            for found in versions.values():
                await self._loop.run_in_executor(None, found.close, self._log)
        self._open.clear()

    async def settled(self, generation: int, alive: Iterable[int], seconds: float) -> bool:
        """Wait until all processes have done what a generation wants; False when time is up."""
        until = time.monotonic() + seconds
        while not self._wanted.all_done(generation, alive):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    def _look(self) -> None:
        if self._stopping:
            return
        if self._wanted.generation != self._seen:
            self._seen = self._wanted.generation
            self._sources = self._wanted.sources()
            if self._asked is None:
                self._asked = {*self._sources}
            keys = {source.key for vs in self._sources.values() for source in vs.values()}
            self._failed = {key: error for key, error in self._failed.items() if key in keys}
            self._reconcile()
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _reconcile(self) -> None:
        """Do the next thing that is to be done."""
        if self._opening is None:
            source = self._next_source()
            if source is not None:
                self._begin_to_open(source)
        for name in {*self._open, *self._sources}:
            self._retire_old(name)
        if self._opening is None:
            self._wanted.done(self._seen)
            told, self.on_ready = self.on_ready, lambda: None
            told()

    def _next_source(self) -> Source | None:
        for name, versions in self._sources.items():
            for source in sorted(versions.values(), key=lambda s: version_order(s.version))[::-1]:
                found = self._open.get(name, {}).get(source.version)
                is_open = found is not None and found.source.stamp == source.stamp
                if source.loaded and not is_open and source.key not in self._failed:
                    return source
        return None

    def _begin_to_open(self, source: Source) -> None:
        self._opening = source
        if self._settings.unload_first:
            for version in [*self._open.get(source.name, {})]:
                self._retire(source.name, version)
        threading.Thread(target=self._open_version, args=(source,), daemon=True).start()

    def _open_version(self, source: Source) -> None:
        """Open a version, in a thread."""
        loaded: Loaded | None = None
        failure: BaseException | None = None
        try:
            loaded = load(source, self._open_it, only=self._settings.max_batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told in the index and the log
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._opened, source, loaded, failure)
        except RuntimeError:  # the loop has ended
            return

    def _opened(self, source: Source, loaded: Loaded | None, error: BaseException | None) -> None:
        self._opening = None
        if error is not None or loaded is None:
            self._failed[source.key] = error or RuntimeError("nothing was opened")
            self._log.failure(self._failed[source.key])
        else:
            self._take_in(source, loaded)
        self._reconcile()

    def _take_in(self, source: Source, loaded: Loaded) -> None:
        """Let a new version answer from now on."""
        statistics = self._slots.statistics(source.slot)
        statistics.set("ready", 1)
        statistics.set("load_seconds", loaded.load_seconds + loaded.warmup_seconds)
        found = ServedVersion(source, loaded, self._settings, statistics)
        if loaded.warmup_error:
            self._log.warning(
                f"{source.name} {source.version}: not warmed up: {loaded.warmup_error}"
            )
        self._retire(source.name, source.version)
        versions = {**self._open.get(source.name, {}), source.version: found}
        order = sorted(versions, key=version_order, reverse=True)
        self._open[source.name] = {version: versions[version] for version in order}
        self.changes += 1
        seconds = {"load": loaded.load_seconds, "warm-up": loaded.warmup_seconds}
        self._log.ready(seconds, f" ({source.name} {source.version}, {found.backend})")

    def _retire_old(self, name: str) -> None:
        """Let go of versions that are not wanted, unless nothing that is wanted has come."""
        wanted = {v: s for v, s in self._sources.get(name, {}).items() if s.loaded}
        versions = self._open.get(name, {})
        if any(v not in versions for v in wanted) and not any(v in versions for v in wanted):
            return  # what is to replace them is on its way, or has failed
        for version in [*versions]:
            if version not in wanted:
                self._retire(name, version)

    def _retire(self, name: str, version: str) -> None:
        """Take a version out, and close it when it has computed what it has."""
        found = self._open.get(name, {}).pop(version, None)
        if found is None:
            return
        if not self._open[name]:
            del self._open[name]
        found.statistics.set("ready", 0)
        self.changes += 1
        task = self._loop.create_task(self._close(found))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, found: ServedVersion) -> None:
        await found.engine.drain()
        await self._loop.run_in_executor(None, found.close, self._log)
        self._log.info(f"{found.name} {found.version} was closed")


def _by_version(item: tuple[str, Source]) -> tuple[int, int, str]:
    return version_order(item[0])
