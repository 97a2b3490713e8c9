"""What the runner says on stderr: how it started, a line for each call, every failure.

Written with one system call a record and never waited for: a log that cannot be written
must not cost a call. The logging module is the user's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from gpfn.call.contract import Reply
from gpfn.errors import CallerError, GpfnError

__all__ = ["CallLog", "Memory", "log_failure", "log_failures", "say"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1e6


class Memory:
    """This process's resident memory, in bytes; 1 µs a look."""

    __slots__ = ("_baseline", "_statm")

    def __init__(self) -> None:
        try:
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no /proc: nothing to tell
            self._statm = -1
        self._baseline = self.resident()

    def resident(self) -> int:
        """Return the resident bytes now; 0 when the system does not tell."""
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 64, 0).split()[1]) * _PAGE

    def growth(self, now: int) -> int:
        """Return how much more ``now`` is than at the mark."""
        return now - self._baseline

    def mark(self) -> None:
        """Take what is resident now for what growth is counted from."""
        self._baseline = self.resident()


class CallLog:
    """Writes a line for each call: its id, status, stages and memory.

    ``GPFN_LOG=quiet`` leaves only failures that the operator has to see.
    """

    __slots__ = ("_memory", "quiet")

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.quiet = environ.get("GPFN_LOG") == "quiet"
        self._memory = Memory()

    def ready(self) -> None:
        """Count memory's growth from here on."""
        self._memory.mark()

    def call(self, call_id: str, reply: Reply, received: int, seconds: float) -> None:
        """Log one answered call; what is no fault of the caller's with its trace."""
        try:
            self._call(call_id, reply, received, seconds)
        except Exception as error:  # noqa: BLE001 - an exception of the user's may not be printable
            say(f"call {call_id or '-'} {reply.status} not logged: {type(error).__name__}")

    def _call(self, call_id: str, reply: Reply, received: int, seconds: float) -> None:
        if reply.error is not None or reply.failures:
            log_failures(call_id, reply)
        if self.quiet:
            return
        stages = ", ".join([f"{name} {1e3 * spent:.3f}" for name, spent in reply.stages])
        now = self._memory.resident()
        say(
            f"call {call_id or '-'} {reply.status}{_reason(reply.error)}"
            f" {1e3 * seconds:.3f} ms ({stages}), {received} B in,"
            f" {len(reply.message.body)} B out, memory {now / _MB:.1f} MB"
            f" {self._memory.growth(now) / _MB:+.1f}"
        )


def log_failures(call_id: str, reply: Reply) -> None:
    """Log what went wrong in a call, as far as it is no fault of the caller's."""
    for failure in (reply.error, *reply.failures):
        if failure is not None and not isinstance(failure, CallerError):
            log_failure(call_id, failure)


def say(line: str) -> None:
    """Write one line to stderr."""
    _write(line.replace("\n", "\\n").replace("\r", "\\r") + "\n")


def log_failure(call_id: str, error: BaseException) -> None:
    """Write a failure that the caller does not get to see, a bug with its trace.

    Each line begins with the call's id, for that is what a log is searched for.
    """
    where = f"call {call_id}" if call_id else "gpfn"
    if isinstance(error, GpfnError) and error.__cause__ is None:
        say(f"{where}: {error.type}: {error}")
        return
    from traceback import format_exception

    trace = "".join(format_exception(error)).rstrip("\n").split("\n")
    _write("".join([f"{where}: {line}\n" for line in trace]))


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    kind = error.type if isinstance(error, GpfnError) else type(error).__name__
    return f" {kind}: {error};"


def _write(text: str) -> None:
    try:
        # what the user printed belongs before, and must not wait for the next call
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        sys.stdout = None  # closed, or nobody reads it: print() then does nothing
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody reads the log any more; the call is answered all the same
