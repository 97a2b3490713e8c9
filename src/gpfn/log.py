"""What a process says of itself: one line for each record, as text or as JSON.

``GPFN_LOG`` is ``text`` (the default), ``json`` (each line is an object) or ``quiet`` (failures
only). Every record has the time (UTC), the level, where it comes from (fn, openwhisk, http,
serve), the function's name, the call's id, and the W3C trace id when the caller sent one.

The functions that format are pure; :class:`Log` adds the clock, hides secrets and writes, with one
system call; a record that cannot be written costs no call. Nothing of a request is logged but what
an error's text names. Python's ``logging`` is left to the user's code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from time import gmtime, time_ns

from gpfn.errors import CallerError, GpfnError, Overloaded, escaped, printable
from gpfn.hidden import HIDDEN, hidden_bytes
from gpfn.settings import LOG_FORMS, read_choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.log_json import Answered

__all__ = [
    "Head",
    "Log",
    "Sink",
    "Sizes",
    "call_text",
    "error_text",
    "format_text",
    "resident",
    "timestamp",
    "trace_id",
    "trace_text",
    "write_stderr",
]

Sink = Callable[[bytes, bool], None]
"""Writes whole lines and never raises. Where there are two streams, the second argument says
whether they go to standard error: failures, and where a server listens."""

Head = tuple[str, str, str, str, str, str]
"""What each record begins with: time, level, where, function, call's id, trace id."""

Sizes = tuple[int, int, int, int]
"""Bytes of a call: received, sent, resident, and how much more is resident than at the start."""

_LONGEST_ID = 200
_LONGEST_LINE = 6000
_LONGEST_TRACE = 60_000
_MOST_LINES = 300
_MB = 1e6
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HEX = frozenset("0123456789abcdef")
_PARENT = "traceparent"
_PARENT_LENGTH = 55  # of version 00; later versions may have more behind a dash

_clock = (-1, "")  # the second of the last record and its text: formatting a date costs 2 µs
_statm = -1


