"""One running container: started in a platform's sandbox, paused, killed, always removed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from gpfn.errors import BackendTimeout, SetupError
from gpfn.hosts.engine import ContainerEngine
from gpfn.platforms.table import find_platform

__all__ = [
    "LABEL",
    "Container",
    "ContainerState",
    "container_memory",
    "read_cgroup",
    "sandbox_flags",
]

LABEL = "gpfn.run"
"""The label of every container that is started here."""

_POLL_SECONDS = 0.002
_SIGKILLED = 137
_MEMORY_NOW = ("memory.current", "memory/memory.usage_in_bytes")


def sandbox_flags(platform: str, memory: int, folder: Path | None = None) -> list[str]:
    """Return the engine's flags for the sandbox in which a platform runs its image.

    ``memory`` is in MB. ``folder`` is where Fn wants the socket to appear; the other
    platforms have none. Raises SetupError for a platform without images.
    """
    row = find_platform(platform, "image")
    flags = row.image.sandbox if row.image else ()
    return [flag.format(memory=memory, folder=folder) for flag in flags]


def read_cgroup(pid: int, name: str) -> str:
    """Read one file of a process's cgroup, of version 2, or of 1 as CONTROLLER/FILE.

    Empty when there is no such process, or it cannot be read.
    """
    controller, slash, file = name.rpartition("/")
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if slash and controller in controllers.split(","):
                return Path(f"/sys/fs/cgroup/{controller}{path}/{file}").read_text().strip()
            if not slash and not controllers:
                return Path(f"/sys/fs/cgroup{path}/{name}").read_text().strip()
    except OSError:
        return ""
    return ""


def container_memory(pid: int) -> int:
    """Return the bytes that the cgroup of a container's process counts now; 0 when unknown."""
    found = (read_cgroup(pid, name) for name in _MEMORY_NOW)
    return next((int(text) for text in found if text.isdigit()), 0)


class ContainerState:
    """Whether a container runs, and else how it ended, as the engine tells it."""

    def __init__(self, document: dict[str, object]) -> None:
        self.running = bool(document.get("Running"))
        self.exit_code = int(str(document.get("ExitCode", 0)))
        self.out_of_memory = bool(document.get("OOMKilled"))
        self.health = str((document.get("Health") or {}).get("Status", ""))  # type: ignore[attr-defined]

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it; the kernel sends that too when its memory is full."""
        return not self.running and (self.out_of_memory or self.exit_code == _SIGKILLED)

    def __str__(self) -> str:
        if self.running:
            return "it runs"
        if self.out_of_memory:
            return f"out of memory, the kernel killed it (exit code {self.exit_code})"
        return f"exit code {self.exit_code}{' (SIGKILL)' if self.killed else ''}"


class Container:
    """A container of an image under some flags; ``stop()`` removes it."""

    def __init__(
        self,
        engine: ContainerEngine,
        image: str,
        flags: Sequence[str],
        arguments: Sequence[str] = (),
    ) -> None:
        """Start it; raises SetupError when the engine cannot."""
        self._engine = engine
        self._kept = ""
        self.image = image
        self.started = time.perf_counter()
        name = f"gpfn-{uuid.uuid4().hex}"
        try:
            command = ("run", "--detach", f"--name={name}", f"--label={LABEL}", *flags, image)
            self.id = engine.run(*command, *arguments).stdout.strip().splitlines()[-1]
        except SetupError:  # engines create it before they find that it cannot be started
            engine.run("rm", "--force", "--volumes", name, check=False)
            raise

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> float:
        """Wait until ``ready`` says so; returns the seconds since the start.

        Raises SetupError when the container ends before that, with its last line of log,
        and BackendTimeout when it takes longer.
        """
        end, looked = self.started + seconds, time.perf_counter()
        while not ready():
            now = time.perf_counter()
            if now - looked > 0.1:  # asking the engine costs more than asking the socket
                looked = now
                state = self.state()
                if not state.running:
                    raise SetupError(f"{self.image}: {state}{self._last_words()}")
            if now > end:
                raise BackendTimeout(f"{self.image} did not listen within {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - self.started

    def _last_words(self) -> str:
        lines = self.log().strip().splitlines()
        return f"; its last line: {lines[-1][:300]}" if lines else ""

    def state(self) -> ContainerState:
        """Return its state."""
        form = "{{json .State}}"
        return ContainerState(
            json.loads(self._engine.run("inspect", "--format", form, self.id).stdout)
        )

    def wait_for_end(self, seconds: float) -> ContainerState:
        """Return its state as soon as it has ended, or after ``seconds``."""
        end = time.perf_counter() + seconds
        while (state := self.state()).running and time.perf_counter() < end:
            time.sleep(_POLL_SECONDS)
        return state

    def log(self) -> str:
        """Return what it has written to stdout and stderr."""
        if not self.id:
            return self._kept
        done = self._engine.run("logs", self.id, check=False)
        return done.stdout + done.stderr

    @property
    def pid(self) -> int:
        """The id of its first process on this machine; 0 when it does not run."""
        form = "{{.State.Pid}}"
        return int(self._engine.run("inspect", "--format", form, self.id).stdout)

    def address(self) -> str:
        """Return its address on the engine's network."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self._engine.run("inspect", "--format", form, self.id).stdout.strip()

    def published(self, port: int) -> int:
        """Return the port of this machine that one of its ports is published as."""
        lines = self._engine.run("port", self.id, f"{port}/tcp", check=False).stdout.split()
        return int(lines[0].rpartition(":")[2]) if lines else 0

    def memory(self, peak: bool = False) -> int:
        """Return the bytes that its cgroup counts, now or at the most; 0 when unknown."""
        if not peak:
            return container_memory(self.pid)
        names = ("memory.peak", "memory/memory.max_usage_in_bytes")
        return next((int(text) for text in map(self._cgroup, names) if text.isdigit()), 0)

    def threads(self) -> int:
        """Return how many processes and threads its cgroup counts; 0 when unknown."""
        names = ("pids.current", "pids/pids.current")
        return next((int(text) for text in map(self._cgroup, names) if text.isdigit()), 0)

    def _cgroup(self, name: str) -> str:
        return read_cgroup(self.pid, name)

    def signal(self, what: str) -> None:
        """Pause, unpause or kill it; ``kill`` is SIGKILL, as Fn and OpenWhisk do."""
        self._engine.run(what, self.id)

    def stop(self, grace: int = 0) -> ContainerState | None:
        """Remove it, at once or after SIGTERM and ``grace`` seconds; returns how it ended then."""
        if not self.id:
            return None
        ended = None
        if grace:
            self._engine.run("stop", f"--time={grace}", self.id, check=False)
            ended = self.state()
        self._kept = self.log()
        self._engine.run("rm", "--force", "--volumes", self.id, check=False)
        self.id = ""
        return ended
