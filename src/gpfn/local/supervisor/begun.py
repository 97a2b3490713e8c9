"""A call that runs on a process of a pool, until the process rests again or is ended."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from gpfn.local.calling import CallOutcome, CallStages, ProcessAnswer
from gpfn.local.supervisor.output import LateLines
from gpfn.local.supervisor.pool import Member, ProcessPool

__all__ = ["BegunCall"]

_MEMORY_SECONDS = 0.01  # how old what is told of a warm process may be


class BegunCall(NamedTuple):
    """What is known of it when it begins; ``waited`` is in seconds, ``started`` a monotonic time.

    ``call`` is its id. ``cold`` says that it is the first call of its process, ``before`` is what
    the process may write still of the call before.
    """

    pool: ProcessPool
    member: Member
    call: str
    before: LateLines | None
    cold: bool
    waited: float
    started: float

    @classmethod
    def on(cls, pool: ProcessPool, member: Member, call: str, asked: float) -> BegunCall:
        """Begin a call, asked for at a monotonic time, on a process that was taken for it."""
        now, cold = monotonic(), member.calls == 0
        member.calls += 1
        before, member.late = member.late, None
        if before is not None:
            before.end()
        return cls(pool, member, call, before, cold, now - asked, now)

    def end(
        self, answer: ProcessAnswer | None, ended: float = 0.0, *, in_init: bool = False
    ) -> CallOutcome:
        """Let the process rest, or end it without an answer; returns what came of the call.

        ``ended`` is the monotonic time of the answer, 0 for now.
        """
        pool, member, call, before, cold, waited, started = self
        hosted, process = member.hosted, member.hosted.process
        spent = (ended or monotonic()) - started
        process.pipes.look()  # what was written before an answer is of its call
        if before is not None:
            before()  # its lines are not this call's
        log = process.log.take()
        memory = process.memory(0.0 if cold else _MEMORY_SECONDS) if process.running else 0
        if answer is not None and hosted.keep:
            pool.offer(member)
        else:
            pool.end(member)
        start = min(waited, member.start_seconds) if cold else 0.0
        init = hosted.init_seconds
        stages = CallStages(waited - start, start, init, 0.0 if in_init else spent - init)
        if answer is not None and hosted.deployed.platform == "fn":
            member.late = LateLines(process.pipes, call)  # OpenWhisk says where a log ends
        return CallOutcome(answer, "", "", cold, stages, log, memory, process.pid, member.late)