def timestamp(nanoseconds: int) -> str:
    """Return a time since 1970 as ISO 8601 in UTC, with milliseconds."""
    global _clock  # noqa: PLW0603 - one tuple, so that threads see both parts of one second
    second, millisecond = divmod(nanoseconds // 1_000_000, 1000)
    known, text = _clock
    if second != known:
        year, month, day, hour, minute, rest = gmtime(second)[:6]
        text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{rest:02}"
        _clock = (second, text)
    return f"{text}.{millisecond:03}Z"


def trace_id(headers: Iterable[tuple[str, str]]) -> str:
    """Return the trace id of a valid ``traceparent`` (W3C Trace Context), otherwise "".

    The request's own header comes before the attribute of an event in binary mode. Names
    are lower-case.
    """
    found = ""
    for name, value in headers:
        if name == _PARENT:
            return _parse_parent(value)
        if name == "ce-traceparent":
            found = _parse_parent(value)
    return found


def _parse_parent(text: str) -> str:
    version, trace, parent, flags = text[:2], text[3:35], text[36:52], text[53:55]
    if len(text) < _PARENT_LENGTH or text[2] + text[35] + text[52] != "---":
        return ""
    if len(text) > _PARENT_LENGTH and (version == "00" or text[_PARENT_LENGTH] != "-"):
        return ""
    if version == "ff" or not trace.strip("0") or not parent.strip("0"):
        return ""
    return trace if _HEX.issuperset(version + trace + parent + flags) else ""


def resident() -> int:
    """Return this process's resident memory in bytes; 0 when the system does not tell."""
    global _statm  # noqa: PLW0603 - opened once: opening it costs twice what reading does
    try:
        _statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if _statm < 0 else _statm
        return int(os.pread(_statm, 64, 0).split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):  # user code may close what is not its own
        _statm = -1
        return 0


def format_text(head: Head, text: str) -> bytes:
    """Return one line of text, never long. Characters that are not printable are escaped."""
    time, level, where, function, call, trace = head
    if " " in call or " " in function:
        call, function = call.replace(" ", "\\x20"), function.replace(" ", "\\x20")
    line = f"{time} {level} {where} {function or '-'}{f' call={call}' if call else ''}"
    line = f"{line} trace={trace} {text}" if trace else f"{line} {text}"
    if len(line) > _LONGEST_LINE or not line.isprintable():
        line = escaped(printable(line, _LONGEST_LINE))
    return line.encode() + b"\n"


def trace_text(error: BaseException) -> str:
    """Return what is wrong: one line for an error of ours, a bug or a failed import with trace."""
    if isinstance(error, GpfnError) and error.__cause__ is None:
        return _one_line(error)
    from traceback import format_exception

    # an exception's text may be a megabyte out of a request, or a thousand lines of a library
    lines = printable("".join(format_exception(error)).rstrip("\n"), _LONGEST_TRACE).split("\n")
    return "\n".join([*lines[:_MOST_LINES], *lines[_MOST_LINES:][-1:]])


def call_text(reply: Answered, seconds: float, sizes: Sizes) -> str:
    """Return what a text line tells of a call: status, times, sizes, memory."""
    received, sent, rss, change = sizes
    stages = ", ".join([f"{name} {1e3 * spent:.3f}" for name, spent in reply.stages])
    stages = f" ({stages})" if stages else ""
    error = f" {error_text(reply)};" if reply.error is not None or reply.failures else ""
    return (
        f"{reply.status}{error} {1e3 * seconds:.3f} ms{stages} {received} B in {sent} B out"
        f" rss {rss / _MB:.1f} MB {change / _MB:+.1f}"
    )


def write_stderr(data: bytes, failure: bool = False) -> None:  # noqa: ARG001 - a Sink
    """Write lines to standard error, behind what was printed until now."""
    try:
        # what the user printed belongs before, and must not wait for the next call
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        sys.stdout = None  # closed, or nobody reads it: print() then does nothing
    try:
        os.write(2, data)
    except OSError:
        return  # nobody can be told of it


class Log:
    """Writes the records of one process, or of one part of it."""

    __slots__ = ("_baseline", "_sink", "form", "function", "where")

    def __init__(
        self, where: str, function: str = "", *, form: str = "", sink: Sink = write_stderr
    ) -> None:
        """``form`` is what GPFN_LOG says unless it is given; raises SetupError."""
        self.where = where
        self.function = function
        self.form = form or read_choice("GPFN_LOG", LOG_FORMS[0], LOG_FORMS)
        self._sink: Sink = lambda data, bad: sink(hidden_bytes(data) if HIDDEN else data, bad)
        self._baseline = resident()

    @property
    def quiet(self) -> bool:
        """Whether only failures are written."""
        return self.form == "quiet"

    def info(self, message: str, *, call: str = "", trace: str = "", **fields: object) -> None:
        """Tell what happened; ``fields`` are for JSON, the message says all of it in words."""
        if self.form != "quiet":
            self._tell("info", message, call, trace, fields)

    def warning(self, message: str, *, call: str = "", trace: str = "", **fields: object) -> None:
        """Tell of something that is not as it should be and does not stop anything."""
        if self.form != "quiet":
            self._tell("warning", message, call, trace, fields)

    def error(self, message: str, *, call: str = "", trace: str = "", **fields: object) -> None:
        """Tell what an operator has to look at."""
        self._tell("error", message, call, trace, fields)

    def listening(self, url: str, *, always: bool = False) -> None:
        """Tell where a server listens; ``always`` where nobody can know otherwise."""
        if always or self.form != "quiet":
            self._sink(self._line("info", f"listening on {url}", "", "", {"url": url}), True)

    def ready(
        self, seconds: Mapping[str, float], note: str = "", memory: Mapping[str, int] | None = None
    ) -> None:
        """Tell what the start took, and count memory's growth from here on.

        ``seconds`` are by stage (import, load, warm-up), ``memory`` resident bytes after one.
        """
        self._baseline = now = resident()
        if self.form == "quiet":
            return
        parts = [f"{name} {spent:.3f} s" for name, spent in seconds.items()]
        text = f"ready: {', '.join([*parts, f'rss {now / _MB:.1f} MB'])}{note}"
        times = {name: round(spent, 6) for name, spent in seconds.items()}
        fields = {"seconds": times, "rss": now, **({"stages_rss": {**memory}} if memory else {})}
        self._tell("info", text, "", "", fields)

    def failure(self, error: BaseException, *, call: str = "", trace: str = "") -> None:
        """Tell of a failure that the caller does not get to see, a bug with its trace.

        As text each line of the trace begins like any other, for the call's id is what a
        log is searched for; as JSON it is one object with the trace as text.
        """
        text = trace_text(error)
        if self.form == "json":
            kind = error.type if isinstance(error, GpfnError) else type(error).__name__
            fields = {"error": kind, "trace": text} if "\n" in text else {"error": kind}
            self._tell("error", text.rpartition("\n")[2], call, trace, fields)
            return
        head = self._head("error", call, trace)
        self._sink(b"".join([format_text(head, line) for line in text.split("\n")]), True)

    def failures(self, reply: Answered, *, call: str = "", trace: str = "") -> None:
        """Tell what went wrong in a call, as far as it is no fault of the caller's."""
        trace = trace or reply.trace
        for failure in (reply.error, *reply.failures):
            if failure is not None and not isinstance(failure, CallerError | Overloaded):
                self.failure(failure, call=call, trace=trace)

    def call(
        self,
        call: str,
        reply: Answered,
        seconds: float,
        received: int,
        sent: int,
        *,
        trace: str = "",
    ) -> None:
        """Tell of an answered call; what is no fault of the caller's with its trace."""
        if reply.error is not None or reply.failures:
            self.failures(reply, call=call, trace=trace)
        if self.form == "quiet":
            return
        now = resident()
        sizes = (received, sent, now, now - self._baseline)
        head = self._head("info", call, trace or reply.trace)
        if self.form == "text":
            self._sink(format_text(head, call_text(reply, seconds, sizes)), False)
            return
        from gpfn.log_json import call_fields, format_json

        fields = call_fields(reply, seconds, sizes, error_text(reply))
        self._sink(format_json(head, fields), False)

    def _tell(
        self, level: str, message: str, call: str, trace: str, fields: Mapping[str, object]
    ) -> None:
        self._sink(self._line(level, message, call, trace, fields), level == "error")

    def _line(
        self, level: str, message: str, call: str, trace: str, fields: Mapping[str, object]
    ) -> bytes:
        head = self._head(level, call, trace)
        if self.form != "json":
            return format_text(head, message)
        from gpfn.log_json import format_json

        return format_json(head, {"message": message, **fields})

    def _head(self, level: str, call: str, trace: str) -> Head:
        call = call if len(call) <= _LONGEST_ID else printable(call, _LONGEST_ID)
        return (timestamp(time_ns()), level, self.where, self.function, call, trace)


def error_text(reply: Answered) -> str:
    """Return what made a call or parts of its batch fail; bugs by the class only."""
    failures = [error for error in (reply.error, *reply.failures) if error is not None]
    return printable(", ".join([_one_line(error) for error in failures]), _LONGEST_LINE)


def _one_line(error: BaseException) -> str:
    """Return an error of ours with its text; of any other the trace has the text."""
    name = type(error).__name__
    if not isinstance(error, GpfnError):
        return name
    try:
        return f"{error.type}: {error}"
    except Exception as broken:  # noqa: BLE001 - a subclass of the user's may not be printable
        return f"{name}, which cannot be printed ({type(broken).__name__})"
