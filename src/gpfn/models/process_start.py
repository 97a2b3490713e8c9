"""Starting the child that computes for a `gpfn.models.process.ProcessModel`, and ending it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gpfn import errors
from gpfn.errors import GpfnError, ModelFailed, SetupError
from gpfn.models.process_link import Link
from gpfn.models.process_memory import SharedMemory
from gpfn.tensors.spec import TensorSpec

__all__ = ["ChildTrace", "ModelChild", "error_of", "specs_of"]

_CODE = (
    "import sys; number, sys.path[:] = int(sys.argv[1]), sys.argv[2:];"
    "from gpfn.models.process_worker import work; work(number)"
)
_END_SECONDS = 0.5
"""A process that has closed its socket is ending, or no use any more."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ChildTrace(Exception):
    """What a model raised in its process, with the trace there: for the log."""


class ModelChild:
    """A process that opens one model and computes with it, and the link to it.

    It is a fresh interpreter with this one's ``sys.path``. What the model prints goes where
    it would go from here; nothing else is inherited but a socket.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        """Raise SetupError when there is no process, descriptor or memory to be had."""
        self.began = time.monotonic()
        self.ready = False
        self._ending = threading.Lock()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise SetupError(f"cannot start a process: {error.strerror}") from error
        memory = SharedMemory.make()
        self.link = Link(ours, memory)
        self._life = -1
        with theirs:
            try:
                self._popen = self._start(theirs.fileno())
                self._hand_over(ours, memory)
            except OSError as error:
                self._free()
                raise SetupError(f"cannot start a process: {error.strerror}") from error
        self.link.send(order)

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, str(descriptor), *sys.path],
            stdin=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,
        )

    def _hand_over(self, sock: socket.socket, memory: SharedMemory | None) -> None:
        """Send what the child needs besides: an end of a pipe that tells when we are gone."""
        theirs, self._life = os.pipe()
        try:
            given = [theirs] if memory is None else [theirs, memory.descriptor]
            socket.send_fds(sock, [b"\0"], given)
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    @property
    def resident_bytes(self) -> int:
        """Its resident memory; 0 once it has ended."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            return 0

    def kill(self) -> None:
        """End it now, with what it has started; who waits for its answer hears EOFError."""
        with self._ending:
            self._kill()

    def end(self, wait: float = _END_SECONDS) -> str:
        """Free all that it took, and return how it ended within ``wait`` seconds, or was killed."""
        until = time.monotonic() + wait
        while not (ended := self._has_ended()) and time.monotonic() < until:
            time.sleep(0.001)
        with self._ending:
            self._kill()  # before its number is free: what it has started ends as well
            self._popen.wait()
        self._free()
        return _told(self._popen.returncode) if ended else "has closed its connection"

    def _has_ended(self) -> bool:
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, how) is not None
        except ChildProcessError:  # somebody has waited for all of the children there are
            return True

    def _kill(self) -> None:
        if self._popen.returncode is None:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(self.pid, signal.SIGKILL)

    def _free(self) -> None:
        self.link.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1


def _told(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # one without a name
        return f"was ended by signal {-code}"


def error_of(told: dict[str, Any], name: str) -> GpfnError:
    """Return what the child raised: the same class of ours, anything else as ModelFailed.

    A trace is its cause: for the log, and not for who called.
    """
    found: GpfnError
    if told["kind"]:
        kinds = [getattr(errors, kind, None) for kind in told["kind"]]
        kind = next(each for each in kinds if each is not None)
        found = kind.__new__(kind)
        GpfnError.__init__(found, told["detail"], field=told["field"])
        vars(found).update(told["more"])
    else:
        found = ModelFailed(f"{name} raised {told['detail']}; the log has the trace")
    if told["trace"]:
        found.__cause__ = ChildTrace(f"in the model's process:\n{told['trace']}")
    return found


def specs_of(
    told: Sequence[tuple[str, Sequence[int | None] | None, str, bool]],
) -> tuple[TensorSpec, ...]:
    """Return the specs that a child has told."""
    return tuple(
        TensorSpec(dtype, None if shape is None else tuple(shape), name, finite=finite)
        for dtype, shape, name, finite in told
    )
