"""The supervisor: a pool of processes for each function, and calls that are given to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, NamedTuple

from gpfn.errors import GpfnError
from gpfn.hosts.child import command_line
from gpfn.local.calling import CallOutcome, CallStages, FunctionCall, ProcessAnswer
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.action_process import ActionProcess
from gpfn.local.supervisor.begun import BegunCall
from gpfn.local.supervisor.container import ContainedAction, ContainedFn, remove_left_containers
from gpfn.local.supervisor.failure import NotTaken, ProcessFailure
from gpfn.local.supervisor.fn_process import FnProcess
from gpfn.local.supervisor.leftovers import remove_leftovers
from gpfn.local.supervisor.pool import ContractProcess, Member, ProcessPool
from gpfn.local.supervisor.sandbox import find_means
from gpfn.local.supervisor.settings import SupervisorSettings

__all__ = ["ProcessFacts", "Supervisor"]

_IN_INIT = ("init failed", "init timed out")
_TRIES = 3
"""How many processes a call is given to that none of them took."""


class ProcessFacts(NamedTuple):
    """A process that runs now. ``state`` is starting, idle, frozen, busy or ending."""

    key: str
    name: str
    revision: str
    pid: int
    state: str
    calls: int
    age: float
    memory: int


class Supervisor:
    """Calls functions (a :class:`gpfn.local.calling.FunctionCaller`).

    Everything of it is for one event loop's thread. A process is started by the first call,
    another one when calls wait, and it ends when it was idle for the function's idle timeout,
    when a deployed function has another revision, and with the supervisor.
    """

    def __init__(self, settings: SupervisorSettings | None = None) -> None:
        self.settings = settings = settings or SupervisorSettings()
        self._words: Sequence[str] = settings.program or command_line("gpfn")
        self._pools: dict[str, ProcessPool] = {}
        self._ending: dict[Member, asyncio.Task[None]] = {}
        self._leaving: set[ProcessPool] = set()  # forgotten, with calls that still run
        self._prepared: asyncio.Task[None] | None = None
        self._starved = False  # whether a call waits because there are enough processes
        self._closed = False
        self._failing: set[asyncio.Task[None]] = set()

    async def call(self, deployed: Deployed, call: FunctionCall) -> CallOutcome:
        """Call a function once; never raises what the function did.

        A caller that is cancelled ends the function's process when the call runs already.
        """
        began = monotonic()
        try:
            if not (prepared := self.prepare()).done():
                await asyncio.shield(prepared)
            prepared.result()  # what has failed is raised for every call
            for _ in range(_TRIES):
                pool = self._pool(deployed)
                member = pool.take_idle(deployed) or await pool.acquire(call.wait_seconds)
                begun = BegunCall.on(pool, member, call.id, began)
                outcome = await self._perform(begun, member.hosted.call(call))
                if outcome is not None:
                    return outcome
        except ProcessFailure as failure:
            return _unstarted(failure, monotonic() - began)
        return CallOutcome(None, "broken", f"{_TRIES} processes one after the other took no call")

    def prepare(self) -> asyncio.Task[None]:
        """Find out what this machine can do, once and in a thread: it starts programs.

        The first call does so too, and would wait for it.
        """
        if self._prepared is None:
            looking = asyncio.to_thread(_look_round, self.settings.engine)
            self._prepared = asyncio.get_running_loop().create_task(looking)
        return self._prepared

    def _pool(self, deployed: Deployed) -> ProcessPool:
        if self._closed:
            raise ProcessFailure("start failed", "the supervisor is closed")
        pool = self._pools.get(deployed.key)
        if pool is None:
            fn = deployed.platform == "fn"
            settings = self.settings
            freeze = settings.freeze_fn_seconds if fn else settings.freeze_action_seconds
            pool = self._pools[deployed.key] = ProcessPool(settings, self, freeze)
        return pool

    def begin(
        self,
        deployed: Deployed,
        call: FunctionCall,
        answered: Callable[[ProcessAnswer], object],
        done: Callable[[CallOutcome], object],
    ) -> bool:
        """Call a function of Fn without a task, when a process rests whose connection is kept.

        Returns whether it does. ``answered`` hears the answer; ``done`` hears what came of it when
        the process rests again, and a failure when the process has ended. That is one turn of
        the loop later, for it writes when a turn is over: the caller has its answer by then.
        """
        began, pool = monotonic(), self._pools.get(deployed.key)
        member = None if pool is None or self._closed else pool.take_idle(deployed)
        if pool is None or member is None:
            return False
        hosted = member.hosted
        if not (isinstance(hosted, FnProcess) and hosted.ready):
            pool.offer(member)
            return False
        begun = BegunCall.on(pool, member, call.id, began)

        def then(result: ProcessAnswer | GpfnError | TimeoutError) -> None:
            if isinstance(result, ProcessAnswer):
                hosted.answered(result)
                loop = asyncio.get_running_loop()
                loop.call_soon(_end, begun, result, monotonic(), done)
                answered(result)
            else:
                self._fail_later(begun, hosted.refused(result, call.seconds), done)

        hosted.begin(call, then)
        return True

    def _fail_later(
        self,
        begun: BegunCall,
        refused: Coroutine[Any, Any, ProcessAnswer],
        done: Callable[[CallOutcome], object],
    ) -> None:
        async def fail() -> None:
            outcome = await self._perform(begun, refused)
            assert outcome is not None, "only a connection that is there is asked at once"  # noqa: S101
            done(outcome)

        task = asyncio.get_running_loop().create_task(fail())
        self._failing.add(task)
        task.add_done_callback(self._failing.discard)

    async def _perform(
        self, begun: BegunCall, answering: Coroutine[Any, Any, ProcessAnswer]
    ) -> CallOutcome | None:
        """Make a call on a process; None when it did not take it, and was ended for that."""
        member, process = begun.member, begun.member.hosted.process
        try:
            answer = await answering
        except NotTaken as error:
            if not begun.cold:
                begun.end(None)
                return None
            failed = process.failure("start failed", str(error))
        except ProcessFailure as failure:
            failed = failure
        except BaseException:
            begun.end(None)
            raise
        else:
            return begun.end(answer)
        outcome = begun.end(None, in_init=failed.failure in _IN_INIT)
        await self._over(member)
        return outcome._replace(answer=failed.answer, failure=failed.failure, detail=failed.detail)

    async def _over(self, member: Member) -> None:
        """Wait until a process has ended: a caller is told of a failure when nothing runs on."""
        task = self._ending.get(member)
        if task is not None:
            await asyncio.shield(task)

    def make(self, deployed: Deployed) -> ContractProcess:
        """Make a process that is not started yet. Raises ProcessFailure."""
        fn, settings = deployed.platform == "fn", self.settings
        try:
            if settings.engine and deployed.image and deployed.file is None:
                return (ContainedFn if fn else ContainedAction)(deployed, settings)
            return (FnProcess if fn else ActionProcess)(deployed, settings, self._words)
        except OSError as error:
            raise ProcessFailure("start failed", f"no place for a process: {error}") from error

    def has_room(self) -> bool:
        """Say whether a process more may be started; one that rests may give way for it."""
        pools = [*self._pools.values(), *self._leaving]
        count = sum(len(pool.members) for pool in pools) + len(self._ending)
        if count < self.settings.most_processes:
            return True
        if not self._ending:
            resting = [(member, pool) for pool in pools for member in pool.idle]
            if resting:
                member, pool = min(resting, key=lambda pair: pair[0].idle_since)
                pool.end(member)
        self._starved = True
        return False

    def rested(self) -> None:
        """Hear that a process rests, which may give way for another function's."""
        if self._starved:
            asyncio.get_running_loop().call_soon(self._grow)

    def _grow(self) -> None:
        self._starved = False
        for pool in [*self._pools.values()]:
            pool.grow()

    def run(self, member: Member, pool: ProcessPool) -> None:
        """End a process in the background, and see to those who wait then."""
        task = asyncio.get_running_loop().create_task(member.hosted.end())
        self._ending[member] = task

        def ended(_: asyncio.Task[None]) -> None:
            del self._ending[member]
            if pool.closed and not pool.members:
                self._leaving.discard(pool)
            self._grow()

        task.add_done_callback(ended)

    def renew(self, key: str) -> None:
        """End a function's processes, each after its call; calls that wait get new ones."""
        if key in self._pools:
            self._pools[key].retire()

    def forget(self, key: str) -> None:
        """End the processes of a function once their call is over; calls that wait are told."""
        pool = self._pools.pop(key, None)
        if pool is not None:
            pool.close()
            if pool.members:
                self._leaving.add(pool)

    def processes(self) -> tuple[ProcessFacts, ...]:
        """Return the processes that run now, for the console."""
        now = monotonic()
        members = [(key, member) for key, pool in self._pools.items() for member in [*pool.members]]
        return tuple(_facts(key, member, now) for key, member in members)

    async def close(self) -> None:
        """End all processes; nothing of them is left when it returns."""
        self._closed = True
        pools = [*self._pools.values(), *self._leaving]
        for key in [*self._pools]:
            self.forget(key)
        for pool in pools:
            for member in [*pool.members]:
                pool.end(member)
        while self._ending or self._failing:
            tasks = [*self._ending.values(), *self._failing]
            await asyncio.gather(*tasks, return_exceptions=True)


def _end(
    begun: BegunCall,
    answer: ProcessAnswer,
    ended: float,
    done: Callable[[CallOutcome], object],
) -> None:
    done(begun.end(answer, ended))


def _look_round(engine: str) -> None:
    find_means()
    remove_leftovers()
    if engine:
        remove_left_containers(engine)


def _unstarted(failure: ProcessFailure, waited: float) -> CallOutcome:
    """Return what came of a call that no process took."""
    start = min(waited, failure.start)
    stages = CallStages(wait=waited - start, start=start)
    cold = failure.start > 0
    return CallOutcome(
        failure.answer, failure.failure, failure.detail, cold, stages, failure.log, pid=failure.pid
    )


def _facts(key: str, member: Member, now: float) -> ProcessFacts:
    deployed, process = member.hosted.deployed, member.hosted.process
    age, memory = now - process.began, process.memory() if process.pid else 0
    name, revision = deployed.name, deployed.revision
    return ProcessFacts(key, name, revision, process.pid, member.state, member.calls, age, memory)
