"""Which versions of which models are to be served: one list for all processes of a server.

The list lies in memory that the processes share, as JSON behind a number that grows with
every change. Whoever changes it, each process finds that out by the number, opens and closes
what it has to, and notes which number it has come to. A process that is killed while it writes
leaves the list as it was.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from mmap import mmap
from typing import Any, NamedTuple

import orjson

from gpfn.errors import SetupError
from gpfn.models.description import Serving
from gpfn.serving.statistics import SLOTS

__all__ = ["STORED", "ModelSource", "Wanted", "version_order"]

STORED = "repository:"
"""What the stamp of a repository's version begins with."""

_BYTES = 32 << 20
_NUMBER = struct.Struct("<q")
_GENERATION, _LENGTH, _WISHES, _LOOKED, _DONE = range(5)  # the places of numbers
_PLACES = 64 << 10  # bytes for the numbers, before the JSON
_HALF = (_BYTES - _PLACES) // 2  # the next list is written beside the one that holds


class ModelSource(NamedTuple):
    """One version of a model, and what it is opened from.

    ``stamp`` differs when its files do. ``slot`` is where it is counted. A version that is not
    ``loaded`` is known, and not served. ``attempt`` grows when it is to be opened once more.
    One to ``vet`` is tried in a process of its own first. One that is ``named_only`` does not
    answer where no version is named, however high it is.
    """

    name: str
    version: str
    uri: str
    stamp: str = ""
    labels: tuple[str, ...] = ()
    serving: Serving = Serving()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    slot: int = 0
    loaded: bool = True
    attempt: int = 0
    vet: bool = False
    named_only: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other one."""
        return self.name, self.version, self.stamp

    @property
    def stored(self) -> bool:
        """Whether it is of a repository, which has it opened when somebody asks for it."""
        return self.stamp.startswith(STORED)

    @property
    def attempted(self) -> tuple[str, str, str, int]:
        """What tells one attempt to open it from every other one."""
        return self.name, self.version, self.stamp, self.attempt


def version_order(version: str) -> tuple[int, int, str]:
    """Return what versions are sorted by: numbers by their value, before other names.

    >>> sorted(["10", "9", "v2"], key=version_order)
    ['9', '10', 'v2']
    """
    return (0, int(version), "") if version.isdecimal() else (1, 0, version)


class Wanted:
    """The list; ``processes`` work by it. Safe for threads and for processes forked later."""

    def __init__(self, processes: int = 1) -> None:
        self._file = os.memfd_create("gpfn-wanted", os.MFD_CLOEXEC)
        os.ftruncate(self._file, _BYTES)
        self._memory = mmap(self._file, _BYTES)
        self._processes = processes
        self._process = 0
        self._guard = threading.Lock()
        self._write({"sources": [], "freed": []})
        self._set_number(_GENERATION, 0)  # nothing has been said yet

    def begin(self, process: int) -> None:
        """Work by it as the process of that number, which has done nothing of it yet."""
        self._process = process
        self.done(0)

    @property
    def generation(self) -> int:
        """The number that grows with every change."""
        return self._number(_GENERATION)

    def sources(self) -> Mapping[str, Mapping[str, ModelSource]]:
        """Return all versions by model and version."""
        with self._locked():
            found: dict[str, dict[str, ModelSource]] = {}
            for source in self._sources(self._read()):
                found.setdefault(source.name, {})[source.version] = source
            return found

    def replace(
        self,
        sources: Iterable[ModelSource],
        among: Iterable[str] | None = None,
        *,
        at: int | None = None,
    ) -> int:
        """Want these versions and no others, of the models ``among`` or of all.

        What has been unloaded stays so. Returns the generation; -1, and nothing is changed, when
        it is not the one ``at`` which this was decided. Raises SetupError when they are too many.
        """
        with self._locked():
            if at not in (None, self.generation):
                return -1
            state = self._read()
            before = {source.key: source for source in self._sources(state)}
            unloaded = {source.name for source in before.values() if not source.loaded}
            names = None if among is None else {*among}
            kept = [] if names is None else [s for s in before.values() if s.name not in names]
            wanted = [_as_before(s, before.get(s.key), unloaded) for s in sources]
            return self._want([*kept, *wanted], before, state["freed"])

    def load(self, name: str, *, loaded: bool) -> int:
        """Want a model to be served, or not to be; returns the generation.

        A version that could not be opened is to be tried again.
        """
        with self._locked():
            state = self._read()
            before = {source.key: source for source in self._sources(state)}
            changed = [
                source._replace(loaded=loaded, attempt=source.attempt + loaded)
                if source.name == name
                else source
                for source in before.values()
            ]
            return self._want(changed, before, state["freed"])

    def done(self, generation: int) -> None:
        """Note that this process has done what that generation wants."""
        self._set_number(_DONE + self._process, generation)

    def all_done(self, generation: int, alive: Iterable[int]) -> bool:
        """Say whether the processes of these numbers have done what that generation wants."""
        return all(self._number(_DONE + process) >= generation for process in alive)

    # looking for models: one process does it for all

    def leads(self) -> bool:
        """Say whether this is the process that looks for models; one is, as long as it lives."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)
        except OSError:  # another one is
            return False
        return True

    def ask_for_a_look(self) -> int:
        """Have the leader look for models now; returns the number of the wish."""
        with self._locked():
            self._set_number(_WISHES, self._number(_WISHES) + 1)
            return self._number(_WISHES)

    @property
    def wishes(self) -> int:
        """How many looks have been wished for."""
        return self._number(_WISHES)

    @property
    def looked(self) -> int:
        """Up to which wish the leader has looked."""
        return self._number(_LOOKED)

    def note_a_look(self, wish: int) -> None:
        """Note that the leader has looked, as was wished for."""
        self._set_number(_LOOKED, wish)

    def _want(
        self,
        wanted: list[ModelSource],
        before: Mapping[tuple[str, str, str], ModelSource],
        freed: list[int],
    ) -> int:
        kept = {source.key: before[source.key].slot for source in wanted if source.key in before}
        freed = [*freed, *(s.slot for key, s in before.items() if key not in kept)]
        free = _free_slots({*kept.values()}, freed)
        placed = [
            source._replace(slot=kept[source.key] if source.key in kept else next(free))
            for source in wanted
        ]
        if [*before.values()] == placed and self.generation:  # nothing is said once, too
            return self.generation
        used = {source.slot for source in placed}
        rows = [[list(x) if isinstance(x, Serving) else x for x in source] for source in placed]
        self._write({"sources": rows, "freed": [slot for slot in freed if slot not in used]})
        return self.generation

    def _sources(self, state: Mapping[str, Any]) -> list[ModelSource]:
        return [
            ModelSource(name, version, uri, stamp, tuple(labels), _serving(serving), tuple(inputs),
                   tuple(outputs), *rest)
            for name, version, uri, stamp, labels, serving, inputs, outputs, *rest
            in state["sources"]
        ]  # fmt: skip

    def _read(self) -> dict[str, Any]:
        size, half = divmod(self._number(_LENGTH), 2)
        begin = _PLACES + half * _HALF
        found: dict[str, Any] = orjson.loads(self._memory[begin : begin + size])
        return found

    def _write(self, state: Mapping[str, Any]) -> None:
        text = orjson.dumps(state)
        if len(text) > _HALF:
            raise SetupError(f"more models than {_HALF} bytes can list", field="models")
        half = 1 - self._number(_LENGTH) % 2
        begin = _PLACES + half * _HALF
        self._memory[begin : begin + len(text)] = text
        self._set_number(_LENGTH, 2 * len(text) + half)
        self._set_number(_GENERATION, self._number(_GENERATION) + 1)

    def _number(self, at: int) -> int:
        value: int = _NUMBER.unpack_from(self._memory, at * 8)[0]
        return value

    def _set_number(self, at: int, value: int) -> None:
        _NUMBER.pack_into(self._memory, at * 8, value)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._guard:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1)  # ends with the process, however that ends
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1)


def _as_before(source: ModelSource, before: ModelSource | None, unloaded: set[str]) -> ModelSource:
    attempt = source.attempt if before is None else before.attempt
    return source._replace(loaded=source.name not in unloaded, attempt=attempt)


def _serving(values: Iterable[Any]) -> Serving:
    serving = Serving(*values)
    tags = tuple((name, version) for name, version in serving.tags)
    return serving._replace(warmup=tuple(serving.warmup), tags=tags)


def _free_slots(used: set[int], freed: list[int]) -> Iterator[int]:
    """Yield slots that nobody has: first those never used, then those freed longest ago."""
    yield from (slot for slot in range(SLOTS) if slot not in used and slot not in freed)
    yield from (slot for slot in dict.fromkeys(freed) if slot not in used)
    raise SetupError(f"more than {SLOTS} versions of models", field="models")
