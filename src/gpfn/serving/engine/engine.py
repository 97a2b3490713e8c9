"""The queue before a model: what is computed together, where, and when.

Requests that come in one turn of the event loop are computed together where that is faster
and the model has a batch axis. What is expected to take up to a millisecond is computed on
the loop itself; anything longer by as many threads as the model has replicas, and what comes
while they are busy waits, and is then computed together as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, NoReturn

from gpfn.deadline import NEVER
from gpfn.errors import DeadlineExceeded, GpfnError, Overloaded
from gpfn.http.loop.pool import WorkPool
from gpfn.scope import Took
from gpfn.serving.engine.awaiting import AnswerWait
from gpfn.serving.engine.batch import Computation
from gpfn.serving.engine.inference import Form
from gpfn.serving.engine.making import EngineSettings, Mark
from gpfn.serving.engine.timing import INLINE_SECONDS, Pace, Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpfn.models.model import Model
    from gpfn.serving.engine.inference import Inference
    from gpfn.serving.statistics import Statistics

__all__ = ["Engine"]

_TURN_SECONDS = 0.004
"""How long one model computes on the loop before others have a turn."""
_LOOK_SECONDS = 0.05
"""How often waiting requests are looked through for those whose time is up."""


class Engine:
    """Computes the requests to one version of a model. All methods are for the loop's thread."""

    def __init__(
        self,
        model: Model,
        timing: Timing,
        settings: EngineSettings,
        statistics: Statistics,
        *,
        mark: Mark = Mark(),  # noqa: B008 - it has no state
        on_hang: Callable[[], object] = lambda: None,
    ) -> None:
        """``mark`` notes what is being computed.

        ``on_hang`` is called when a call has taken longer than anybody waits.
        """
        self._model = model
        self._timing = timing
        self._settings = settings
        self._statistics = statistics
        self._mark = mark
        self._on_hang = on_hang
        self._most = settings.max_batch
        self._form = Form(model.inputs, model.outputs if self._most else ())  # a remote one waits
        self._rows_inline = timing.rows_inline()
        self._waiting: deque[Inference] = deque()
        self._running: set[Computation] = set()
        self._computing = 0  # requests among those
        self._places = settings.replicas + settings.queue
        self._pool = WorkPool(settings.replicas, settings.queue, patient=not timing.curve)
        # what cannot be computed together need not wait here for a thread
        self._together = timing.rows_together(settings.max_batch)
        self._calls = settings.replicas + (0 if self._together > 1 else settings.queue)
        self._pace = Pace(timing)
        self._prepared = hasattr(model, "keep_shapes")
        self._waits = bool(getattr(model, "waits", False))
        self._answers = AnswerWait()
        self._armed = False
        self._watching = False
        self._drained: asyncio.Event | None = None

    @property
    def load(self) -> int:
        """How many requests wait or are computed."""
        return len(self._waiting) + self._computing

    def submit(self, inference: Inference) -> None:
        """Have a request computed; it is told its results or its error.

        Raises InvalidTensor when it cannot be one of a batch, Overloaded when too many wait.
        """
        waiting = self._waiting
        if len(waiting) + self._computing >= self._places:
            self._refuse()
        inference.began = monotonic()
        inference.rows = 0
        if self._most:
            try:
                inference.fit(self._form)
            except GpfnError:
                self._statistics.failed("caller", 1)
                raise
        waiting.append(inference)
        if not self._armed or len(waiting) == self._most:
            self._arm()

    def _refuse(self) -> NoReturn:
        self._statistics.failed("overloaded", 1)
        raise Overloaded(f"{self._settings.queue} requests wait for this model already")

    async def drain(self) -> None:
        """Return when nothing waits or is being computed."""
        if self.load:
            self._drained = asyncio.Event()
            await self._drained.wait()

    def close(self) -> None:
        """Let its threads end: nothing is submitted any more; from any thread."""
        self._pool.close()

    def replace(self, model: Model) -> None:
        """Compute with another one of the same from now on, and never on the loop."""
        self._model, self._pace.inline = model, False
        self._pool.close()
        self._pool = WorkPool(self._settings.replicas, self._settings.queue, patient=False)
        self._running, self._computing = set(), 0  # what runs on is told, and waited for no more

    # one turn

    def _arm(self) -> None:
        """Have what has come computed at the end of this turn, or after the delay."""
        self._armed = True
        loop = asyncio.get_running_loop()
        if self._settings.max_delay and len(self._waiting) < self._most:
            loop.call_later(self._settings.max_delay, self._turn)
        else:
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Compute what has come, as much as one turn may take."""
        self._armed = False
        until = monotonic() + _TURN_SECONDS
        while self._waiting:
            batch = self._next_batch()
            if not batch:
                break
            computation = Computation(self._model, batch, self._most, self._size_for(batch))
            if self._is_quick(batch):
                self._compute_here(computation)
                if monotonic() >= until:  # others have come meanwhile
                    self._armed = True
                    asyncio.get_running_loop().call_soon(self._turn)
                    break
            elif len(self._running) < self._calls:
                self._compute_in_thread(computation)
            else:
                self._waiting.extendleft(reversed(batch))
                break
        if (self._waiting or self._running) and not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._watch)
        self._statistics.set("inflight", self.load)
        self._tell_if_drained()

    def _next_batch(self) -> list[Inference]:
        """Take the oldest request, and those that can be computed with it."""
        waiting, first = self._waiting, self._first()
        if first is None:
            return []
        batch = [first]
        if self._together < 2:
            return batch
        rows, key, others, now = first.rows, first.key, [], monotonic()
        most = self._together
        while waiting and rows < most:
            inference = waiting.popleft()
            if inference.key != key or rows + inference.rows > most:
                others.append(inference)
            elif (inference.deadline.at > now and not inference.caller.gone) or self._is_due(
                inference
            ):
                rows += inference.rows
                batch.append(inference)
        waiting.extendleft(reversed(others))
        return batch

    def _first(self) -> Inference | None:
        waiting = self._waiting
        while waiting:
            inference = waiting.popleft()
            if self._is_due(inference):
                return inference
        return None

    def _is_due(self, inference: Inference) -> bool:
        """Say whether a request is to be computed; one that is too late or left is not."""
        if not inference.waited_for:
            self._statistics.failed("cancelled", 1)
            inference.done = None
            return False
        if inference.deadline.at <= monotonic():
            self._late(inference)
            return False
        return True

    def _late(self, inference: Inference) -> None:
        self._statistics.failed("deadline", 1)
        inference.fail(DeadlineExceeded("the time was up before it was computed"))

    def _size_for(self, batch: list[Inference]) -> int:
        """Return how many rows a call is filled up to: a size that is prepared, if there is."""
        if len(batch) == 1 or not self._prepared:
            return 0
        return self._timing.size_for(sum([inference.rows for inference in batch]))

    def _is_quick(self, batch: list[Inference]) -> bool:
        if not self._pace.inline:
            return False
        rows = sum([inference.rows for inference in batch])
        if self._form.sizes_known and self._most:  # no row has more than the one that was timed
            return rows <= self._rows_inline
        elements = sum([sum([a.size for a in one.inputs.values()]) for one in batch])
        return self._timing.seconds(rows, elements) <= INLINE_SECONDS

    def _compute_here(self, computation: Computation) -> None:
        began = perf_counter()
        self._mark.row[0] = self._mark.slot
        computation()
        self._mark.row[0] = 0
        took = perf_counter() - began
        self._pace.note(took)
        self._finish(computation, took)

    def _compute_in_thread(self, computation: Computation) -> None:
        running = self._running
        running.add(computation)
        computation.due = monotonic() + self._settings.hang_seconds
        self._computing += len(computation.batch)
        took, mark = 0.0, self._mark
        if self._waits:
            computation.begin_scope()

        def work() -> None:
            nonlocal took
            began = perf_counter()
            place = mark.enter()
            computation.take_this_thread()
            computation()
            mark.leave(place)
            took = perf_counter() - began

        def end(_: object, error: BaseException | None) -> None:
            running.discard(computation)
            if running is self._running:
                self._computing -= len(computation.batch)
            computation.fail(error)
            self._finish(computation, took)
            self._turn()

        done = self._answers.once_answered(computation, self._pool, end, alone=self.load == 1)
        self._pool.submit(work, NEVER, done)

    def _finish(self, computation: Computation, took: float) -> None:
        """Tell everyone who waits, and count."""
        if computation.refused and not any(one.error for one in computation.batch):
            self._together = 1  # it computes rows, but no batch of them
        self._statistics.computed(computation.batch, took)
        for inference in computation.batch:
            timings = inference.caller.timings
            if timings is not None:
                timings.append(Took("compute", took))
            inference.settle()

    # time

    def _watch(self) -> None:
        """Tell those whose time is up, those being computed as well."""
        self._watching = False
        now = monotonic()
        late = [one for one in self._waiting if one.deadline.at <= now]
        for inference in late:
            self._waiting.remove(inference)
            self._late(inference)
        for computation in [*self._running]:
            if computation.due <= now:
                computation.due = inf
                self._on_hang()
            for inference in computation.batch:
                if inference.done is not None and inference.deadline.at <= now:
                    self._late(inference)
            computation.end_unless_wanted()
        if self._waiting or self._running:
            self._watching = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._watch)

    def _tell_if_drained(self) -> None:
        if self._drained is not None and not self.load:
            self._drained.set()
