"""What an engine is made with: its bounds, and what notes the calls that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import MutableSequence

__all__ = ["EngineSettings", "Mark"]


class EngineSettings(NamedTuple):
    """The bounds of an engine.

    ``max_batch`` rows are computed in one call, 0 when the model's rows may not be computed
    together; ``max_delay`` seconds a request may wait for others; ``replicas`` calls run at
    once; ``queue`` requests may wait. A call that takes ``hang_seconds`` hangs.
    """

    max_batch: int = 0
    max_delay: float = 0.0
    replicas: int = 1
    queue: int = 512
    hang_seconds: float = 61.0


class Mark:
    """Notes what is being computed, for who looks after this process; here it is noted nowhere.

    ``row[0]`` is ``slot`` while the loop computes, and 0 otherwise.
    """

    slot = 0

    def __init__(self) -> None:
        self.row: MutableSequence[int] | memoryview[int] = [0]

    def enter(self) -> int:
        """Note that this thread computes; returns what `leave` takes."""
        return 0

    def leave(self, place: int) -> None:
        """Note that it does not any more."""
