"""A call that has ended and waits to be written, together with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gpfn.local.call_record import CallRecord, bounded

if TYPE_CHECKING:
    from gpfn.local.calling import RestOfLog

__all__ = ["WaitingCall"]

_FAILED = 500
_SETTLING_SECONDS, _TRACING_SECONDS = 0.01, 0.25
_RECORD_BYTES = 400  # what a record has beside its bodies and its log
_LINE_BYTES = 100  # and what a line has beside its text


class WaitingCall(NamedTuple):
    """A call that is to be written, what gives the rest of its log, and since when it waits."""

    record: CallRecord
    rest: RestOfLog | None
    since: float

    def settled(self, now: float) -> bool:
        """Say whether no more of its log is to come: a trace may take a runner its time."""
        if self.rest is None:
            return True
        if self.record.status < _FAILED:
            return now - self.since >= _SETTLING_SECONDS
        named = any(self.record.id in text for _, _, text in self.rest())
        return named or now - self.since >= _TRACING_SECONDS

    def whole(self) -> CallRecord:
        """Return the record with what has come of its log until now."""
        rest = () if self.rest is None else self.rest()
        return bounded(self.record._replace(log=self.record.log + rest)) if rest else self.record

    @property
    def size(self) -> int:
        """About how many bytes it has in memory."""
        record = self.record
        bodies = len(record.request.data) + len(record.reply.data)
        size = _RECORD_BYTES + bodies + _LINE_BYTES * len(record.log)
        for _, _, text in record.log:
            size += len(text)
        return size
