"""The models of this process by name: opened once, warmed up, counted, bounded, closed.

A model is warmed up, that is, called once on zeros, before anyone gets it: the first call
costs several times a later one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, TooLarge
from gpfn.models.backends import is_remote
from gpfn.models.model import Model
from gpfn.models.signature import Array
from gpfn.settings import read_size, read_whole
from gpfn.tensors.spec import TensorSpec

__all__ = ["Counters", "ModelCache", "WarmUp", "default_cache", "warm_up", "zeros"]

_MOST = 64 << 20
"""The most elements of an input that is made for a warm-up."""

_Opener = Callable[[], Model]


@dataclass(frozen=True, slots=True)
class Counters:
    """What a cache did so far, and what it holds now. Times are in seconds.

    ``resident_bytes`` is the sum of the models' own estimates (the size of their files and,
    with LiteRT, of prepared weights): the memory of a process cannot be split by model.
    """

    hits: int = 0
    misses: int = 0
    failures: int = 0
    evictions: int = 0
    load_seconds: float = 0.0
    warmup_seconds: float = 0.0
    models: int = 0
    resident_bytes: int = 0


class _Entry:
    """A model, or one on its way here; ``users`` keep it from being closed."""

    __slots__ = ("dropped", "error", "model", "ready", "stamp", "users")

    def __init__(self, stamp: object) -> None:
        self.model: Model | None = None
        self.error: BaseException | None = None
        self.ready = threading.Event()
        self.users = 0
        self.dropped = False
        self.stamp = stamp

    def resident_bytes(self) -> int:
        return int(getattr(self.model, "resident_bytes", 0))


class ModelCache:
    """Opens each model once, however many threads ask, and keeps those used last.

    ``count`` and ``size`` (bytes) bound what is kept: over them, the model unused for
    longest is closed. The one used last stays, and so does whatever is in use.
    """

    def __init__(self, *, count: int = 16, size: int = 2 << 30) -> None:
        if count < 1 or size < 1:
            raise ValueError(f"count and size have to be above 0, not {count} and {size}")
        self._count, self._size = count, size
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # used last stands last
        self._lock = threading.Lock()
        self._counters = Counters()

    def get(
        self,
        name: str,
        opener: _Opener,
        *,
        deadline: Deadline = NEVER,
        watch: str = "",
        warmed: Callable[[WarmUp], object] = lambda _: None,
    ) -> Model:
        """Return the model ``name``, opened and warmed up. The cache never closes it.

        ``warmed`` is told how the first call went, if this is who opens it.
        One caller opens it and the others wait, until their ``deadline``. With ``watch``,
        a model's file or folder, it is opened anew when any of its files has changed. Raises
        what ``opener`` raises, to all who waited; the next call tries again.
        """
        return self._model(name, self._enter(name, opener, deadline, watch, warmed))

    @contextmanager
    def use(
        self, name: str, opener: _Opener, *, deadline: Deadline = NEVER, watch: str = ""
    ) -> Iterator[Model]:
        """Lend the model ``name`` for the block, after which it may be closed; see :meth:`get`."""
        entry = self._enter(name, opener, deadline, watch)
        try:
            yield self._model(name, entry)
        finally:
            self._leave(entry)

    def drop(self, name: str) -> bool:
        """Forget a model, and close it when its last user is done; say whether it was here."""
        with self._lock:
            entry = self._entries.pop(name, None)
            unused = self._dropped([entry] if entry else [])
        _close(unused)
        return entry is not None

    def clear(self) -> None:
        """Forget all models."""
        for name in list(self._entries):
            self.drop(name)

    def counters(self) -> Counters:
        """Return what has been counted until now."""
        with self._lock:
            size = sum(entry.resident_bytes() for entry in self._entries.values())
            return replace(self._counters, models=len(self._entries), resident_bytes=size)

    def _model(self, name: str, entry: _Entry) -> Model:
        if entry.model is None:
            raise entry.error or RuntimeError(f"{name} is neither open nor failed")
        return entry.model

    def _enter(
        self,
        name: str,
        opener: _Opener,
        deadline: Deadline,
        watch: str,
        warmed: Callable[[WarmUp], object] = lambda _: None,
    ) -> _Entry:
        """Return the entry, ready and with one user more; open it if it is new."""
        stamp = _stamp(watch) if watch else None
        with self._lock:
            known = self._entries.get(name)
            stale = [known] if known and watch and known.stamp != stamp else []
            mine = known is None or bool(stale)
            entry = _Entry(stamp) if known is None or stale else known
            entry.users += 1
            self._entries[name] = entry
            self._entries.move_to_end(name)
            unused = self._dropped(stale)
            self._add(misses=int(mine), hits=int(not mine))
        _close(unused)
        if mine:
            self._open(name, entry, opener, warmed)
        elif not entry.ready.wait(None if deadline is NEVER else deadline.remaining()):
            self._leave(entry)
            raise DeadlineExceeded(f"the model {name} was still being opened")
        return entry

    def _open(
        self, name: str, entry: _Entry, opener: _Opener, warmed: Callable[[WarmUp], object]
    ) -> None:
        start = time.perf_counter()
        try:
            model = opener()
            loaded = time.perf_counter() - start
            warm = warm_up(model)
            warmed(warm)
        except BaseException as error:
            entry.error = error
            with self._lock:
                if self._entries.get(name) is entry:
                    del self._entries[name]
                self._add(failures=1)
            raise
        else:
            entry.model = model
            with self._lock:
                self._add(load_seconds=loaded, warmup_seconds=warm.seconds)
                unused = self._over()
            _close(unused)
        finally:
            entry.ready.set()

    def _leave(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            unused = [entry] if entry.dropped and not entry.users else self._over()
        _close(unused)

    def _over(self) -> list[_Entry]:
        """Drop the unused entries that are over the bounds, the oldest first."""
        count = len(self._entries)
        size = sum(entry.resident_bytes() for entry in self._entries.values())
        over = []
        for name, entry in list(self._entries.items())[:-1]:
            if count <= self._count and size <= self._size:
                break
            if entry.ready.is_set() and not entry.users:
                over.append(self._entries.pop(name))
                count -= 1
                size -= entry.resident_bytes()
        self._add(evictions=len(over))
        return self._dropped(over)

    def _dropped(self, entries: list[_Entry]) -> list[_Entry]:
        """Mark entries that left the cache, and return those that are not in use."""
        for entry in entries:
            entry.dropped = True
        return [entry for entry in entries if not entry.users]

    def _add(self, **more: float) -> None:
        changed = {name: getattr(self._counters, name) + value for name, value in more.items()}
        self._counters = replace(self._counters, **changed)


@cache
def default_cache() -> ModelCache:
    """Return the cache that this process shares.

    ``GPFN_MODEL_CACHE_COUNT`` and ``GPFN_MODEL_CACHE_BYTES`` override its bounds.
    """
    return ModelCache(
        count=read_whole("GPFN_MODEL_CACHE_COUNT", 16, least=1),
        size=read_size("GPFN_MODEL_CACHE_BYTES", 2 << 30),
    )


def _close(entries: list[_Entry]) -> None:
    for entry in entries:
        if entry.model is not None:
            entry.model.close()


def _stamp(path: str) -> object:
    from gpfn.models.parts import model_stamp  # few ask for it, and it loads the recognisers

    return model_stamp(path)


class WarmUp(NamedTuple):
    """How long the first call took, in seconds, and why it failed if it did."""

    seconds: float = 0.0
    error: Exception | None = None


def warm_up(model: Model) -> WarmUp:
    """Call the model on zeros, with 1 for every size that it leaves open.

    A model of text or of indexes may refuse such a call: a failure is returned, not raised.
    A remote model is left to its own server; a function that declares no inputs is not
    warmed up.
    """
    if getattr(model, "waits", False) or is_remote(model.backend) or not model.inputs:
        return WarmUp()
    start = time.perf_counter()
    error: Exception | None = None
    try:
        model({spec.name: zeros(spec) for spec in model.inputs})
    except Exception as failure:  # noqa: BLE001 - a function may raise anything
        error = failure
    return WarmUp(time.perf_counter() - start, error)


def zeros(spec: TensorSpec) -> Array:
    """Return zeros (empty strings) of the spec's dtype and shape, with 1 for open sizes.

    Raises TooLarge over 67,108,864 elements.
    """
    shape = [1 if size is None else size for size in spec.shape or ()]
    if math.prod(shape) > _MOST:
        raise TooLarge(f"{shape} is too large for a warm-up call", field=spec.name)
    if spec.dtype == "string":
        return np.full(shape, b"", object)
    return np.zeros(shape, spec.dtype)
