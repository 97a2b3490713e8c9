"""Where the time of a call goes."""

from __future__ import annotations

import time

__all__ = ["Stages"]


class Stages:
    """The stages of a call and their seconds, in the order they first ran."""

    __slots__ = ("_since", "_stage", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
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
            self._stage = ""

    def listed(self) -> tuple[tuple[str, float], ...]:
        """Return what Reply.stages holds."""
        self.end()
        return tuple(self.seconds.items())
