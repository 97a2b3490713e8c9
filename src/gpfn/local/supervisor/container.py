"""A function's image as a container: another kind of process, for ``--engine docker``.

The engine's command line runs in the foreground as the process that the supervisor knows: what
the container writes comes through it, and it ends when the container does. What the command
line cannot pass on, standing still and being killed, is told to the engine, one order after
the other and never waited for by the loop. Every container has a label with this process's id,
so that those of a supervisor that was killed are found and removed by the next one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.hosts.container import LABEL, container_memory, sandbox_flags
from gpfn.hosts.engine import ContainerEngine, explain
from gpfn.hosts.fn import call_id, fn_variables
from gpfn.hosts.image import answers_http
from gpfn.local.calling import CallFailure
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.action_process import ActionProcess
from gpfn.local.supervisor.failure import ProcessFailure, too_much_memory
from gpfn.local.supervisor.fn_process import FnProcess
from gpfn.local.supervisor.leftovers import is_running
from gpfn.local.supervisor.process import FunctionProcess
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.surroundings import (
    ACTION_RULES,
    FN_RULES,
    PlatformRules,
    Surroundings,
    surround,
)

__all__ = ["ContainedAction", "ContainedFn", "ContainedProcess", "remove_left_containers"]

_OWNER = "gpfn.dev"
_ENGINE_SECONDS = 10.0  # what an engine may take before a container's own time begins
_ORDER_SECONDS = 30.0
_ENDING_SECONDS = 2.0
_ENGINE_FAILED = "exit code 125"  # docker run, podman run: the container was not even started
_KILLED = ("exit code 137", "SIGKILL")
_OWN_NAMES = ("PATH", "HOME", "USER", "TMPDIR", "XDG_", "DOCKER_", "CONTAINER", "SSH_", "LD_")
_LISTENER = "/tmp/iofs/lsnr.sock"  # noqa: S108 - where Fn has it
_PORT = 8080


class ContainedProcess(FunctionProcess):
    """The engine's command line, and the container that it runs."""

    def __init__(self, plain: FunctionProcess, engine: str, memory: int) -> None:
        """``plain`` is what would be held by this machine; ``memory`` is in MB."""
        super().__init__(plain.host_name, plain.held, plain.log)
        self.name = f"gpfn-dev-{os.getpid()}-{plain.host_name}"
        self._engine = engine
        self._limit = memory << 20
        self._first = 0  # the container's first process
        self._removed = False
        self._order: asyncio.Task[None] | None = None

    def run(self, flags: list[str], image: str, environ: Mapping[str, str]) -> None:
        """Start the container. Raises ProcessFailure when the engine cannot be started."""
        labels = (f"--label={LABEL}", f"--label={_OWNER}={os.getpid()}")
        words = [self._engine, "run", "--rm", "--pull=never", f"--name={self.name}", *labels]
        variables, handed = _variables(environ)
        command = [*words, *flags, *variables, image]
        self.start(command, Path("/"), {**os.environ, **handed})

    def freeze(self) -> None:
        """Let the container stand still until thaw()."""
        self.frozen = True
        self._give("pause")

    def thaw(self) -> None:
        """Let it go on; what is sent to it meanwhile waits."""
        if self.frozen:
            self.frozen = False
            self._give("unpause")

    def kill(self, why: ProcessFailure | None = None) -> None:
        """Kill the container; it is not waited for."""
        self._ended = self._ended or why
        if self.pid and not self._removed:
            self._removed = True
            self._give("rm", "--force", "--volumes")

    def memory(self, age: float = 0.0) -> int:  # noqa: ARG002
        """Return the bytes that the container's cgroup counts; 0 when they cannot be read."""
        return container_memory(self._first) if self._first else 0

    def failure(self, otherwise: CallFailure, detail: str) -> ProcessFailure:
        """Return why it ended: the kernel kills what reaches its memory, with no other word."""
        if self._ended is None and self.code() in _KILLED and not self._removed:
            return too_much_memory(self._limit)
        if self._ended is None and self.code() == _ENGINE_FAILED:
            lines = "\n".join(text for _, _, text in self.log.lines)
            return ProcessFailure("start failed", explain(self._engine, lines))
        return super().failure(otherwise, detail)

    async def ends_within(self, seconds: float) -> bool:
        """Say whether it ends: an engine learns later than the socket that a container has."""
        return await super().ends_within(max(seconds, _ENDING_SECONDS) if seconds else 0.0)

    async def end(self) -> None:
        """Remove the container, and return when nothing of it is left."""
        self.kill()
        while (order := self._order) is not None and not order.done():
            await asyncio.shield(order)
        await super().end()

    async def look(self) -> None:
        """Learn which process of this machine is the container's first one."""
        text = await self.ask("inspect", "--format", "{{.State.Pid}}")
        self._first = int(text) if text.isdigit() else 0

    async def ask(self, *words: str, after: tuple[str, ...] = ()) -> str:
        """Return what the engine answers about this container; empty when it refuses."""
        process = await asyncio.create_subprocess_exec(
            self._engine,
            *words,
            self.name,
            *after,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_ORDER_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return ""
        return output.decode(errors="replace").strip()

    def _give(self, *words: str) -> None:
        """Order something of the engine, after what was ordered before."""
        before = self._order

        async def obey() -> None:
            if before is not None:
                await asyncio.wait([before])
            with suppress(OSError):  # the engine's program is gone, and its containers with it
                await self.ask(*words)

        self._order = asyncio.get_running_loop().create_task(obey())


def _variables(environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the engine's flags for variables, and what its own environment has to hand on.

    A value is not on a command line, which others on this machine can read, but for names that
    would mean something to the engine itself.
    """
    flags, handed = [], {}
    for name, value in environ.items():
        if name.startswith(_OWN_NAMES):
            flags.append(f"--env={name}={value}")
        else:
            flags.append(f"--env={name}")
            handed[name] = value
    return flags, handed


def _contained(
    deployed: Deployed, rules: PlatformRules, engine: str
) -> tuple[Surroundings, ContainedProcess]:
    """Make a folder and a process for a container; its sandbox is the engine's."""
    around = surround(deployed, rules, truth=False)
    process = ContainedProcess(around.process, engine, deployed.memory)
    return around._replace(process=process, environ={}), process


class ContainedFn(FnProcess):
    """An image under Fn's contract."""

    def __init__(self, deployed: Deployed, settings: SupervisorSettings) -> None:
        around, self._container = _contained(deployed, FN_RULES, settings.engine)
        super().__init__(deployed, settings, (), around)
        app = deployed.environ.get("FN_APP_ID") or call_id()
        variables = fn_variables(_LISTENER, deployed.memory, deployed.key, app)
        self._environ = {**deployed.environ, **variables}
        self._flags = sandbox_flags("fn", deployed.memory, around.folder / "iofs")

    def _launch(self) -> float:
        """Start the container; returns the seconds that it has to listen."""
        self._container.run(self._flags, self.deployed.image, self._environ)
        settings = self._settings
        seconds = settings.start_seconds if settings.truth else settings.lenient_start_seconds
        return seconds + _ENGINE_SECONDS

    async def start(self) -> None:
        """Start it and wait for its socket. Raises ProcessFailure."""
        await super().start()
        await self._container.look()


class ContainedAction(ActionProcess):
    """An image under OpenWhisk's contract, reached by a port that the engine publishes."""

    def __init__(self, deployed: Deployed, settings: SupervisorSettings) -> None:
        around, self._container = _contained(deployed, ACTION_RULES, settings.engine)
        super().__init__(deployed, settings, (), around)
        self._flags = sandbox_flags("openwhisk", deployed.memory)
        self._published = False

    def _launch(self) -> None:
        """Start the container."""
        flags = [*self._flags, f"--publish=127.0.0.1::{_PORT}"]
        self._container.run(flags, self.deployed.image, self.deployed.environ)

    async def _listens(self) -> bool:
        """Say whether it answers: the engine's proxy takes connections before it listens."""
        if not self._published:
            lines = (await self._container.ask("port", after=(f"{_PORT}/tcp",))).split()
            number = lines[0].rpartition(":")[2] if lines else ""
            if not number.isdigit():
                return False
            self._port.number, self._published = int(number), True
            await self._container.look()
        return await asyncio.to_thread(answers_http, self._port.number)


def remove_left_containers(engine: str) -> None:
    """Remove the containers of supervisors that run no more; it asks the engine, and waits."""
    with suppress(SetupError, OSError):  # an engine that has gone is told by each call of an image
        _remove_left(engine)


def _remove_left(engine: str) -> None:
    found = ContainerEngine(engine)
    form = f'{{{{.ID}}}} {{{{.Label "{_OWNER}"}}}}'
    listed = found.run("ps", "--all", "--filter", f"label={_OWNER}", "--format", form, check=False)
    left = [name for name, pid in _owned(listed.stdout) if not is_running(pid)]
    if left:
        found.run("rm", "--force", "--volumes", *left, check=False)


def _owned(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        name, _, pid = line.partition(" ")
        if name and pid.isdigit():
            yield name, int(pid)
