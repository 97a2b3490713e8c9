"""A record that cannot be dealt with, as it is written to the dead-letter topic.

Key, value and the headers that it came with stay as they are, byte for byte. Behind them
stand headers of ours: where it came from and how often it was tried, and the three that
Knative's dead-letter sinks have (``knativeerrordest``, ``knativeerrorcode``,
``knativeerrordata``: https://knative.dev/docs/eventing/event-delivery/), with ``ce_`` before
them, so that whoever reads the record as an event has them as extensions. A broker may refuse
the record for its size then: :func:`shortened` gives it with less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gpfn.bridge.record import Header, Outgoing, Record

__all__ = ["ADDED", "Cause", "original", "shortened"]

_MOST_DATA = 1024
"""Bytes of a function's answer that are kept: what Knative keeps of it."""
_MOST_REASON = 512

_ORIGIN = "gpfn_"
_KNATIVE = "ce_knativeerror"
ADDED = (_ORIGIN, _KNATIVE)
"""What the names of the headers that are added begin with."""


class Cause(NamedTuple):
    """Why an event cannot be dealt with.

    ``outcome`` is a word that is counted, ``destination`` what was called, ``code`` the status
    that it answered, 0 without, ``data`` the beginning of its answer. ``event_id`` and ``trace``
    are for the log.
    """

    outcome: str
    reason: str
    destination: str = ""
    code: int = 0
    data: bytes = b""
    attempts: int = 0
    event_id: str = ""
    trace: str = ""


def shortened(topic: str, record: Record, cause: Cause) -> Iterator[Outgoing]:
    """Give a record as a dead letter, and then with less added each time.

    With all that is known about it; without the function's answer and the reason; with nothing
    added at all.
    """
    kept = original(record.headers)
    brief = cause._replace(reason="")
    for added in ([*_origin(record, cause), *_knative(cause)], _origin(record, brief)):
        yield Outgoing(topic, record.key, record.value, (*kept, *added))
    yield Outgoing(topic, record.key, record.value, tuple(record.headers))


def original(headers: Sequence[Header]) -> list[Header]:
    """Return headers without those that an earlier dead letter added: it may be one again."""
    return [header for header in headers if not header[0].startswith(ADDED)]


def _origin(record: Record, cause: Cause) -> list[Header]:
    texts = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "attempts": str(cause.attempts),
        "outcome": cause.outcome,
        "reason": _short(cause.reason),
    }
    return [(_ORIGIN + name, text.encode()) for name, text in texts.items() if text]


def _knative(cause: Cause) -> list[Header]:
    texts = {
        "dest": cause.destination,
        "code": str(cause.code) if cause.code else "",
        "data": cause.data[:_MOST_DATA].decode(errors="replace"),
    }
    return [(_KNATIVE + name, _printable(text).encode()) for name, text in texts.items() if text]


def _short(reason: str) -> str:
    return _printable(reason)[:_MOST_REASON]


def _printable(text: str) -> str:
    """Return text that an attribute of an event may hold: its control characters are spaces."""
    return "".join(character if character.isprintable() else " " for character in text)
