"""A topic of dead letters, whichever queue it is in: what is in it, and how a letter leaves it.

    SQLite   the record is deleted, for every group
    NATS     the message is deleted from its stream
    Kafka    deletes no single record: it is marked in a group of its own (`kafka.handled`)
    file     its line becomes blank, so that the offsets of the others stay what they are; a
             file in which no letter is left becomes empty

All of it blocks, and belongs to the thread that calls it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpfn.bridge.operating.browsing import browse
from gpfn.bridge.operating.file_browsing import LONGEST_LINE
from gpfn.errors import BackendError, SetupError

if TYPE_CHECKING:
    from typing import BinaryIO

    from gpfn.bridge.record import Record
    from gpfn.bridge.spec import Place

__all__ = ["DeadTopic", "open_dead_topic"]


class DeadTopic(Protocol):
    """The dead letters of one topic."""

    def letters(self) -> Iterator[Record]:
        """Yield those that are there now and were not dropped, in the order of each partition.

        Raises SetupError or BackendError.
        """

    def drop(self, letters: Sequence[Record]) -> None:
        """Let these, which :meth:`letters` gave, not be listed again.

        Raises SetupError or BackendError; then it is not known which are.
        """


def open_dead_topic(
    place: Place,
    topic: str,
    log: Callable[[str], None] = lambda _: None,
    *,
    may_be_absent: bool = False,
) -> DeadTopic:
    """Return the dead letters of a topic; of files it is the path. Nothing is read yet.

    With ``may_be_absent`` a topic that its first letter would make has none, instead of an error.
    """
    if place.kind == "kafka":
        from gpfn.bridge.kafka.handled import KafkaDeadTopic

        return KafkaDeadTopic(place, topic, log)
    return _Deleting(place, topic, log, may_be_absent=may_be_absent)


class _Deleting:
    """A queue that deletes single records."""

    def __init__(
        self, place: Place, topic: str, log: Callable[[str], None], *, may_be_absent: bool
    ) -> None:
        self._place = place
        self._topic = topic
        self._log = log
        self._may_be_absent = may_be_absent

    def letters(self) -> Iterator[Record]:
        if self._may_be_absent and not _is_there(self._place, self._topic):
            return
        letters = browse(self._place, self._topic, form="records", log=self._log)
        with closing(letters):
            yield from letters

    def drop(self, letters: Sequence[Record]) -> None:
        offsets = [letter.offset for letter in letters]
        _DELETIONS[self._place.kind](self._place, self._topic, offsets)


def _is_there(place: Place, topic: str) -> bool:
    """Say whether a topic is there, where topics come with their first record."""
    from gpfn.bridge.sqlite.reading import list_topics, open_queue

    if place.kind == "file":
        return Path(topic).exists()
    if place.kind != "queue":
        return True
    if not Path(place.address).exists():
        return False
    with open_queue(Path(place.address)) as store:
        return topic in {state.name for state in list_topics(store)}


def _from_queue(place: Place, topic: str, offsets: Iterable[int]) -> None:
    from gpfn.bridge.sqlite.reading import drop_records, open_queue

    with open_queue(Path(place.address)) as store:
        drop_records(store, topic, offsets)


def _from_nats(place: Place, topic: str, offsets: Iterable[int]) -> None:
    from gpfn.bridge.nats.direct import delete_messages

    asyncio.run(delete_messages(place.address, topic, offsets, place.settings))


def _from_file(_place: Place, path: str, offsets: Iterable[int]) -> None:
    """Replace a file by one in which lines are blank, under the lock that writers of it have."""
    path = os.path.realpath(path)  # a link stays one
    part = Path(f"{path}.part")
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with part.open("wb") as kept:
                os.fchmod(kept.fileno(), os.fstat(file.fileno()).st_mode & 0o7777)
                if not _blank(file, kept, {*offsets}):
                    kept.truncate(0)
                kept.flush()
                os.fsync(kept.fileno())
            part.replace(path)
        _sync_folder(Path(path).parent)
    except BlockingIOError:
        told = "another process writes to it: its letters can be dropped when that has ended"
        raise SetupError(told, field=path) from None
    except OSError as error:
        with suppress(OSError):  # the first error says what is wrong
            part.unlink()
        raise BackendError(f"cannot be rewritten: {error.strerror}", field=path) from error


def _blank(file: BinaryIO, kept: BinaryIO, offsets: set[int]) -> bool:
    """Copy a file with these lines blank, and say whether any other is not."""
    at, left, blank = 0, False, False
    begins = True
    while piece := file.readline(LONGEST_LINE):
        if begins:
            blank = at in offsets
        begins = piece.endswith(b"\n")
        if blank:
            kept.write(b" " * (len(piece) - 1) + b"\n")  # also of a piece of a very long line
        else:
            kept.write(piece)
            left = left or not piece.isspace()
        at += len(piece)
    return left


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


_DELETIONS: Mapping[str, Callable[[Place, str, Iterable[int]], None]] = {
    "queue": _from_queue,
    "nats": _from_nats,
    "file": _from_file,
}
