"""One version of a model, open, warm and timed: what a request is computed by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Semaphore
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import GpfnError
from gpfn.models.batch_axis import LARGEST_BATCH, computes_here, has_batch_axis
from gpfn.serving.described import DescribedModel
from gpfn.serving.engine.engine import Engine
from gpfn.serving.engine.making import EngineSettings, Mark
from gpfn.serving.engine.sample import read_sample
from gpfn.serving.engine.timing import Timing, measure

if TYPE_CHECKING:
    import numpy as np

    from gpfn.log import Log
    from gpfn.models.model import Model
    from gpfn.serving.onward import Onward
    from gpfn.serving.settings import ServerSettings
    from gpfn.serving.statistics import Statistics
    from gpfn.serving.wanted import ModelSource

__all__ = ["Loaded", "ServedVersion", "calls_of", "load", "max_batch_of"]


class Loaded(NamedTuple):
    """A model that was opened, warmed up and timed; seconds, and what went wrong when warm."""

    model: Model
    timing: Timing
    max_batch: int
    load_seconds: float
    warmup_seconds: float
    warmup_error: str


def load(
    source: ModelSource, open_it: Callable[[ModelSource], Model], *, only: int | None = None
) -> Loaded:
    """Open a version, call it once and time it, in whichever thread; raises what opening raises.

    ``only`` is the most rows that may be computed together, whatever the model says.
    """
    began = time.perf_counter()
    model = open_it(source)
    opened = time.perf_counter()
    try:
        warmup_error, row = _warm_up(model, source.serving.warmup)
        most = max_batch_of(model, source, only)
        timing = _time(model, row, most) if row and computes_here(model) else Timing()
    except BaseException:
        if source.uri:
            model.close()
        raise
    warm = time.perf_counter()
    return Loaded(model, timing, most, opened - began, warm - opened, warmup_error)


def _warm_up(model: Model, files: Sequence[str]) -> tuple[str, Mapping[str, np.ndarray]]:
    """Return what went wrong, and a row that the model takes if there is one.

    Raises what a sample of the user's raises: a model that refuses it is not the right one.
    """
    from gpfn.models.cache import warm_up, zeros

    if files:
        samples = [read_sample(path, model.inputs) for path in files]
        for sample in samples:
            model(sample)
        return "", samples[0]
    warm = warm_up(model)
    if warm.error is not None:
        return str(warm.error), {}
    return "", {spec.name: zeros(spec) for spec in model.inputs}


def max_batch_of(model: Model, source: ModelSource, only: int | None) -> int:
    """Return how many rows one call may have, 0 when they are never computed together."""
    declared = source.serving.max_batch if only is None else only
    if declared is not None:
        return declared if declared > 1 and model.inputs else 0
    return LARGEST_BATCH if has_batch_axis(model) else 0


def calls_of(model: Model, source: ModelSource, threads: int, waiting: int) -> int:
    """Return how many calls are computed at once: more of a model that waits for others."""
    return source.serving.replicas or (waiting if getattr(model, "waits", False) else threads)


def _time(model: Model, row: Mapping[str, np.ndarray], most: int) -> Timing:
    keep = getattr(model, "keep_shapes", None)
    if keep is not None and most:
        keep(8)  # of every size that is timed, and one that comes as it is
    rows = {name: array[:1] if array.ndim and most else array for name, array in row.items()}
    return measure(model, rows, most)


class ServedVersion:
    """What protocols see of a version: its names, its model, and the engine that computes.

    ``max_batch`` is how many rows one call may have, 0 where rows are never computed together.
    """

    def __init__(
        self,
        source: ModelSource,
        loaded: Loaded,
        settings: ServerSettings,
        statistics: Statistics,
        *,
        mark: Mark = Mark(),  # noqa: B008 - it has no state
        on_hang: Callable[[ServedVersion], object] = lambda _: None,
    ) -> None:
        serving = source.serving
        self.source = source
        self.name = source.name
        self.version = source.version
        self.labels = source.labels
        self.model = loaded.model
        self.timing = loaded.timing
        self.max_batch = loaded.max_batch
        self.statistics = statistics
        self.request_seconds = serving.timeout or settings.request_seconds
        self.isolated = bool(serving.processes)
        """Whether it computes in processes of its own."""
        self.mark = mark
        self.notes: dict[str, Any] = {}
        """What protocols have worked out of the model, by their own names."""
        self._bounds = EngineSettings(
            loaded.max_batch,
            serving.max_delay or 0.0,
            serving.replicas or settings.threads,
            settings.queue if serving.queue is None else serving.queue,
            self.request_seconds + 1,
        )
        self._waiting = serving.replicas or settings.waiting
        self._next = (settings.next_url, settings.next_hosts)
        self._on_hang = lambda: on_hang(self)
        self._onward: Onward | None = None
        waits = getattr(loaded.model, "waits", False)
        if isinstance(loaded.model, DescribedModel):
            loaded.model.changed = self.notes.clear  # what protocols know is of another one then
        self.engine = self._waiting_engine(loaded.model) if waits else self._engine(loaded)

    def _engine(self, loaded: Loaded) -> Engine:
        return self._made(loaded.model, loaded.timing, self._bounds)

    def _waiting_engine(self, model: Model) -> Engine:
        """Return an engine of a model that waits for other machines more than it computes."""
        bounds = self._bounds._replace(max_batch=0, replicas=self._waiting)
        return self._made(model, Timing(), bounds)

    def _made(self, model: Model, timing: Timing, bounds: EngineSettings) -> Engine:
        return Engine(model, timing, bounds, self.statistics, mark=self.mark, on_hang=self._on_hang)

    def engine_for(self, config: str) -> Engine | None:
        """Return what computes a request whose ``config`` sends it on; None if it does not.

        Raises InvalidMessage for a ``config`` that is wrong or names a server not on the list.
        """
        if self._onward is None:
            self._onward = self._made_onward()
        return self._onward.engine(config)

    def _made_onward(self) -> Onward:
        from gpfn.serving.onward import Bounds, Onward

        bounded = getattr(self.model, "local", None)
        if bounded is not None:
            model, bounds = bounded.model, bounded.bounds
        else:
            calls = calls_of(self.model, self.source, self._bounds.replicas, self._waiting)
            model, bounds = self.model, Bounds(self.max_batch, Semaphore(calls))
        return Onward(self.name, model, self._next, bounds, self._waiting_engine)

    async def drain(self) -> None:
        """Return when nothing waits or is being computed."""
        await self.engine.drain()
        if self._onward is not None:
            await self._onward.drain()

    @property
    def backend(self) -> str:
        """What computes."""
        return str(getattr(self.model, "backend", "python"))

    def move_to(self, model: Model) -> None:
        """Compute with another model of the same from now on."""
        self.model = model
        self.engine.replace(model)
        self._onward = None  # what runs on ends with its deadline

    def close(self, log: Log) -> None:
        """Free the model, in whichever thread, once its engine has drained."""
        self.engine.close()
        if self._onward is not None:
            self._onward.close()
        try:
            if self.source.uri:  # otherwise somebody else has opened it
                self.model.close()
                _give_back()
        except (GpfnError, OSError, RuntimeError) as error:  # nobody waits for it
            log.warning(f"{self.name} {self.version} was not closed in order: {error}")


def _give_back() -> None:
    """Have the C library give the memory back that is free: it keeps some for each thread."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # there is one in glibc
    if trim is not None:
        trim(0)
