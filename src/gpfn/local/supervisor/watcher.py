"""Looks at what a function's processes have, where the kernel cannot hold them to it.

Without a control group there is no limit for a tree of processes: RLIMIT_NPROC counts all
processes of a user, RLIMIT_AS counts addresses and not memory. So their resident memory and
their threads are counted while they run, and a function that has too much is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gpfn.local.supervisor.failure import ProcessFailure, too_many_processes, too_much_memory
from gpfn.local.supervisor.sandbox import Confinement
from gpfn.local.supervisor.tree import descendants, resident, threads

__all__ = ["Watcher"]

_LOOK_SECONDS = 0.05


class Watcher:
    """Looks at one process and all that descend from it, until it is stopped."""

    def __init__(self, held: Confinement, kill: Callable[[ProcessFailure], object]) -> None:
        """``kill`` ends all of it, and is told why."""
        self._held = held
        self._kill = kill
        self._pid = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, pid: int) -> None:
        """Begin to look, where there is something that nothing else holds."""
        self._pid = pid
        if self._held.memory and self._held.cgroup is None and self._timer is None:
            self._later()

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        held, tree = self._held, descendants(self._pid)
        if sum(map(resident, tree)) > held.memory:
            self._kill(too_much_memory(held.memory))
        elif sum(map(threads, tree)) > held.processes:
            self._kill(too_many_processes(held.processes))
        else:
            self._later()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
