"""The seam of a call: what a platform sends to a function, and what came of it.

The platforms' own rules (statuses, messages, documents) are those of their folders; here a
failure has a name, and each platform has a table from that name to its reply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from gpfn.local.deployed import Deployed

__all__ = [
    "CallFailure",
    "CallOutcome",
    "CallStages",
    "FunctionCall",
    "FunctionCaller",
    "ProcessAnswer",
    "RestOfLog",
]

CallFailure = Literal[
    "",
    "busy",  # it was never started: the queue is full, or no process came free in time
    "removed",  # it was never started: the function was removed while the call waited
    "start failed",  # the process ended, or could not be started, before it listened
    "start timed out",  # it did not listen in time
    "init failed",  # OpenWhisk's /init said no; ``answer`` is what it said
    "init timed out",
    "timed out",  # it was ended in the middle of the call, before anybody was told
    "crashed",  # the process ended in the middle of the call
    "broken",  # it answered with what is not HTTP, or not what the platform takes
    "memory",  # it was ended for having more memory than it may
]
"""Why there is no answer of the function's own."""


class FunctionCall(NamedTuple):
    """One call. Of Fn: the request as it goes down the socket; of OpenWhisk: ``/run``'s body.

    ``seconds`` is the time that the function has, ``wait_seconds`` how long the call may wait
    for a process. ``environ`` is OpenWhisk's context of ``/init``. With ``renew`` the body is what
    that returns when it is sent: a deadline in it counts from then, not from when it was queued.
    """

    id: str
    body: bytes
    seconds: float
    wait_seconds: float
    environ: tuple[tuple[str, str], ...] = ()
    renew: Callable[[], bytes] | None = None


class ProcessAnswer(NamedTuple):
    """What the function's process answered, as it came; names of headers in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class CallStages(NamedTuple):
    """Where the time of a call went, in seconds; what did not happen is 0.

    ``wait`` for a process to come free, ``start`` of a process until it listens, ``init`` of
    an action, ``run`` the call itself.
    """

    wait: float = 0.0
    start: float = 0.0
    init: float = 0.0
    run: float = 0.0


RestOfLog = Callable[[], tuple[tuple[float, str, str], ...]]
"""What a process has written since its answer and is of that call still; it may be asked again."""


class CallOutcome(NamedTuple):
    """What came of a call.

    ``log`` is what the process wrote during it, line by line: seconds since the epoch, the
    stream (``stdout`` or ``stderr``), the text. ``detail`` says of a failure what happened, for
    the log and the console. ``memory`` is the process's resident bytes after the call. ``rest``
    is of a process that writes of a call when it has answered: nobody has waited for that.
    """

    answer: ProcessAnswer | None
    failure: CallFailure = ""
    detail: str = ""
    cold: bool = False
    stages: CallStages = CallStages()
    log: tuple[tuple[float, str, str], ...] = ()
    memory: int = 0
    pid: int = 0
    rest: RestOfLog | None = None


class FunctionCaller(Protocol):
    """Who calls functions: the supervisor, and in tests whatever stands in for it."""

    def begin(
        self,
        deployed: Deployed,
        call: FunctionCall,
        answered: Callable[[ProcessAnswer], object],
        done: Callable[[CallOutcome], object],
    ) -> bool:
        """Call a function once without a task, when a process of it rests and can be asked at once.

        Returns whether it does, else it is for `call`. ``answered`` hears the answer, if there is
        one, and ``done`` what came of it, in the loop's next turn.
        """

    async def call(self, deployed: Deployed, call: FunctionCall) -> CallOutcome:
        """Call a function once; never raises what the function did."""

    def forget(self, key: str) -> None:
        """End the processes of a function that exists no more, or is another one now."""

    async def close(self) -> None:
        """End all processes."""
