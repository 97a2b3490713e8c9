"""What an activation's log tells of a function: its start, each stage, every failure.

The lines are for people, in milliseconds and MB; the one JSON object behind them is for
programs. They go to stdout, since some of the platform's log stores lose stderr; failures
that are not the caller's go to stderr with their trace. ``GPFN_LOG=quiet`` leaves only
those. Nothing of a request is ever logged but the field that an error names.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from gpfn.errors import CallerError, GpfnError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from gpfn.call.contract import Opened, Reply

__all__ = ["CallLog", "resident"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1e6
_statm = -1
_NAMES = {"before": "preprocess", "after": "postprocess"}


def resident() -> int:
    """Return this process's resident memory in bytes; 0 when the system does not tell."""
    global _statm  # noqa: PLW0603 - opened once: opening it costs twice what reading does
    try:
        if _statm < 0:
            _statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        return int(os.pread(_statm, 64, 0).split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):  # user code may close what is not its own
        _statm = -1
        return 0


class CallLog:
    """Writes the log of one process's activations."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.quiet = environ.get("GPFN_LOG") == "quiet"
        self._start: dict[str, dict[str, float]] = {}  # told with the first activation
        if not self.quiet:
            from gpfn.call.pipeline import Stages

            Stages.probe = resident

    def started(
        self,
        name: str,
        import_seconds: float,
        opened: Opened | None,
        memory: Mapping[str, int] | None = None,
    ) -> None:
        """Tell how long it took to get ready; ``opened`` is None when the model is not open.

        ``memory`` is resident bytes after the stages before opening.
        """
        if self.quiet:
            return
        parts, sizes = {"import": import_seconds}, dict(memory or {})
        if opened is not None and opened.uri:
            parts |= {"load": opened.load_seconds, "warm-up": opened.warmup_seconds}
            sizes |= {"load": opened.loaded_bytes, "warm-up": resident()}
        times_ms = {part: _ms(seconds) for part, seconds in parts.items()}
        self._start = {"start_ms": times_ms, "start_rss": {**sizes}}
        times = ", ".join(f"{part} {seconds:.3f} s" for part, seconds in parts.items())
        problem = "" if opened is not None else ", model not opened"
        _say(sys.stdout, f"gpfn: {name}: {times}{problem}; rss={resident() / _MB:.1f} MB")

    def failed(self, error: BaseException) -> None:
        """Tell of a failure that is not the caller's, a bug with its trace."""
        _say(sys.stderr, _trace(error))

    @contextmanager
    def activation(self, name: str, identifier: str, replies: Sequence[Reply]) -> Iterator[None]:
        """Log what happens within: ``replies`` are the function's, one by one."""
        before = 0 if self.quiet else resident()
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        for reply in replies:
            for failure in (reply.error, *reply.failures):
                if failure is not None and not isinstance(failure, CallerError):
                    self.failed(failure)
        if not self.quiet:
            self._tell(name, identifier, replies, seconds, before)
        for reply in replies:
            reply.release()

    def _tell(
        self, name: str, identifier: str, replies: Sequence[Reply], seconds: float, before: int
    ) -> None:
        import orjson

        times, memory = _together(replies)
        after = resident()
        lines, earlier = [], before
        for stage, spent in times.items():
            size = memory.get(stage, earlier)
            lines.append(_line(stage, spent, size, earlier))
            earlier = size
        lines.append(_line("main", seconds, after, before))
        record = {
            "function": name,
            "activation": identifier,
            "status": max((reply.status for reply in replies), default=200),
            "ms": {stage: _ms(spent) for stage, spent in (times | {"main": seconds}).items()},
            "rss": memory | {"main": after},
            "rss_change": after - before,
        }
        record |= self._start
        record |= {"errors": errors} if (errors := _errors(replies)) else {}
        self._start = {}
        lines.append(orjson.dumps({"gpfn": record}).decode())
        _say(sys.stdout, "\n".join(lines))


def _together(replies: Sequence[Reply]) -> tuple[dict[str, float], dict[str, int]]:
    """Add the stages of several replies up; of their memory the last counts."""
    times: dict[str, float] = {}
    memory: dict[str, int] = {}
    for reply in replies:
        for stage, spent in reply.stages:
            name = _NAMES.get(stage, stage)
            times[name] = times.get(name, 0.0) + spent
        memory.update((_NAMES.get(stage, stage), size) for stage, size in reply.memory)
    return times, memory


def _errors(replies: Sequence[Reply]) -> list[str]:
    failures = [f for reply in replies for f in (reply.error, *reply.failures) if f is not None]
    return [f"{f.type}: {f}" if isinstance(f, GpfnError) else type(f).__name__ for f in failures]


def _line(stage: str, seconds: float, size: int, earlier: int) -> str:
    change = (size - earlier) / _MB
    return f"{stage}: {_ms(seconds):.3f}ms, rss={size / _MB:.1f} MB ({change:+.2f} MB)"


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def _trace(error: BaseException) -> str:
    """Return a failure as text, a bug with its trace."""
    if isinstance(error, GpfnError) and error.__cause__ is None:
        return f"{error.type}: {error}"
    from traceback import format_exception

    return "".join(format_exception(error)).rstrip("\n")


def _say(stream: TextIO, text: str) -> None:
    """Write lines; a log that cannot be written must not cost a call."""
    try:
        stream.write(text + "\n")
    except (OSError, ValueError, AttributeError):
        return  # user code may close or replace a stream; the call is answered all the same
