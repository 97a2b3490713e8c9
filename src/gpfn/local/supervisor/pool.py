"""The processes of one function, and the calls that wait for one of them.

Another process is started as soon as more calls wait than processes are about to listen, as
Fn does; a start that fails is told to the call that waits for longest. Between calls a
process is frozen, and ended when its idle time is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from gpfn.local.calling import FunctionCall, ProcessAnswer
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.failure import ProcessFailure
from gpfn.local.supervisor.output import LateLines
from gpfn.local.supervisor.process import FunctionProcess
from gpfn.local.supervisor.settings import SupervisorSettings

__all__ = ["ContractProcess", "Member", "Owner", "ProcessPool"]


class ContractProcess(Protocol):
    """A process under one platform's contract."""

    deployed: Deployed
    process: FunctionProcess
    keep: bool
    init_seconds: float

    async def start(self) -> None:
        """Start it and wait until it can be called. Raises ProcessFailure."""

    async def call(self, call: FunctionCall) -> ProcessAnswer:
        """Call it once. Raises ProcessFailure and NotTaken."""

    async def end(self) -> None:
        """End it, and return when nothing of it is left."""


class Member:
    """A process of a pool: what it does, and when it does something else."""

    def __init__(self, hosted: ContractProcess) -> None:
        self.hosted = hosted
        self.state = "starting"
        self.calls = 0
        self.retired = False
        self.start_seconds = 0.0
        self.idle_since = monotonic()
        self.late: LateLines | None = None
        self._timer: asyncio.TimerHandle | None = None

    def rest(self, freeze: float | None, idle: float, over: Callable[[], object]) -> None:
        """Be idle: frozen after a while, and ``over`` is called after a longer one."""
        self.state, self.idle_since = "idle", monotonic()
        seconds, timer = idle if freeze is None else min(freeze, idle), self._timer
        if timer is not None and timer.when() > asyncio.get_running_loop().time() + seconds:
            timer.cancel()  # of a process that was frozen: its next look is far away
            timer = None
        if timer is None:
            self._look_in(seconds, freeze, idle, over)

    def _look_in(
        self, seconds: float, freeze: float | None, idle: float, over: Callable[[], object]
    ) -> None:
        """Look later. A timer is not set and cancelled with each call: it looks how late it is."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look, freeze, idle, over)

    def _look(self, freeze: float | None, idle: float, over: Callable[[], object]) -> None:
        self._timer = None
        if self.state not in ("idle", "frozen"):
            return  # the next rest sets it again
        rested = monotonic() - self.idle_since
        if rested >= idle:
            over()
            return
        left = idle - rested
        if freeze is not None and self.state == "idle":
            if rested >= freeze:
                self.state = "frozen"
                self.hosted.process.freeze()
            else:
                left = min(left, freeze - rested)
        self._look_in(left, freeze, idle, over)

    def wake(self, state: str) -> None:
        """Be idle no more."""
        if self.state == "frozen":
            self._stop_looking()  # that is far away, for the end of the idle time
        self.state = state
        self.hosted.process.thaw()

    def leave(self) -> None:
        """Be looked at no more."""
        self._stop_looking()
        self.wake("ending")

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Owner(Protocol):
    """Who has the pools, and bounds the processes of all of them."""

    def make(self, deployed: Deployed) -> ContractProcess:
        """Make a process that is not started yet. Raises ProcessFailure."""

    def has_room(self) -> bool:
        """Say whether a process more may be started; one that rests may give way for it."""

    def rested(self) -> None:
        """Hear that a process rests, which may give way for another function's."""

    def run(self, member: Member, pool: ProcessPool) -> None:
        """End a process in the background, and see to those who wait then."""


