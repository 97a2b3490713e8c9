"""Dead letters to where they came from once more, and then out of their topic.

A letter is dropped when the queue has confirmed its record, and not before. So a crash in
between gives the record twice, and never not at all; an error of one leaves all that were not
confirmed where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gpfn.bridge.operating.dead_facts import revived
from gpfn.bridge.operating.sending import send_records
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.operating.dead_topic import DeadTopic
    from gpfn.bridge.record import Outgoing, Record
    from gpfn.bridge.spec import Place
    from gpfn.log import Log

__all__ = ["parts_of", "retry_letters"]

_MOST, _MOST_BYTES = 1000, 16 << 20
"""Letters, and their bytes, that are written and then dropped together."""


def retry_letters(
    dead: DeadTopic,
    letters: Iterable[Record],
    back: Place,
    *,
    log: Log,
    to: str = "",
    origins: Mapping[str, str] | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the records of letters to a place, and drop the letters, some at a time.

    Each goes to the topic that it came from, or to the topic ``to``. ``origins`` are the topics
    that may be written to, by the name that letters have for them: a letter that names another
    one was not written by this bridge. ``told`` hears how many were dropped. Raises SetupError,
    BackendError, CallerError for what cannot be sent or dropped.
    """
    for part in parts_of(letters):
        records = [_revived(letter, to, origins or {}) for letter in part]
        topics = list(dict.fromkeys([record.topic for record in records]))
        confirmed: list[int] = []
        try:
            send_records(back, topics, records, log=log, confirmed=confirmed.append)
        finally:
            if confirmed:
                dead.drop([part[number] for number in sorted(confirmed)])
                told(len(confirmed))


def parts_of(letters: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield letters in lists that need little memory, each of one at least."""
    part: list[Record] = []
    size = 0
    for letter in letters:
        part.append(letter)
        size += letter.size
        if len(part) >= _MOST or size >= _MOST_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _revived(letter: Record, to: str, origins: Mapping[str, str]) -> Outgoing:
    record = revived(letter, to)
    if to or not origins:
        return record
    if record.topic not in origins:
        told = f"came from {record.topic:.80}, which the bridge does not read: say where it goes"
        raise SetupError(told, field=f"{letter.partition}:{letter.offset}")
    return record._replace(topic=origins[record.topic])
