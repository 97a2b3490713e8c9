"""What a call costs: seconds and memory by stage, and memory that is given back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Stages", "give_back_memory"]


class Stages:
    """The stages of a call and their seconds, in the order they first ran."""

    __slots__ = ("_since", "_stage", "memory", "seconds", "trace")

    probe: Callable[[], int] | None = None
    """Returns the process's resident bytes; a runner that logs memory by stage sets it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}
        self.trace = ""
        self._stage = ""
        self._since = 0.0

    def begin(self, stage: str) -> None:
        """End the running stage and begin another; the empty name begins none."""
        now = perf_counter()
        ended = self._stage
        if ended:
            self.seconds[ended] = self.seconds.get(ended, 0.0) + now - self._since
            probe = Stages.probe
            if probe is not None:
                self.memory[ended] = probe()
        self._stage = stage
        self._since = now

    def end(self) -> None:
        """End the running stage, if one runs."""
        if self._stage:
            self.begin("")

    def listed(self) -> tuple[tuple[str, float], ...]:
        """End the running stage, and return what Reply.stages holds."""
        self.end()
        return tuple(self.seconds.items())


def give_back_memory(error: BaseException | None) -> None:
    """Return freed memory to the system, which the C library would keep: 0.2 ms.

    Decoded JSON takes up to fifty times its text. What failed is kept by its trace's frames.
    """
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            _clear(trace.tb_frame)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    import ctypes  # 2 ms, once, and only for large calls

    trim = getattr(ctypes.pythonapi, "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)


def _clear(frame: FrameType | None) -> None:
    """Let a frame's variables go, and those of its callers, which a trace may not show."""
    while frame is not None:
        with suppress(RuntimeError):  # one that still runs
            frame.clear()
        frame = frame.f_back