class ProcessPool:
    """The processes of one deployed function."""

    def __init__(self, settings: SupervisorSettings, owner: Owner, freeze: float) -> None:
        self._settings = settings
        self._owner = owner
        self._freeze = freeze if settings.truth else None
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._deployed: Deployed | None = None
        self._starts: set[asyncio.Task[None]] = set()
        self._starting = 0
        self.members: set[Member] = set()
        self.idle: list[Member] = []
        self.closed = False

    def take_idle(self, deployed: Deployed) -> Member | None:
        """Return a process that rests, None when there is none."""
        self._renew(deployed)
        while self.idle:
            member = self.idle[-1]  # the warmest
            if not member.hosted.process.has_died():
                return self.take(member, "busy")
            self.end(member)
        return None

    async def acquire(self, seconds: float) -> Member:
        """Wait for a process, when none rests. Raises ProcessFailure when none comes."""
        if len(self._waiting) >= self._settings.most_waiting:
            raise ProcessFailure("busy", f"{len(self._waiting)} calls wait already")
        waiter: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self.grow()
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except BaseException as error:
            self._give_back(waiter)
            if isinstance(error, TimeoutError):
                told = f"no process came free within {seconds:g} s"
                raise ProcessFailure("busy", told) from None
            raise

    def _give_back(self, waiter: asyncio.Future[Member]) -> None:
        """Forget a call that waits no more, and what it was given at the last moment."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.offer(waiter.result())

    def _renew(self, deployed: Deployed) -> None:
        """Let no process of another revision be called again."""
        known, self._deployed = self._deployed, deployed
        if known is not None and known.revision != deployed.revision:
            for member in [*self.idle]:
                self.end(member)

    def take(self, member: Member, state: str) -> Member:
        """Take a process that rests."""
        self.idle.remove(member)
        member.wake(state)
        return member

    def grow(self) -> None:
        """Start processes for the calls that wait, as many as there may be."""
        while (
            self._deployed is not None
            and self._starting < len(self._waiting)
            and len(self.members) < self._most(self._deployed)
            and self._owner.has_room()
        ):
            try:
                member = Member(self._owner.make(self._deployed))
            except ProcessFailure as failure:
                self._tell(failure)
                continue
            self.members.add(member)
            self._starting += 1
            self._starts.add(task := asyncio.create_task(self._start(member)))
            task.add_done_callback(self._starts.discard)

    def _most(self, deployed: Deployed) -> int:
        """Return how many processes there may be: a function may ask for fewer, but for one."""
        most = self._settings.most_per_function
        return most if deployed.instances is None else max(1, min(most, deployed.instances))

    async def _start(self, member: Member) -> None:
        began = monotonic()
        failed: ProcessFailure | None = None
        try:
            await member.hosted.start()
        except ProcessFailure as failure:
            failed = failure
        except OSError as error:
            failed = ProcessFailure("start failed", str(error))
        except asyncio.CancelledError:
            failed = ProcessFailure("removed", "the function was taken away")
        member.start_seconds = monotonic() - began
        self._starting -= 1
        if failed is None:
            self._watch(member)
            self.offer(member)
        else:
            self._fail(member, failed)

    def _fail(self, member: Member, failure: ProcessFailure) -> None:
        """Tell one call, the one that waits for longest, that its process did not start."""
        process = member.hosted.process
        process.kill()  # before anybody knows
        process.pipes.drain()
        failure.log, failure.start = process.log.take(), member.start_seconds
        failure.pid = process.pid
        self._tell(failure)
        self.end(member)

    def _tell(self, failure: ProcessFailure) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(failure)
                return

    def _watch(self, member: Member) -> None:
        """Notice when a process ends between calls."""
        process = member.hosted.process
        before = process.gone

        def gone() -> None:
            before()
            if member in self.idle:
                self.end(member)

        process.gone = gone

    def offer(self, member: Member) -> None:
        """Give a process to the call that waits for longest, or let it rest."""
        if self.closed or not self._is_current(member) or not member.hosted.process.running:
            self.end(member)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                member.wake("busy")
                waiter.set_result(member)
                return
        self.idle.append(member)
        member.rest(self._freeze, member.hosted.deployed.idle_timeout, lambda: self.end(member))
        self._owner.rested()

    def _is_current(self, member: Member) -> bool:
        now = None if member.retired else self._deployed
        return now is not None and now.revision == member.hosted.deployed.revision

    def retire(self) -> None:
        """End the processes that rest, and the others after their call."""
        for member in [*self.members]:
            member.retired = True
            if member in self.idle:
                self.end(member)

    def end(self, member: Member) -> None:
        """End a process, whatever it does."""
        if member in self.idle:
            self.take(member, "ending")
        if member in self.members:
            self.members.discard(member)
            member.leave()
            self._owner.run(member, self)

    def close(self) -> None:
        """End the processes that rest, the others after their call; tell those who wait."""
        self.closed, self._deployed = True, None
        for task in [*self._starts]:
            task.cancel()
        self.retire()
        while self._waiting:
            self._tell(ProcessFailure("removed", "the function was taken away"))
