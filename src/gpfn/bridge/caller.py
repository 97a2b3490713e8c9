"""One route at work: its lanes, its circuit, and the calls that are under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from gpfn.bridge.answers import LATE, Answer, Verdict, judge, judge_batch
from gpfn.bridge.dead_letter import Cause
from gpfn.bridge.destinations import CHOSEN
from gpfn.bridge.lanes import Lanes, Task
from gpfn.bridge.reading import named
from gpfn.bridge.retrying import Circuit
from gpfn.events.http_binary import write_binary
from gpfn.events.modes import write
from gpfn.message import Message

if TYPE_CHECKING:
    from gpfn.bridge.destinations import Destination
    from gpfn.bridge.figures import RouteFigures
    from gpfn.bridge.spec import Mode, RouteSpec
    from gpfn.limits import Limits
    from gpfn.log import Log

__all__ = ["Judged", "RouteCaller", "message_of"]

Judged: TypeAlias = "Callable[[RouteCaller, Task, Verdict], None]"
"""Told what became of each call: the task's lane is still held by it."""


class RouteCaller:
    """A route that calls its function as soon as order, room and circuit allow it."""

    def __init__(
        self,
        spec: RouteSpec,
        destination: Destination,
        limits: Limits,
        figures: RouteFigures,
        judged: Judged,
        *,
        log: Log | None = None,
    ) -> None:
        self.spec = spec
        self.destination = destination
        self.lanes = Lanes(spec.order)
        self.circuit = Circuit(*spec.circuit)
        self.figures = figures
        self.active = 0
        """Calls that are under way."""
        self._limits = limits
        self._judged = judged
        self._log = log
        self._batch_since = 0.0

    def start_calls(self, now: float) -> None:
        """Begin every call that may begin now."""
        ready = self.lanes.ready(now)
        if not ready:
            return
        room = self.circuit.room(now, self.spec.in_flight - self.active)
        while room > 0:
            tasks = self._take_batch(now) if self.spec.batch else self._take_one(now)
            if not tasks:
                return
            self._begin(tasks, now)
            room = min(room - 1, self.circuit.room(now, self.spec.in_flight - self.active))

    def _take_one(self, now: float) -> list[Task]:
        task = self._next(now)
        return [] if task is None else [task]

    def _next(self, now: float) -> Task | None:
        """Return the next task whose time is not up, and that waits for no other of its event."""
        while (task := self.lanes.take()) is not None:
            if task.work.parked is not None:
                task.work.parked.append((self.lanes, task))
                continue
            if task.late_at > now:
                return task
            task.work.busy += 1
            self._judged(self, task, LATE)
        return None

    def _take_batch(self, now: float) -> list[Task]:
        """Return what is called together: as many as there may be, or what is there in time."""
        batch = self.spec.batch
        assert batch is not None, "asked by who has one"  # noqa: S101
        ready = self.lanes.ready(now)
        if ready < batch.events and ready:
            if not self._batch_since:
                self._batch_since = now
            if now < self._batch_since + batch.wait:
                return []
        self._batch_since = 0.0
        tasks: list[Task] = []
        while len(tasks) < batch.events and (task := self._next(now)) is not None:
            tasks.append(task)
        return tasks

    def next_time(self) -> float | None:
        """Return when something may begin that may not begin now; None when nothing waits."""
        due = self.lanes.next_due()
        times = [] if due is None else [due]
        if self.lanes.ready(0.0):
            if self.circuit.is_open:
                times.append(self.circuit.until)
            elif self._batch_since and self.spec.batch:
                times.append(self._batch_since + self.spec.batch.wait)
        return min(times, default=None)

    def _begin(self, tasks: list[Task], now: float) -> None:
        self.active += 1
        self.circuit.begun()
        spec, event = self.spec, tasks[0].event
        for task in tasks:
            task.started = now
            task.work.busy += 1
        if spec.batch is None:
            message = message_of(tasks[0], spec.send)
        else:
            message = write([task.event for task in tasks], "batch")
        self.destination.call(
            message, event, spec.timeout, lambda answer: self._answered(tasks, answer)
        )

    def cause(self, task: Task, verdict: Verdict, outcome: str) -> Cause:
        """Return what a task's dead letter says of its last call."""
        outcome = "no-reply" if verdict.kind == "dead" and verdict.code == 200 else outcome
        shown, reason = self.destination.shown, verdict.reason
        cause = Cause(outcome, reason, shown, verdict.code, verdict.data, task.attempts)
        return named(cause, task.event)

    def _answered(self, tasks: Sequence[Task], answer: Answer) -> None:
        self.active -= 1
        now = monotonic()
        if self.spec.batch is None:
            verdicts = [judge(answer, self._limits)]
        else:
            verdicts = judge_batch(answer, [task.event for task in tasks], self._limits)
        if self.spec.call == CHOSEN:  # one address that is away says nothing of the others
            verdicts = [verdict._replace(counts=True) for verdict in verdicts]
        else:
            self._tell_circuit(verdicts[0], now)
        self.figures.seconds.observe(now - tasks[0].started)
        for task, verdict in zip(tasks, verdicts, strict=True):
            self._judged(self, task, verdict)

    def _tell_circuit(self, verdict: Verdict, now: float) -> None:
        where = f"route {self.spec.name}: {self.destination.shown}"
        if not verdict.down:
            if self.circuit.answered() and self._log is not None:
                self._log.info(f"{where} answers again")
        elif self.circuit.failed(now, refused=not verdict.counts) and self._log is not None:
            # events wait then and become no dead letters: nothing else would say why
            self._log.warning(f"{where} is left alone for now: {verdict.reason}")


def message_of(task: Task, mode: Mode) -> Message:
    """Return the message that carries a task's event; ``same`` is as its record had it.

    The value of a structured record goes on as the bytes that it was.
    """
    if mode != "binary":
        if task.is_structured:
            return Message(task.record.value or b"", task.content_type)
        if mode == "structured":
            return write((task.event,), "structured")
    return write_binary(task.event)
