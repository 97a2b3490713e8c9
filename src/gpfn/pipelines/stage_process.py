"""One stage as a process of its own: what it writes, how it ended, and that it always ends.

It leads a group, so that Ctrl-C reaches this process alone, which ends the stages in order.
Should this process be killed, the system kills the group: the stage holds one end of a pipe,
and the other end is closed by any death.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread
from typing import IO

from gpfn.errors import SetupError
from gpfn.hosts.child import command_line
from gpfn.hosts.log import records
from gpfn.pipelines.placement import Launch

__all__ = ["StageProcess"]

_KEPT_LINES = 50
_LONGEST_LINE = 8192
_LISTENING = "listening on "
_LISTENS = re.compile(rf"\d\S*Z info serve \S+ {_LISTENING}\S")
_ERROR = re.compile(r"\S+Z error \S+ \S+ (?:call=\S+ )?(?:trace=\S+ )?(?P<text>.*\S)")
_OTHERS = ("GP_MODEL", "GP_INPUTS", "GP_OUTPUTS", "GP_CACHE")
"""Settings of one server, which would be taken for those of every stage."""


class StageProcess:
    """A stage that has been started. ``tell`` gets each line that it writes, in another thread.

    ``listens`` is whether it has said that it has its address; one that is ``quiet`` does not say.
    """

    def __init__(self, launch: Launch, tell: Callable[[str], object]) -> None:
        """Start it; raises SetupError when it cannot be started."""
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.listens = False
        environ = _environ(launch.settings)
        self.quiet = environ.get("GPFN_LOG", "") == "quiet"
        self._error = ""
        self._tell = tell
        theirs, self._life = os.pipe()
        try:
            self._process = _started(launch, environ, theirs)
            _bind(theirs, self._process.pid)
        except OSError as error:
            os.close(self._life)
            told = f"cannot be started: {error.strerror}"
            raise SetupError(told, field=f"stages.{launch.name}") from error
        finally:
            os.close(theirs)
        output = self._process.stdout
        assert output is not None  # noqa: S101 - it was asked for
        self._reader = Thread(target=self._read, args=(output,), name=launch.name, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group too."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether it has not ended."""
        return self._process.poll() is None

    def reason(self) -> str:
        """Say how it ended, with the last error that it told of, or else its last line."""
        self._reader.join(1.0)  # what it wrote last may still be in the pipe
        code = self._process.returncode
        how = f"it was ended by {_signal(-code)}" if code < 0 else f"it ended with exit code {code}"
        last = "".join([*self.last_lines][-1:]) if code > 0 else ""
        told = (self._error or last) if code else ""  # with 0 it was told to end
        return f"{how}: {told}" if told else how

    def end(self) -> None:
        """Ask it to end, once it has answered what it was asked."""
        if self.running():
            self._process.terminate()

    def kill(self) -> None:
        """End it, and all that it has started, at once; and forget it when it has ended."""
        with suppress(ProcessLookupError):  # nobody of them is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for raw in iter(lambda: output.readline(_LONGEST_LINE), b""):
                line = raw.decode(errors="replace").rstrip("\r\n")
                self.last_lines.append(line)
                self._error = _error_in(line) or self._error
                self.listens = self.listens or _says_listening(line)
                self._tell(line)


def _started(launch: Launch, environ: Mapping[str, str], life: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command_line("gpfn"), *launch.words()],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        pass_fds=[life],
    )


def _environ(settings: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    return {"PYTHONUNBUFFERED": "1", **ours, **settings}


def _bind(life: int, group: int) -> None:
    """Have the system kill a group once the other end of the pipe, which is ours, is closed.

    What is set here is the pipe's and not this process's: it stays for those who inherited it.
    """
    with suppress(OSError, AttributeError):  # a system without it: only an orderly end ends all
        fcntl.fcntl(life, fcntl.F_SETOWN, -group)
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _error_in(line: str) -> str:
    """Return what a line of a log says is wrong, "" for any other line."""
    found = _ERROR.match(line)
    if found:
        return found["text"]
    told = _messages(line, "error")
    return told[0] if told else ""


def _says_listening(line: str) -> bool:
    """Say whether a line of a log tells that the server has its address."""
    if _LISTENING not in line:
        return False
    return bool(_LISTENS.search(line)) or any(
        told.startswith(_LISTENING) for told in _messages(line, "info")
    )


def _messages(line: str, level: str) -> list[str]:
    return [str(each.get("message", "")) for each in records(line) if each.get("level") == level]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
