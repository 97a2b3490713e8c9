"""Lines of a file as records, without a cursor: for a look, and for dead letters in a file.

What a `gpfn.bridge.files.source.FileSource` gives a bridge, read by somebody who is not to leave a
trace. The offset of a record is the byte at which its line begins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Literal, TypeAlias

from gpfn.bridge.files.dead_lines import read_dead_line
from gpfn.bridge.files.lines import TextLine
from gpfn.bridge.files.reader import FileReader
from gpfn.bridge.record import Header, Record
from gpfn.bridge.unreadable import unreadable
from gpfn.errors import BackendError, CallerError

__all__ = ["LONGEST_LINE", "Form", "browse_file"]

Form: TypeAlias = Literal["events", "records"]
"""What lines are: structured events, or whole records as files of dead letters have them."""

LONGEST_LINE = 8 << 20
"""Bytes of a line; of a longer one the beginning is read, and told why."""

_HEADERS: tuple[Header, ...] = (("content-type", b"application/cloudevents+json"),)
_LOOK_SECONDS = 0.1


def browse_file(
    path: str,
    *,
    follow: bool = False,
    form: Form = "events",
    log: Callable[[str], None] = lambda _: None,
) -> Generator[Sequence[Record], None, None]:
    """Yield the records of a file, some at a time, and none now and then while nothing comes.

    Without ``follow`` what is written meanwhile is left out. ``-`` is standard input. A line
    that is no record of the ``form`` comes as one that cannot be read. Raises SetupError with
    the path as field for a file that cannot be opened, BackendError for one that fails later.
    """
    reader = FileReader(path, follow=follow, limit=LONGEST_LINE, warn=log)
    topic = "stdin" if path == "-" else os.path.basename(path)
    try:
        reader.open(None)
        end = None if follow or not reader.regular else os.stat(path).st_size
        for lines in _lines(reader):
            inside = [line for line in lines if end is None or line.offset < end]
            yield [_record(line, topic, form) for line in inside]
            if len(inside) < len(lines):
                return
    except OSError as error:
        raise BackendError(f"cannot be read: {error.strerror}", field=path) from error
    finally:
        reader.close()


def _lines(reader: FileReader) -> Iterable[list[TextLine]]:
    while True:
        piece = reader.read()
        if piece.lines:
            yield piece.lines
        if piece.state == "ended":
            return
        if piece.state == "nothing":
            yield []
            time.sleep(_LOOK_SECONDS)
        elif piece.state == "moved" and not piece.lines:
            reader.move_on()


def _record(line: TextLine, topic: str, form: Form) -> Record:
    record = Record(topic, 0, line.offset, None, line.value, _HEADERS)
    if line.problem:
        return unreadable(record, line.problem)
    if form == "events":
        return record
    try:
        _, key, value, headers = read_dead_line(line.value)
    except CallerError as error:
        return unreadable(record, str(error))
    return record._replace(key=key, value=value, headers=headers)
