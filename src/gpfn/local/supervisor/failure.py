"""Why a process gave no answer, on its way from where it is known to the caller."""

from __future__ import annotations

from gpfn.local.calling import CallFailure, ProcessAnswer
from gpfn.local.supervisor.output import LogLine

__all__ = ["NotTaken", "ProcessFailure", "too_many_processes", "too_much_memory"]


class ProcessFailure(Exception):
    """A failure by its name in the seam; ``detail`` says what happened.

    ``answer`` is what a process said that refused /init; ``log`` and ``start`` are of a process
    that could not be called: what it wrote, and the seconds that it had.
    """

    def __init__(
        self, failure: CallFailure, detail: str, answer: ProcessAnswer | None = None
    ) -> None:
        super().__init__(detail)
        self.failure: CallFailure = failure
        self.detail = detail
        self.answer = answer
        self.log: tuple[LogLine, ...] = ()
        self.start = 0.0
        self.pid = 0


class NotTaken(Exception):
    """A warm process did not take the call, so another one can be asked."""


def too_much_memory(limit: int) -> ProcessFailure:
    """Return the failure of a process that had more than ``limit`` bytes."""
    return ProcessFailure("memory", f"it was ended for more than its {limit >> 20} MB of memory")


def too_many_processes(limit: int) -> ProcessFailure:
    """Return the failure of a tree with more than ``limit`` processes and threads."""
    told = f"it was ended for more than {limit} processes and threads; here they cannot be refused"
    return ProcessFailure("crashed", told)
