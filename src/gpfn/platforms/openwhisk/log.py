"""What an activation's log tells of a function: its start, each call, every failure.

The records are those of :mod:`gpfn.log`. Calls go to stdout, since some of the platform's log
stores lose stderr; failures that are not the caller's go to stderr with their trace.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from gpfn.call.contract import Reply
from gpfn.call.pipeline import Stages
from gpfn.log import Log, Sink, resident, trace_id
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.contract import Opened

__all__ = ["CallLog", "together", "trace_of", "write_streams"]


def write_streams(data: bytes, failure: bool) -> None:
    """Write lines to sys.stdout or sys.stderr, whatever the runtime has put there."""
    stream = sys.stderr if failure else sys.stdout
    try:
        stream.write(data.decode())
    except (OSError, ValueError, AttributeError):
        return  # a log that cannot be written must not cost a call


def trace_of(parameters: object) -> str:
    """Return the W3C trace id of a web action's request or of a structured event, or ""."""
    if not isinstance(parameters, Mapping):
        return ""
    found = parameters.get("__ow_headers", parameters if "specversion" in parameters else None)
    if not isinstance(found, Mapping):
        return ""
    names = ("traceparent", "ce-traceparent")
    return trace_id([(n, value) for n in names if isinstance(value := found.get(n), str)])


class CallLog(Log):
    """Writes the log of one process's activations."""

    __slots__ = ("received",)

    def __init__(self, sink: Sink = write_streams, form: str = "") -> None:
        """``form`` is what GPFN_LOG says unless it is given; raises SetupError."""
        super().__init__("openwhisk", sink=sink, form=form)
        self.received = 0  # bytes of the next activation, where the runtime knows them
        if self.form == "json":
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
        self.function = name
        seconds, sizes = {"import": import_seconds}, dict(memory or {})
        note = ", model not opened" if opened is None else ""
        if opened is not None and opened.uri:
            seconds |= {"load": opened.load_seconds, "warm-up": opened.warmup_seconds}
            sizes |= {"load": opened.loaded_bytes, "warm-up": resident()}
            note = f" ({opened.uri})"
        self.ready(seconds, note, sizes)


def together(replies: Sequence[Reply]) -> Reply:
    """Return several replies as one: stages are added up; of their memory the last counts."""
    times: dict[str, float] = {}
    memory: dict[str, int] = {}
    failures: list[BaseException] = []
    for reply in replies:
        for stage, spent in reply.stages:
            times[stage] = times.get(stage, 0.0) + spent
        memory.update(reply.memory)
        failures += [f for f in (reply.error, *reply.failures) if f is not None]
    status = max((reply.status for reply in replies), default=200)
    stages, sizes = tuple(times.items()), tuple(memory.items())
    return Reply(Message(b""), status, stages, None, tuple(failures), sizes)
