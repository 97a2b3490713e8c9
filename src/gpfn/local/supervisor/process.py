"""One process of a function: started, listened to, stopped between calls, and ended whole."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from gpfn.local.calling import CallFailure
from gpfn.local.supervisor.failure import ProcessFailure, too_much_memory
from gpfn.local.supervisor.output import OutputPipes, ProcessLog
from gpfn.local.supervisor.sandbox import Confinement, confined_words, find_means
from gpfn.local.supervisor.tree import PAGE, descendants, find_members, has_ended
from gpfn.local.supervisor.watcher import Watcher

__all__ = ["FunctionProcess"]

_END_SECONDS = 5.0
_LOOK_SECONDS = 0.001
_LONGEST_VARIABLE = 32 * PAGE  # MAX_ARG_STRLEN of Linux, with the name and an end


class FunctionProcess:
    """A process in a session of its own, with everything that it starts."""

    def __init__(self, host_name: str, held: Confinement, log: ProcessLog) -> None:
        """``held.folder`` is the process's own, and removed with it."""
        self.host_name = host_name
        self.held = held
        self.log = log
        self.pid = 0
        self.began = monotonic()
        self.exited = asyncio.Event()
        self.heard = asyncio.Event()
        self.pipes = OutputPipes(log, self.heard.set)
        self.frozen = False
        self._watcher = Watcher(held, self.kill)
        self._process: subprocess.Popen[bytes] | None = None
        self._watched = self._statm = -1
        self._memory, self._measured = 0, -1.0
        self._ended: ProcessFailure | None = None
        self.gone: Callable[[], object] = lambda: None

    def start(self, words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
        """Start it. Raises ProcessFailure when that cannot be done."""
        command = confined_words(words, find_means(), self.held)
        stdout, stderr = self.pipes.open()
        try:
            self._process = process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.pipes.close()
            detail = f"cannot start {words[0]}: {_wrong_variable(environ) or error}"
            raise ProcessFailure("start failed", detail) from error
        self.pid = process.pid
        self.pipes.started()
        self._watcher.begin(self.pid)
        self._watched = os.pidfd_open(self.pid)
        self.pipes.waits.register(self._watched, select.POLLIN)
        self._statm = os.open(f"/proc/{self.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._watched, self._gone)

    def _gone(self) -> None:
        """It has ended, whoever did that."""
        asyncio.get_running_loop().remove_reader(self._watched)
        self.pipes.waits.unregister(self._watched)
        os.close(self._watched)
        os.close(self._statm)
        self._watched = self._statm = -1
        self._watcher.stop()
        if self._process is not None:
            self._process.wait()
        self.pipes.drain()
        self.exited.set()
        self.heard.set()
        self.gone()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and not self.exited.is_set()

    def has_died(self) -> bool:
        """Say whether it has ended, also when the loop has not heard of it yet.

        What it has written is read with the same look.
        """
        return self._watched in self.pipes.look() or self._watched < 0

    async def ends_within(self, seconds: float) -> bool:
        """Say whether it ends, which is waited for."""
        with suppress(TimeoutError):  # it goes on, as is told below
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        return not self.running

    def code(self) -> str:
        """Say how it ended."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "no exit code"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def failure(self, otherwise: CallFailure, detail: str) -> ProcessFailure:
        """Return why it ended: what it was ended for, or else what is given."""
        group = self.held.cgroup
        if self._ended is None and group is not None and group.exhausted():
            return too_much_memory(self.held.memory)
        last = self.log.last()
        return self._ended or ProcessFailure(otherwise, f"{detail}: {last}" if last else detail)

    def memory(self, age: float = 0.0) -> int:
        """Return its resident bytes, as they were ``age`` seconds ago at most."""
        if self._statm < 0:
            return 0
        now = monotonic()
        if now - self._measured >= age:
            self._measured = now
            try:
                self._memory = int(os.pread(self._statm, 128, 0).split()[1]) * PAGE
            except (OSError, IndexError):  # it has just ended
                self._memory = 0
        return self._memory

    def freeze(self) -> None:
        """Let it stand still until thaw()."""
        self.frozen = True
        self._signal(signal.SIGSTOP)
        self._watcher.stop()

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)
            self._watcher.begin(self.pid)

    def _signal(self, number: int) -> None:
        if self.running:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.pid, number)

    def kill(self, why: ProcessFailure | None = None) -> None:
        """Kill it with everything that it has started; it is not waited for.

        ``why`` is what its call is told.
        """
        self._ended = self._ended or why
        if self.pid:
            self._signal(signal.SIGKILL)
            for number in self._members():
                with suppress(ProcessLookupError, PermissionError):  # ended, or another user's
                    os.kill(number, signal.SIGKILL)

    def _members(self) -> set[int]:
        group = self.held.cgroup
        if group is not None:
            group.kill()
            return set()
        return find_members(self.pid, self.host_name)

    async def end(self) -> None:
        """Kill it, and return when nothing of it runs and nothing of it is left."""
        if self.pid:
            tree = descendants(self.pid)
            self.kill()
            await self._wait_for(tree)
        self.pipes.drain()
        self.pipes.close()
        await self._remove()

    async def _wait_for(self, tree: list[int]) -> None:
        late = monotonic() + _END_SECONDS
        await self.ends_within(_END_SECONDS)  # in a system call that nothing ends it cannot act
        while monotonic() < late and not self._is_over(tree):
            self.kill()
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_over(self, tree: list[int]) -> bool:
        group = self.held.cgroup
        others = group.members() if group is not None else find_members(self.pid, self.host_name)
        return all(has_ended(number) for number in others.union(tree))

    async def _remove(self) -> None:
        """Remove its group and its folder."""
        group, late = self.held.cgroup, monotonic() + _END_SECONDS
        while group is not None and not group.remove() and monotonic() < late:
            await asyncio.sleep(_LOOK_SECONDS)
        shutil.rmtree(self.held.folder, ignore_errors=True)


def _wrong_variable(environ: Mapping[str, str]) -> str:
    """Say which variable no process can be given, "" when all of them can be."""
    for name, value in environ.items():
        told = f"the variable {name[:60]!r} of the configuration"
        if "=" in name or "\0" in name + value:
            return f"{told} has a name or a value that no process can be given"
        if len(f"{name}={value}".encode(errors="surrogateescape")) >= _LONGEST_VARIABLE:
            return f"{told} is over {_LONGEST_VARIABLE} bytes, which no process can be given"
    return ""
