"""The bridge at work: a source's records go through routes to functions, their replies to a sink.

Everything happens in one event loop, in callbacks: an event's way is short, and a task of the
loop for each would cost more than the rest of it. A record is finished when every route that
takes it is done with it and every reply or dead letter of it is confirmed; then the source is
told, and never before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.bridge.caller import RouteCaller
from gpfn.bridge.delivering import Delivering
from gpfn.bridge.figures import Figures
from gpfn.bridge.intake import Intake
from gpfn.bridge.reading import Reader
from gpfn.bridge.remembering import Memory
from gpfn.bridge.replies import outgoing_reply
from gpfn.errors import GpfnError

if TYPE_CHECKING:
    from gpfn.bridge.answers import Verdict
    from gpfn.bridge.destinations import Destination
    from gpfn.bridge.intake import Work
    from gpfn.bridge.lanes import Task
    from gpfn.bridge.record import Partition, Record
    from gpfn.bridge.seam import Sink, Source
    from gpfn.bridge.spec import BridgeSpec
    from gpfn.limits import Limits
    from gpfn.log import Log

__all__ = ["Bridge"]

_FLUSH_SECONDS = 10.0


class Bridge:
    """A source, routes and a sink; see :class:`gpfn.bridge.seam.Listener` for what it is told."""

    def __init__(
        self,
        spec: BridgeSpec,
        source: Source,
        sink: Sink,
        destinations: Sequence[Destination],
        *,
        limits: Limits,
        log: Log,
    ) -> None:
        self.spec = spec
        self.figures = Figures([route.name for route in spec.routes])
        self.intake = Intake(spec.delivery)
        self.callers = [
            RouteCaller(route, destination, limits, figures, self._judged, log=log)
            for route, destination, figures in zip(
                spec.routes, destinations, self.figures.routes, strict=True
            )
        ]
        self._source = source
        self._sink = sink
        self._log = log
        self._memory = Memory(spec.delivery.remember) if spec.delivery.remember else None
        self._reader = Reader(spec.delivery, limits, f"/{spec.source.kind}", self._memory)
        self._delivering = Delivering(
            sink, spec.dead_letter, self.figures, log, settled=self._settled, failed=self.failed
        )
        self._over = asyncio.Event()
        self._idle = asyncio.Event()
        """Set when something settled while somebody waits for that."""
        self._draining: set[Partition] = set()
        self._error: GpfnError | None = None
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._turn_due = False
        self._running = self.begun = False

    async def run(self) -> None:
        """Work until the source has ended, :meth:`stop` is called, or nothing goes on any more.

        Raises SetupError or BackendError when it cannot begin, or had to stop.
        """
        try:
            await self._sink.start(self.spec.written)
            await self._source.start(self)
            self._running = self.begun = True
            watch = asyncio.create_task(self.figures.follow_lag(self._source, self._log))
            try:
                await self._over.wait()
            finally:
                watch.cancel()
                await self._drain([*self.intake.partitions])
                await self.figures.look_at_lag(self._source, self._log)
        finally:
            self._running = False
            await self._source.stop()
            await self._sink.stop(_FLUSH_SECONDS)
            for caller in self.callers:
                caller.destination.close()
            self._wake_at(None)
        if self._error is not None:
            raise self._error

    @property
    def ready(self) -> bool:
        """Whether it works: its source answers, and what it sent last is not waiting to be."""
        return self._running and self.figures.lag_known and not self._delivering.stuck

    def stop(self) -> None:
        """Take nothing more, let calls end, write down what is done, and leave."""
        self._over.set()

    # What a source tells.

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """These partitions are ours."""
        for partition in partitions:
            self.intake.assign(partition)
            self._draining.discard(partition)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Let the calls of these partitions end, and forget the rest."""
        await self._drain(partitions)
        self._release(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget everything of these partitions."""
        self._release(partitions)

    def received(self, records: Sequence[Record]) -> None:
        """Take records in, and call what may be called."""
        self.figures.add("received", len(records))
        for record in records:
            work = self.intake.take(record)
            if work is not None:
                self._accept(work)
        if full := self.intake.to_pause():
            self._source.pause(full)
        self._turn_soon()

    def ended(self) -> None:
        """Finish what is there, and then end."""
        self._ended = True
        self._look_for_end()

    def failed(self, error: GpfnError) -> None:
        """End, and say why."""
        if self._error is None:
            self._error = error
        self._over.set()

    # What becomes of a record.

    def _accept(self, work: Work) -> None:
        found = self._reader.tasks(work, self.callers)
        if isinstance(found, list):
            work.left = len(found)
            if self._memory is not None:
                self._memory.begin(work, found[0][1].event)
            for caller, task in found:
                work.tasks.append(task)
                caller.lanes.add(task)
        elif found is None:
            self.figures.count("duplicate")
            self._settled(work)
        else:
            self._delivering.bury(work, found)

    def _judged(self, caller: RouteCaller, task: Task, verdict: Verdict) -> None:
        work = task.work
        if verdict.counts:
            task.attempts += 1
        if work.dropped:
            self._leave(caller, task)
        elif verdict.kind == "retry" and task.attempts < caller.spec.retry.attempts:
            self._try_again(caller, task, verdict)
        elif verdict.kind == "done":
            self._send_on(caller, task, verdict)
            self._leave(caller, task)
        elif verdict.kind == "late":
            self.figures.count("late")
            self._leave(caller, task)
        else:
            outcome = "exhausted" if verdict.kind == "retry" else "refused"
            self._delivering.bury(work, caller.cause(task, verdict, outcome))
            self._leave(caller, task)

    def _leave(self, caller: RouteCaller, task: Task) -> None:
        """A task is done with, but for what is being sent."""
        caller.lanes.finish(task)
        work = task.work
        work.left -= 1
        work.busy -= 1
        self._settled(work)

    def _try_again(self, caller: RouteCaller, task: Task, verdict: Verdict) -> None:
        work = task.work
        work.busy -= 1
        if verdict.counts:
            self.figures.add("retries")
            self._source.tried(task.record, task.attempts)
        wait = caller.spec.retry.wait(max(task.attempts, 1), verdict.wait)
        caller.lanes.again(task, monotonic() + wait)
        self._settled(work)

    def _send_on(self, caller: RouteCaller, task: Task, verdict: Verdict) -> None:
        task.work.answered = True
        if not caller.spec.reply or not verdict.replies:
            self.figures.count("done")
            return
        cause, outcome = partial(caller.cause, task, verdict, "no-reply"), "replied"
        for reply in verdict.replies:
            outgoing = outgoing_reply(caller.spec, task, reply)
            self._delivering.reply(task.work, outgoing, cause, outcome)
            outcome = ""  # one event has one outcome, however many replies

    def _settled(self, work: Work) -> None:
        """Something of a work ended: perhaps all of it."""
        if not work.left and not work.dropped and self.intake.finish(work):
            work.tasks.clear()
            self._source.done(work.record)
            if self._memory is not None:
                self._leave_out(self._memory.ended(work))
        if self._draining:
            self._idle.set()
        self._turn_soon()

    def _leave_out(self, works: Sequence[Work]) -> None:
        """Their event was dealt with in another record."""
        for work in works:
            self.figures.count("duplicate")
            work.left = 0
            self._settled(work)
            work.dropped = True  # its tasks are still in their lanes

    def _turn_soon(self) -> None:
        """Begin calls at the end of this turn of the loop: once, whatever happened in it."""
        if not self._turn_due:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if self.intake.paused and (room := self.intake.to_resume()):
            self._source.resume(room)
        if self._over.is_set():
            return
        now = monotonic()
        for caller in self.callers:
            caller.start_calls(now)
        self._wake_at(min(filter(None, [c.next_time() for c in self.callers]), default=None))
        self._look_for_end()

    def _wake_at(self, time: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if time is not None:
            wait = max(time - monotonic(), 0.0005)
            self._timer = asyncio.get_running_loop().call_later(wait, self._turn_soon)

    # How it lets go.

    def _look_for_end(self) -> None:
        if self._ended and not self.intake.counted():
            self._over.set()

    async def _drain(self, partitions: Sequence[Partition]) -> None:
        """Drop what was not begun, and wait until what was begun ends, or the time is up."""
        self._draining.update(partitions)
        until = monotonic() + self.spec.delivery.drain
        while True:
            works = [work for part in partitions for work in self.intake.unfinished(part)]
            for work in works:
                work.dropped = work.dropped or not work.busy
            if not any(work.busy for work in works) or monotonic() >= until:
                break
            self._idle.clear()
            try:
                async with asyncio.timeout(until - monotonic()):
                    await self._idle.wait()
            except TimeoutError:
                self._log.warning(f"calls did not end within {self.spec.delivery.drain:g} s")
        self._draining.difference_update(partitions)

    def _release(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            for work in self.intake.release(partition):
                work.dropped = True
                if self._memory is not None:
                    self._memory.ended(work)
        for caller in self.callers:
            caller.lanes.forget()
        self._turn_soon()
