"""What a dead letter tells: why it is one, where it came from, and what it was before.

The opposite of `gpfn.bridge.dead_letter`. A dead-letter topic is a topic like others: what
anybody may have written there is read here, and a header that makes no sense is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gpfn.bridge.dead_letter import original
from gpfn.bridge.record import Outgoing
from gpfn.bridge.unreadable import reason_of
from gpfn.errors import SetupError
from gpfn.settings import read_digits

if TYPE_CHECKING:
    from gpfn.bridge.record import Record

__all__ = ["DeadFacts", "facts_of", "revived"]

_ORIGIN, _KNATIVE = "gpfn_", "ce_knativeerror"


class DeadFacts(NamedTuple):
    """What stands in the headers that a bridge has added; empty or None where nothing does."""

    outcome: str
    reason: str
    topic: str
    partition: int | None
    offset: int | None
    attempts: int | None
    destination: str
    code: int | None
    data: str

    @property
    def origin(self) -> str:
        """Where it came from: ``readings 0:17``."""
        if self.offset is None:
            return self.topic
        return f"{self.topic} {self.partition or 0}:{self.offset}"


def facts_of(record: Record) -> DeadFacts:
    """Return what a dead letter tells of itself. Of a name that occurs twice the last counts."""
    told = {name: value for name, value in record.headers if value is not None}
    return DeadFacts(
        _text(told, f"{_ORIGIN}outcome"),
        _text(told, f"{_ORIGIN}reason") or (reason_of(record) or ""),
        _text(told, f"{_ORIGIN}topic"),
        _number(told, f"{_ORIGIN}partition"),
        _number(told, f"{_ORIGIN}offset"),
        _number(told, f"{_ORIGIN}attempts"),
        _text(told, f"{_KNATIVE}dest"),
        _number(told, f"{_KNATIVE}code"),
        _text(told, f"{_KNATIVE}data"),
    )


def revived(record: Record, topic: str = "") -> Outgoing:
    """Return the record that a dead letter was, to be written to its origin or another topic.

    Key, value and headers are byte for byte what they were, without those that were added.
    Raises SetupError with the offset as field for one that does not tell where it came from,
    and for one of which only a part is there.
    """
    field = f"{record.partition}:{record.offset}"
    problem = reason_of(record)
    if problem is not None:
        raise SetupError(f"cannot be sent again, it is not whole: {problem}", field=field)
    topic = topic or facts_of(record).topic
    if not topic:
        raise SetupError("does not tell which topic it came from: give one", field=field)
    return Outgoing(topic, record.key, record.value, tuple(original(record.headers)))


def _text(told: dict[str, bytes], name: str) -> str:
    return told.get(name, b"").decode(errors="replace")


def _number(told: dict[str, bytes], name: str) -> int | None:
    return read_digits(_text(told, name))
