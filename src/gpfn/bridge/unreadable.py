"""A record of which something is wrong, given all the same: it must not be in the way of others.

A source that cannot give a record as it was, a line of a file that is too long for one, gives
what it has and says why in a header. Who reads the record puts it to the dead letters with
that reason.
"""

from __future__ import annotations

from gpfn.bridge.record import Record
from gpfn.errors import printable

__all__ = ["ERROR_HEADER", "reason_of", "unreadable"]

ERROR_HEADER = "gpfn-error"
"""The first header of such a record; its value says what is wrong, as UTF-8 text."""

_LONGEST = 500


def unreadable(record: Record, reason: str) -> Record:
    """Return the record with the reason why it is not whole."""
    header = (ERROR_HEADER, printable(reason, _LONGEST).encode())
    return record._replace(headers=(header, *record.headers))


def reason_of(record: Record) -> str | None:
    """Return why a record is not whole, None when nothing is wrong with it."""
    if not record.headers or record.headers[0][0] != ERROR_HEADER:
        return None
    return (record.headers[0][1] or b"").decode(errors="replace")
