"""A function's own process: started, waited for, watched and always ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gpfn.errors import BackendTimeout, MissingExtra, SetupError

__all__ = ["Child", "HostedProcess", "ProcessHost", "command_line"]

_POLL_SECONDS = 0.0005
_GRACE_SECONDS = 1.0  # a platform gives less: Fn and OpenWhisk kill at once


class HostedProcess(Protocol):
    """A started function, whatever it runs in: a Child here, a container elsewhere."""

    started: float

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> float:
        """Wait until ``ready`` says so; returns the seconds since the start."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def log(self) -> str:
        """Return what it has written so far."""

    def memory(self) -> int:
        """Return its bytes of memory, 0 when unknown."""

    def stop(self) -> object:
        """End it and remove what it left; calling it twice is harmless."""


class Child:
    """A running process whose output is kept in a file, so that no pipe can fill up."""

    def __init__(self, command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
        """Start it; raises SetupError when it cannot be started."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._kept = ""
        self.started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            self._output.close()
            raise SetupError(f"cannot start {command[0]}: {error}") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> float:
        """Wait until ``ready`` says so; returns the seconds since the start.

        Raises SetupError when it ends before that, BackendTimeout when it takes longer.
        """
        end = self.started + seconds
        while not ready():
            if self._process.poll() is not None:
                raise SetupError(
                    f"the function's process ended with {self._code()} before it listened"
                )
            if time.perf_counter() > end:
                raise BackendTimeout(f"the function did not listen within {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - self.started

    def running(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def _code(self) -> str:
        code = self._process.returncode
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def log(self) -> str:
        """Return what it has written to stdout and stderr so far."""
        if self._output.closed:
            return self._kept
        size = os.fstat(self._output.fileno()).st_size
        # pread: the child writes through the same file description, so no seeking here
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def memory(self) -> int:
        """Return its resident memory in bytes, 0 when it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        lines = (line.split() for line in status.splitlines())
        return next((int(words[1]) * 1024 for words in lines if words[0] == "VmRSS:"), 0)

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL when it has not ended a second later."""
        if self.running():
            self._process.terminate()
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            except BaseException:  # a second Ctrl-C: the process must not outlive this one
                self._process.kill()
                raise
        self._process.wait()
        self._kept = self.log()
        self._output.close()


def command_line(name: str, *, extra: str = "") -> list[str]:
    """Return how to start a command of this environment: its script, or ``python -m gpfn``.

    Raises MissingExtra when it is of an ``extra`` that is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else None if not extra else shutil.which(name)
    if found is None and extra:
        raise MissingExtra(name, extra)
    return [found] if found else [sys.executable, "-m", name]


class ProcessHost:
    """What hosts have in common that start one process.

    ``program`` is started in the place of ``gpfn``, when it is given.
    """

    program: Sequence[str] = ()
    _child: HostedProcess | None = None

    def words(self) -> list[str]:
        """Return the words that start ``gpfn``."""
        return list(self.program) or command_line("gpfn")

    def memory(self) -> int:
        """Return the process's resident bytes."""
        return 0 if self._child is None else self._child.memory()

    def pid(self) -> int:
        """Return the id of the process; 0 before it is started."""
        return 0 if self._child is None else self._child.pid
