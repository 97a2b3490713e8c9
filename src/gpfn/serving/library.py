"""The models that a process serves: which versions are open, and why others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from gpfn.call.opening import NotReady
from gpfn.errors import GpfnError, InvalidRequest
from gpfn.oip.documents import ModelIndex
from gpfn.public_text import public_text
from gpfn.serving.wanted import ModelSource, version_order

if TYPE_CHECKING:
    from gpfn.serving.version import ServedVersion

__all__ = ["MOST_WAKES", "Asleep", "Library", "UnknownModel"]

MOST_WAKES = 5
"""How often models are woken for one request: others may have them closed again at once."""


_NONE: Mapping[str, ServedVersion] = {}
_ASLEEP = "opened when it is first asked for"


class UnknownModel(InvalidRequest):
    """There is no such model, or no such version of it."""

    type = "unknown-model"
    title = "Unknown model"

    def __init__(self, name: str, version: str = "") -> None:
        told = f"'{name:.99}'" + (f" version {version:.99}" if version else "")
        super().__init__(f"Request for unknown model: {told} is not found", status=404)


class Asleep(NotReady):
    """Nothing is open that answers; a repository may have it. ``version`` may be a tag."""

    def __init__(self, name: str, version: str = "") -> None:
        super().__init__(f"the model is not open: {name:.99}")
        self.name = name
        self.version = version


class Library:
    """All versions that are wanted, and those of them that are open in this process.

    With ``asleep``, models are opened when they are asked for: one that is not known here is
    told by Asleep, and whoever answers it has it woken and asks again.
    """

    def __init__(self) -> None:
        self.sources: Mapping[str, Mapping[str, ModelSource]] = {}
        self.open: dict[str, dict[str, ServedVersion]] = {}
        """By model and version, the highest first; an empty model is left out."""
        self._highest: dict[str, ServedVersion] = {}
        self.changes = 0
        """Grows whenever a version comes or goes."""
        self._failed: dict[object, BaseException] = {}
        self._ignored: list[tuple[str, str, str]] = []
        self._asked: set[str] | None = None  # the models that were wanted at the start
        self.asleep: Callable[[], Iterable[tuple[str, str]]] | None = None
        """Gives the latest version of each model that a repository has."""
        self.default: Callable[[], str] = lambda: ""
        """Gives the model of a repository that is meant where none is named, if one is."""

    # questions of protocols

    def find(self, name: str, version: str = "") -> ServedVersion:
        """Return a version, the highest when none is named; one of a repository also by a tag.

        Raises UnknownModel, or NotReady while it is being opened or after that has failed.
        """
        found = self.open.get(name, _NONE).get(version) if version else self._highest.get(name)
        if found is None and self.asleep is not None and version and not version.isdecimal():
            return self.tagged(name, version)
        if found is None:
            raise self._missing(name, version)
        return found

    def check(self, name: str, version: str) -> None:
        """Raise why a version cannot be opened; that it is closed by now is no reason."""
        with suppress(Asleep):  # it was closed again for another one
            self.find(name, version)

    def tagged(self, name: str, tag: str) -> ServedVersion:
        """Return the version that a tag names, as the highest version's description has it.

        Raises UnknownModel when none does, NotReady as long as that version is not open.
        """
        for version in sorted(self.sources.get(name, {}), key=version_order, reverse=True):
            tags = dict(self.sources[name][version].serving.tags)
            if tag in tags:
                return self.find(name, tags[tag])
            if tags:
                break
        self.find(name)
        raise UnknownModel(name, tag)

    @property
    def first(self) -> str:
        """The model that is meant where none is named; nothing when nobody can say."""
        return next(iter(self.sources), "") if self.asleep is None else self.default()

    @property
    def ready(self) -> bool:
        """Whether a model answers or may be woken, and every one does that was wanted at first."""
        wanted = [name for name in self._asked or () if self._is_wanted(name)]
        some = bool(self.open) or self.asleep is not None
        return some and all(name in self.open for name in wanted)

    def names(self) -> list[str]:
        """Return the names of all models that are known, whether they answer or not."""
        stored = self.asleep() if self.asleep is not None else ()
        return [*dict.fromkeys([*self.sources, *(name for name, _ in stored)])]

    def open_names(self) -> list[str]:
        """Return the names of the models that answer."""
        return sorted(self.open)

    def versions(self, name: str) -> list[str]:
        """Return the open versions of a model, the lowest first."""
        return [*reversed(self.open.get(name, {}))]

    def all_open(self) -> Iterable[ServedVersion]:
        """Return every open version, by name, the lowest first."""
        return [one for name in sorted(self.open) for one in reversed(self.open[name].values())]

    def index(self) -> list[ModelIndex]:
        """Return every version that is known, with its state and the reason for it.

        One that is not wanted any more is among them as long as it answers.
        """
        states = {
            (name, version): ("UNAVAILABLE", public_text(reason))
            for name, version, reason in self._ignored
        }
        if self.asleep is not None:
            states |= dict.fromkeys(self.asleep(), ("UNAVAILABLE", _ASLEEP))
        states |= {(one.name, one.version): ("READY", "") for one in self.all_open()}
        for source in self._wanted():
            states[source.name, source.version] = self._state(source)
        order = sorted(states, key=lambda key: (key[0], version_order(key[1])))
        return [ModelIndex(*key, *states[key]) for key in order]

    def failure(self, name: str, version: str = "") -> BaseException | None:
        """Return why a wanted version of a model could not be opened, if one could not."""
        sources = self.sources.get(name, {}).values()
        tries = [source.attempted for source in sources if version in ("", source.version)]
        return next((self._failed[one] for one in tries if one in self._failed), None)

    def in_use(self) -> list[tuple[str, str, int]]:
        """Return model, version and slot of what is counted."""
        counted = {(one.name, one.version): one.source for one in self.all_open()}
        counted |= {(source.name, source.version): source for source in self._wanted()}
        return [(*key, source.slot) for key, source in counted.items()]

    def _wanted(self) -> Iterable[ModelSource]:
        return (source for versions in self.sources.values() for source in versions.values())

    def _is_wanted(self, name: str) -> bool:
        return any(source.loaded for source in self.sources.get(name, {}).values())

    def _state(self, source: ModelSource) -> tuple[str, str]:
        if source.attempted in self._failed:
            return "UNAVAILABLE", public_text(str(self._failed[source.attempted]))
        if self.has(source):
            return "READY", ""
        return ("LOADING", "") if source.loaded else ("UNAVAILABLE", "unloaded")

    def _missing(self, name: str, version: str) -> GpfnError:
        sources = self.sources.get(name, {}).values()
        known = [s for s in sources if version == s.version or not (version or s.named_only)]
        if not known and self.asleep is not None and name:
            return Asleep(name, version)
        if not name and self.asleep is not None:
            return InvalidRequest("names no model, and there is no default", field="model")
        if not known:
            if self._asked is None or not name:
                return NotReady("the model is being loaded")
            return UnknownModel(name, version)
        for source in known:
            state, reason = self._state(source)
            if state == "LOADING" and source.stored:
                return Asleep(name, version)  # who waits for it, asks again then
            if state == "LOADING":
                return NotReady(f"the model is still being loaded: {name}")
            if reason and reason != "unloaded":
                return NotReady(f"the model {name} cannot be opened: {reason}")
        return UnknownModel(name, version)

    # what the keeper tells

    def want(self, sources: Mapping[str, Mapping[str, ModelSource]]) -> None:
        """Take note of what is wanted now."""
        if self._asked is None:
            self._asked = {*sources}
        self.sources = sources
        for found in self.all_open():
            source = sources.get(found.name, {}).get(found.version)
            if source is not None and source.stamp == found.source.stamp:
                found.source = source  # what it is called by may have changed
        for name in self.open:
            self._choose(name)
        tries = {source.attempted for vs in sources.values() for source in vs.values()}
        self._failed = {one: error for one, error in self._failed.items() if one in tries}

    def ignore(self, ignored: list[tuple[str, str, str]]) -> None:
        """Take note of what is there and cannot be served: model, version, reason."""
        self._ignored = ignored

    def has(self, source: ModelSource) -> bool:
        """Say whether a source is open, with the files that it has now."""
        found = self.open.get(source.name, {}).get(source.version)
        return found is not None and found.source.stamp == source.stamp

    def may_be_opened(self, source: ModelSource) -> bool:
        """Say whether a source is to be opened, and has not failed."""
        return source.loaded and not self.has(source) and source.attempted not in self._failed

    def failed(self, source: ModelSource, error: BaseException) -> None:
        """Take note of a source that cannot be opened."""
        self._failed[source.attempted] = error

    def put(self, found: ServedVersion) -> ServedVersion | None:
        """Let a version answer from now on; returns what answered in its place before."""
        before = self.take(found.name, found.version)
        versions = {**self.open.get(found.name, {}), found.version: found}
        order = sorted(versions, key=version_order, reverse=True)
        self.open[found.name] = {version: versions[version] for version in order}
        self._choose(found.name)
        self.changes += 1
        return before

    def take(self, name: str, version: str) -> ServedVersion | None:
        """Let a version answer no more, and return it."""
        found = self.open.get(name, {}).pop(version, None)
        if found is not None:
            self.changes += 1
            self._choose(name)
            if not self.open[name]:
                del self.open[name]
        return found

    def _choose(self, name: str) -> None:
        """Let the highest open version answer where none is named, of those that may."""
        for found in self.open[name].values():
            if not found.source.named_only:
                self._highest[name] = found
                return
        self._highest.pop(name, None)
