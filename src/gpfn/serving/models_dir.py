"""The models of a folder: looked at again and again, by one of the processes for all.

What is found there becomes what is wanted, besides the models that were named at the start.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError
from gpfn.models.description import Serving
from gpfn.serving.folder_watch import Changes, FolderWatch
from gpfn.serving.wanted import ModelSource, Wanted, version_order

if TYPE_CHECKING:
    from pathlib import Path

    from gpfn.log import Log
    from gpfn.serving.folder import Ignored
    from gpfn.serving.folder_model import FoundVersion

__all__ = ["ModelsDir"]

_WISH_SECONDS = 0.05
_FIRST_SECONDS = 2.0
"""How long the start waits for files that have just been put there."""
_REFRESH_SECONDS = 5.0
"""How long who asks for a model waits for them."""
_AGAIN_SECONDS = 0.25
"""When a look is repeated, because something is just being put there."""


class ModelsDir:
    """Keeps what is wanted as the folder has it. All methods but ``look`` are for the loop."""

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        named: Sequence[ModelSource],
        *,
        poll: float,
        log: Log,
        tell: Callable[[list[tuple[str, str, str]]], object] = lambda _: None,
    ) -> None:
        """``poll`` are the seconds between looks, ``tell`` hears what is ignored and why."""
        self._watch = FolderWatch(folder)
        self._wanted = wanted
        self._named = list(named)
        self._poll = poll
        self._log = log
        self._tell = tell
        self._found: dict[tuple[str, str], FoundVersion] = {}
        self._ignored: dict[str, str] = {}
        self._started = False

    def begin(self) -> None:
        """Look for the first time, until what has just been put there is at rest.

        Raises SetupError when there is no such folder.
        """
        until = time.monotonic() + _FIRST_SECONDS
        while self.look() and time.monotonic() < until:
            time.sleep(_AGAIN_SECONDS)
        self._wanted.replace([*self._named, *self._sources()])
        self._started = True

    async def keep(self) -> None:
        """Look as long as the loop runs, as soon as this process is the one that does."""
        failure = ""
        while True:
            if not self._wanted.leads():
                await asyncio.sleep(_WISH_SECONDS)
                continue
            wish = self._wanted.wishes
            unsettled = False
            try:
                unsettled = await asyncio.to_thread(self.look)
                failure = ""
            except GpfnError as error:  # the folder itself cannot be read just now
                if str(error) != failure:
                    self._log.failure(error)
                failure = str(error)
            if not unsettled:
                self._wanted.note_a_look(wish)
            await self._rest(wish, _AGAIN_SECONDS if unsettled else self._poll)

    async def refresh(self) -> None:
        """Have the folder looked at now; returns when what is at rest there is wanted.

        What somebody goes on writing is not waited for: it may be another model.
        """
        wish = self._wanted.ask_for_a_look()
        until = time.monotonic() + _REFRESH_SECONDS
        while self._wanted.looked < wish and time.monotonic() < until:
            await asyncio.sleep(_WISH_SECONDS / 5)

    async def _rest(self, wish: int, seconds: float) -> None:
        while seconds > 0 and self._wanted.wishes == wish:
            await asyncio.sleep(min(seconds, _WISH_SECONDS))
            seconds -= _WISH_SECONDS

    def look(self) -> bool:
        """Look, and want what is there; says whether there may be more in a moment.

        Raises SetupError when the folder cannot be read.
        """
        changes = self._watch.look()
        self._note(changes)
        if self._started and (changes.added or changes.changed or changes.removed):
            self._wanted.replace([*self._named, *self._sources()])
        return changes.unsettled

    def _note(self, changes: Changes) -> None:
        for found in (*changes.added, *changes.changed):
            self._found[found.name, found.version] = found
        for key in changes.removed:
            self._found.pop(key, None)
        ignored = {each.path: each.reason for each in changes.ignored}
        for path, reason in ignored.items():
            if self._ignored.get(path) != reason:
                self._log.warning(f"not served: {path}: {reason}")
        self._ignored = ignored
        self._tell([(*_place(one), one.reason) for one in changes.ignored])

    def _sources(self) -> list[ModelSource]:
        """Return the versions to be served: of each model the highest few."""
        by_name: dict[str, list[FoundVersion]] = {}
        for found in self._found.values():
            by_name.setdefault(found.name, []).append(found)
        names = {source.name for source in self._named}
        sources = []
        for name in sorted(by_name.keys() - names):
            versions = sorted(by_name[name], key=lambda one: version_order(one.version))
            keep = _serving(versions[-1]).keep or 1
            sources += [self._source(found) for found in versions[-keep:]]
        return sources

    def _source(self, found: FoundVersion) -> ModelSource:
        stamp = hashlib.sha256(repr(found.stamp).encode()).hexdigest()[:16]
        serving = _serving(found)._replace(warmup=found.warmup)
        described = found.description
        vouched = bool(described and described.model.sha256)
        return ModelSource(
            found.name,
            found.version,
            found.uri,
            stamp,
            found.labels,
            serving,
            vet=self._started and not vouched,
        )


def _serving(found: FoundVersion) -> Serving:
    return Serving() if found.description is None else found.description.serving


def _place(ignored: Ignored) -> tuple[str, str]:
    """Return what an entry would be the model and the version of, by its path if need be."""
    name, _, version = ignored.path.partition("/")
    return ignored.name or name, ignored.version or version.partition("/")[0]
