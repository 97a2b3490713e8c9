"""What is checked: a command, an image, or a server that runs already; and one started.

A started subject has streams, takes signals, and ends. Of a server that runs already
nothing but its replies is seen.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gpfn.certify.check import not_applicable
from gpfn.errors import SetupError

__all__ = [
    "Kind",
    "RunningServer",
    "StartedSubject",
    "Subject",
    "SubjectContainer",
    "SubjectProcess",
    "docker",
    "parse_subject",
]

Kind = Literal["command", "image", "url"]
_URLS = ("http://", "unix:")
_IMAGE = "docker:"
_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject: the words of a command, the name of an image, or an address."""

    kind: Kind
    text: str
    words: tuple[str, ...] = ()


def parse_subject(text: str) -> Subject:
    """Return what a user's words mean.

    ``http://…`` and ``unix:PATH`` run already; ``docker:NAME`` is an image; a text whose
    first word can be executed is a command, any other single word an image.

    Raises SetupError for what is none of them.
    """
    if text.startswith(_URLS):
        return Subject("url", text)
    if text.startswith(_IMAGE):
        return Subject("image", text.removeprefix(_IMAGE))
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise SetupError(f"cannot be split into words: {error}", field="subject") from None
    if not words:
        raise SetupError("expected a URL, a command or an image", field="subject")
    # this environment's own commands are found even where it is not activated
    found = shutil.which(words[0]) or shutil.which(words[0], path=os.path.dirname(sys.executable))
    if found is not None:
        return Subject("command", text, (os.path.abspath(found), *words[1:]))
    if len(words) > 1:
        raise SetupError(f"no such command: {words[0]}", field="subject")
    return Subject("image", text)


class StartedSubject(Protocol):
    """What checks may ask of a subject beside HTTP."""

    def alive(self) -> bool:
        """Say whether it has not ended."""

    def streams(self) -> tuple[str, str]:
        """Return all of stdout and of stderr so far."""

    def freeze(self) -> None:
        """Stop it, as the platform does between calls."""

    def thaw(self) -> None:
        """Let it go on."""

    def terminate(self) -> None:
        """Ask it to end."""

    def open_files(self) -> int:
        """Return how many files it has open."""

    def stop(self) -> None:
        """End it, and whatever it has started."""


class SubjectProcess:
    """A command in a session of its own, so that what it starts ends with it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it; raises SetupError when there is no such command."""
        self._streams = tuple(tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        self._scratch = tempfile.mkdtemp(prefix="gpfn-certify-")  # for what a killed one leaves
        try:
            self._popen = subprocess.Popen(
                command,
                env={**os.environ, "TMPDIR": self._scratch, **environ},
                stdin=subprocess.DEVNULL,
                stdout=self._streams[0],
                stderr=self._streams[1],
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._scratch)
            raise SetupError(f"cannot start {command[0]}: {error.strerror}") from None

    def alive(self) -> bool:
        """Say whether it has not ended."""
        return self._popen.poll() is None

    def streams(self) -> tuple[str, str]:
        """Return all of stdout and of stderr so far."""
        out, err = (_content(stream.fileno()) for stream in self._streams)
        return out, err

    def freeze(self) -> None:
        """Stop all of its processes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Send SIGTERM to the command alone, as to the first process of a container."""
        self._popen.terminate()

    def open_files(self) -> int:
        """Return how many files it has open; its children's do not count."""
        return len(os.listdir(f"/proc/{self._popen.pid}/fd"))

    def stop(self) -> None:
        """End it and everything in its session."""
        if self.alive():
            self._signal(signal.SIGCONT)
            self.terminate()
            # what does not end by itself is killed below
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._popen.wait()
        for stream in self._streams:
            stream.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(self._popen.pid, number)


class SubjectContainer:
    """A container that docker runs in the background."""

    def __init__(self, options: Sequence[str], image: str) -> None:
        """Start it; raises SetupError when docker cannot."""
        self.name = docker("run", "--detach", *options, image).strip()

    def alive(self) -> bool:
        """Say whether it has not ended."""
        return docker("inspect", "--format", "{{.State.Running}}", self.name).strip() == "true"

    def streams(self) -> tuple[str, str]:
        """Return all of stdout and of stderr so far."""
        run = _docker("logs", self.name)
        return run.stdout, run.stderr

    def freeze(self) -> None:
        """Pause it."""
        docker("pause", self.name)

    def thaw(self) -> None:
        """Let it go on."""
        docker("unpause", self.name)

    def terminate(self) -> None:
        """Send SIGTERM to its first process."""
        docker("kill", "--signal", "TERM", self.name)

    def open_files(self) -> int:
        """End the check: this is not seen from outside."""
        not_applicable("files that a container has open are not seen from outside")

    def stop(self) -> None:
        """Remove it."""
        _docker("rm", "--force", "--volumes", self.name)


class RunningServer:
    """A server that somebody else runs: it is only talked to."""

    def alive(self) -> bool:
        """Return True: nothing here can tell."""
        return True

    def streams(self) -> tuple[str, str]:
        """End the check: its streams cannot be read."""
        return not_applicable("the streams of a running server are not ours to read")

    def freeze(self) -> None:
        """End the check: it must not be stopped."""
        not_applicable("a running server is not ours to stop")

    thaw = terminate = freeze

    def open_files(self) -> int:
        """End the check: this is not seen from outside."""
        return not_applicable("files that a running server has open are not seen from outside")

    def stop(self) -> None:
        """Leave it alone."""


def docker(*words: str) -> str:
    """Run docker and return what it prints; raises SetupError with what it says instead."""
    run = _docker(*words)
    if run.returncode:
        raise SetupError(f"docker {words[0]}: {run.stderr.strip() or run.returncode}")
    return run.stdout


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *words], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        raise SetupError(
            "an image needs docker, which is not installed; give a command instead"
        ) from None


def _content(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")
