"""What makes the library as it is wanted: opens versions, lets them take over, closes them.

A new version is opened, warmed and timed in a thread, while the old one goes on answering.
It takes over between two requests; then the old one computes what it has, and is closed. A
version that cannot be opened replaces nothing, and is listed with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING

from gpfn.call.opening import NotReady
from gpfn.deadline import NEVER
from gpfn.errors import DeadlineExceeded, ModelUnreadable
from gpfn.http.loop.pool import WorkPool
from gpfn.serving.isolation import Isolation
from gpfn.serving.library import Library, UnknownModel
from gpfn.serving.version import Loaded, ServedVersion, load
from gpfn.serving.wanted import ModelSource, Wanted, version_order

if TYPE_CHECKING:
    from pathlib import Path

    from gpfn.log import Log
    from gpfn.serving.models_dir import ModelsDir
    from gpfn.serving.opener import Opener
    from gpfn.serving.settings import ServerSettings
    from gpfn.serving.statistics import Slots

__all__ = ["Keeper"]

_LOOK_SECONDS = 0.05
"""How often a process looks whether something else is wanted."""


class Keeper:
    """Opens and closes the versions of one process. Methods are for the loop's thread."""

    def __init__(
        self,
        library: Library,
        wanted: Wanted,
        slots: Slots,
        settings: ServerSettings,
        *,
        opener: Opener,
        log: Log,
    ) -> None:
        self._library = library
        self.wanted = wanted
        self._slots = slots
        slots.in_use = library.in_use
        self._settings = settings
        self._opener = opener
        self._log = log
        self._opening: ModelSource | None = None
        # always the same one: a new thread takes memory that the ones before have given back
        self._thread = WorkPool(1, 1, patient=False)
        self._closing: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = 0
        self._stopping = self._told = False
        self.named: Container[str] = ()
        """Models without which nobody starts: why they cannot be opened is told by who does."""
        self.on_ready: Callable[[], object] = lambda: None
        """Called once, when everything wanted at the start is open or has failed."""
        self.folder: ModelsDir | None = None
        """Where models come and go."""
        self.alive: Callable[[], Iterable[int]] = lambda: (0,)
        """Returns the numbers of the processes that serve."""
        self.isolation = Isolation(library, opener, log)

    @property
    def all_began(self) -> bool:
        """Whether every process has opened what was wanted at first: any may get a request."""
        return self.wanted.all_done(1, self.alive())

    def start(self) -> None:
        """Begin to do what is wanted, and go on with that; on the loop."""
        self._loop = asyncio.get_running_loop()
        for versions in self.wanted.sources().values():
            for source in versions.values():  # not what a process before had in this place
                self._slots.statistics(source.slot).forget_gauges()
        if self.folder is not None:
            self._spawn(self.folder.keep())
        self._look()

    async def stop(self) -> None:
        """Close everything; nothing is asked any more."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        for found in self._library.all_open():
            self._library.take(found.name, found.version)
            await self._loop.run_in_executor(None, found.close, self._log)

    def look_into(self, folder: Path, named: Sequence[ModelSource]) -> ModelsDir:
        """Serve the models of a folder as well, and return what looks after it."""
        from gpfn.serving.models_dir import ModelsDir

        self.folder = ModelsDir(
            folder,
            self.wanted,
            named,
            poll=self._settings.poll,
            log=self._log,
            tell=self._library.ignore,
        )
        return self.folder

    def look_for_models(self) -> None:
        """Have the folder of models looked at now."""
        if self.folder is not None:
            self.wanted.ask_for_a_look()

    async def load(self, name: str) -> None:
        """Have a model served by all processes, opened again where that has failed.

        Raises UnknownModel, and NotReady with the reason when it cannot be opened.
        """
        if self.folder is not None:
            await self.folder.refresh()
        generation = self.wanted.load(name, loaded=True)
        if name not in self.wanted.sources():
            raise UnknownModel(name)
        await self.until_done(generation)
        failure = self._library.failure(name)
        if failure is not None:
            raise NotReady(f"the model {name} cannot be opened: {failure}") from failure

    async def unload(self, name: str) -> None:
        """Have a model served by no process any more. Raises UnknownModel."""
        if name not in self.wanted.sources():
            raise UnknownModel(name)
        await self.until_done(self.wanted.load(name, loaded=False))

    async def until_done(self, generation: int) -> None:
        """Wait until all processes have done what a generation wants."""
        until = time.monotonic() + self._settings.request_seconds
        while not self.wanted.all_done(generation, self.alive()):
            if time.monotonic() > until:
                raise DeadlineExceeded("some process has not come to it yet; it goes on with it")
            await asyncio.sleep(_LOOK_SECONDS / 5)

    def last_used(self, source: ModelSource) -> float:
        """Return when a version was called last, or opened, in any process (epoch)."""
        return self._slots.statistics(source.slot).last_used

    # one step after the other

    def _look(self) -> None:
        if self._stopping:
            return
        self.isolation.look()
        self.look_at_wanted()
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def look_at_wanted(self) -> None:
        """Begin to do what is wanted, if that has changed, without waiting for the next look."""
        if self.wanted.generation != self._seen and not self._stopping:
            self._seen = self.wanted.generation
            self._library.want(self.wanted.sources())
            self._reconcile()

    def _reconcile(self) -> None:
        """Do the next thing that is to be done."""
        library = self._library
        if self._opening is None:
            source = self._next_source()
            if source is not None:
                self._begin_to_open(source)
        for name in [*library.open]:
            self._retire_old(name)
        if self._opening is None:
            self.wanted.done(self._seen)
            if not self._told:
                self._told = True
                self.on_ready()

    def _next_source(self) -> ModelSource | None:
        """Return a version that is to be opened: of a model the highest first."""
        for versions in self._library.sources.values():
            for version in sorted(versions, key=version_order, reverse=True):
                if self._library.may_be_opened(versions[version]):
                    return versions[version]
        return None

    def _begin_to_open(self, source: ModelSource) -> None:
        source = self.isolation.settled(source)
        self._opening = source
        if self._settings.unload_first:
            for version in self._library.versions(source.name):
                self._retire(self._library.take(source.name, version))
        closing = [*self._closing] if self._settings.unload_first else []
        self._spawn(self._open_after(source, closing))

    async def _open_after(self, source: ModelSource, closing: list[asyncio.Task[None]]) -> None:
        if closing:
            _, hanging = await asyncio.wait(closing, timeout=self._settings.request_seconds + 1)
            if hanging:  # nobody waits for what it computes any more
                told = "a version hangs that was to be closed first: the next one is opened"
                self._log.warning(f"{source.name} {source.version}: {told}")

        def opened(loaded: Loaded | None, error: BaseException | None) -> None:
            if self._opening is source:
                limit.cancel()
                self._opened(source, loaded, error)
            elif loaded is not None and source.uri:  # too late: nobody waits for it any more
                self._loop.run_in_executor(None, loaded.model.close)

        seconds = self._settings.open_seconds
        limit = self._loop.call_later(seconds, self._give_up, source, seconds)
        self._thread.submit(lambda: self._open(source), NEVER, opened)

    def _give_up(self, source: ModelSource, seconds: float) -> None:
        """Open what comes next, although something is still being opened."""
        self._thread = WorkPool(1, 1, patient=False)
        told = f"it was not open after {seconds:g} s"
        self._opened(source, None, ModelUnreadable(f"{told}: {source.uri}", field="model"))

    def _open(self, source: ModelSource) -> Loaded:
        """Open a version, in a thread."""
        mark = self.isolation.mark(source)
        place = mark.enter()  # a damaged file may end the process that opens it
        try:
            with self.isolation.opening():
                return load(source, self._opener.open, only=self._settings.max_batch)
        finally:
            mark.leave(place)

    def _opened(
        self, source: ModelSource, loaded: Loaded | None, error: BaseException | None
    ) -> None:
        self._opening = None
        if loaded is None:
            error = error or RuntimeError("nothing was opened")
            self._library.failed(source, error)
            if self._told or source.name not in self.named:  # who has named it, tells
                self._log.failure(error)
        else:
            self._take_in(source, loaded)
        self._reconcile()

    def _take_in(self, source: ModelSource, loaded: Loaded) -> None:
        """Let a new version answer from now on."""
        statistics = self._slots.statistics(source.slot)
        statistics.set("ready", 1)
        statistics.set("opened", time.time())
        statistics.set("load_seconds", loaded.load_seconds + loaded.warmup_seconds)
        if loaded.warmup_error:
            self._log.warning(f"{source.name} {source.version}: not warm: {loaded.warmup_error}")
        found = ServedVersion(
            source,
            loaded,
            self._settings,
            statistics,
            mark=self.isolation.mark(source),
            on_hang=self.isolation.isolate,
        )
        self._retire(self._library.put(found))
        seconds = {"load": loaded.load_seconds, "warm-up": loaded.warmup_seconds}
        what = f"{source.name} {source.version}: {loaded.model.name}, {found.backend}"
        self._log.ready(seconds, f" ({what})")

    def _retire_old(self, name: str) -> None:
        """Let go of versions that are not wanted, unless nothing that is wanted has come."""
        library = self._library
        sources = library.sources.get(name, {})
        wanted = {version for version, source in sources.items() if source.loaded}
        there = library.open[name]
        answering = {version for version in wanted if not sources[version].named_only}
        waited_for = bool(answering) and not answering & there.keys()
        for version in there.keys() - wanted:
            if waited_for and not there[version].source.named_only:
                continue  # what is to replace it is on its way, or has failed
            self._retire(library.take(name, version))

    def _retire(self, found: ServedVersion | None) -> None:
        """Close a version when it has computed what it has."""
        if found is None:
            return
        if not self._library.has(found.source):
            found.statistics.set("ready", 0)
        self._spawn(self._close(found), self._closing)

    def _spawn(
        self, work: Coroutine[object, object, None], among: set[asyncio.Task[None]] | None = None
    ) -> None:
        tasks = self._tasks if among is None else among
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _close(self, found: ServedVersion) -> None:
        await found.drain()
        await self._loop.run_in_executor(None, found.close, self._log)
        self._log.info(f"{found.name} {found.version} was closed")
