"""One call as the runners see it: its circumstances go in, a reply comes out.

Where the time of a call goes, and its memory.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.message import Message

__all__ = ["Call", "Opened", "Reply", "Stages"]


class Call(NamedTuple):
    """The circumstances of one call, as the platform told them."""

    id: str = ""
    deadline: Deadline = NEVER
    platform: str = "call"


class Reply(NamedTuple):
    """The answer, with the status that HTTP would show.

    ``stages`` are (name, seconds) in the order they ran; ``error`` is set when the
    message holds an error document, ``failures`` hold what failed within a batch.
    ``memory`` is (name, resident bytes after the stage), where the runner asks for it.
    """

    message: Message
    status: int = 200
    stages: tuple[tuple[str, float], ...] = ()
    error: BaseException | None = None
    failures: tuple[BaseException, ...] = ()
    memory: tuple[tuple[str, int], ...] = ()

    def release(self) -> None:
        """Let go of the frames that its errors went through, once they are logged.

        One of those frames may hold this reply, and most of them the call's body: a cycle
        that would stay until the garbage collector comes by.
        """
        if self.error is None and not self.failures:
            return  # as nearly every call
        waiting: list[BaseException | None] = [self.error, *self.failures]
        seen: set[int] = set()
        while waiting:
            error = waiting.pop()
            if error is None or id(error) in seen:
                continue
            seen.add(id(error))
            error.with_traceback(None)  # also where a class does not let attributes be set
            waiting += (error.__cause__, error.__context__)
            if isinstance(error, BaseExceptionGroup):
                waiting += error.exceptions


class Opened(NamedTuple):
    """How long opening took; ``uri`` is the model that was found, empty without one.

    ``loaded_bytes`` is resident memory between loading and warm-up, where the runner asks.
    """

    load_seconds: float = 0.0
    warmup_seconds: float = 0.0
    uri: str = ""
    loaded_bytes: int = 0


class Stages:
    """The stages of a call and their seconds, in the order they first ran."""

    __slots__ = ("_since", "_stage", "memory", "seconds")

    probe: Callable[[], int] | None = None
    """Returns the process's resident bytes; a runner that logs memory by stage sets it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}
        self._stage = ""
        self._since = 0.0

    def begin(self, stage: str) -> None:
        """End the running stage and begin another."""
        self.end()
        self._stage = stage
        self._since = time.perf_counter()

    def end(self) -> None:
        """End the running stage."""
        if self._stage:
            spent = time.perf_counter() - self._since
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
            probe = Stages.probe
            if probe is not None:
                self.memory[self._stage] = probe()
            self._stage = ""

    def listed(self) -> tuple[tuple[str, float], ...]:
        """Return what Reply.stages holds."""
        self.end()
        return tuple(self.seconds.items())
