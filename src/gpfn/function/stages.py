"""Where the time of a call goes, and its memory."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stages"]


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
