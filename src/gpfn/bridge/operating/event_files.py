"""Events in a file that people have: one event, lines of JSON, or an array of events.

Which of them it is shows in what it begins with: ``[`` begins an array, a first line that is
JSON by itself is one of many, and anything else is one event over several lines. A file is
read line by line but for an array, so it may be as large as it likes.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from gpfn.errors import CallerError, InvalidEvent, SetupError, TooLarge
from gpfn.events.event import Event
from gpfn.events.json_format import read_event, read_values
from gpfn.events.json_text import parse
from gpfn.json_exact import loads_loosely, without_mark
from gpfn.limits import Limits

__all__ = ["open_events", "read_events"]

_ARRAY_BYTES = 64 << 20
_MOST_EVENTS = 1_000_000
_CHUNK = 1 << 20


def open_events(name: str) -> BinaryIO:
    """Return a file that can be read more than once; ``-`` is standard input.

    What comes out of a pipe is put into a file without a name. Raises SetupError with the
    file's name as field.
    """
    try:
        file = os.fdopen(os.dup(0), "rb") if name == "-" else open(name, "rb")  # noqa: SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        with file:
            return _kept(file)
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=_shown(name)) from error


def _kept(file: BinaryIO) -> BinaryIO:
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by whoever asked
    while data := file.read(_CHUNK):
        kept.write(data)
    kept.seek(0)
    return kept


def read_events(file: BinaryIO, name: str, limits: Limits) -> Iterator[Event]:
    """Yield the events of a file from its beginning.

    Raises InvalidEvent or TooLarge whose field is the file with the line, or the place in an
    array, and whose detail begins with the attribute that is wrong.
    """
    file.seek(0)
    shown = _shown(name)
    lines = _lines(file, shown, limits.body_bytes)
    number, line = next(lines, (0, b""))
    start = without_mark(line).lstrip()[:1]
    if start == b"[":
        yield from _array(file, shown)
    elif start != b"{":
        told = "expected an event, an event a line, or an array of events"
        raise InvalidEvent(told, field=f"{shown}:{number}" if number else shown)
    elif _is_json(line):
        yield _line_event(line, f"{shown}:{number}")
        for number, line in lines:
            yield _line_event(line, f"{shown}:{number}")
    else:
        yield _single(file, shown, limits.body_bytes)


def _lines(file: BinaryIO, name: str, most: int) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not blank, with their numbers."""
    number = 0
    while line := file.readline(most + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) > most:
            told = f"a line of more than {most} bytes (GPFN_MAX_BODY_BYTES)"
            raise TooLarge(told, field=f"{name}:{number}")
        if not line.isspace():
            yield number, line


def _is_json(line: bytes) -> bool:
    try:
        loads_loosely(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _event(text: bytes, where: str) -> Event:
    try:
        return read_event(text)
    except CallerError as error:
        raise InvalidEvent(_told(error, error.field or ""), field=where) from None


def _line_event(line: bytes, where: str) -> Event:
    try:
        return _event(line, where)
    except InvalidEvent as error:
        told = error.detail.replace(": line 1 column ", ": column ")  # it has a line already
        raise InvalidEvent(told, field=where) from None


def _told(error: CallerError, attribute: str) -> str:
    return error.detail if attribute in ("", "body") else f"{attribute}: {error.detail}"


def _single(file: BinaryIO, name: str, most: int) -> Event:
    return _event(_whole(file, name, most, "GPFN_MAX_BODY_BYTES"), name)


def _array(file: BinaryIO, name: str) -> Iterator[Event]:
    text = _whole(file, name, _ARRAY_BYTES, "events a line may be any number")
    try:
        yield from read_values(parse(text), _MOST_EVENTS, text)
    except CallerError as error:
        place, _, attribute = (error.field or "").partition(".")
        if not place.startswith("["):
            place, attribute = "", ""
        raise InvalidEvent(_told(error, attribute), field=f"{name}{place}") from None


def _whole(file: BinaryIO, name: str, most: int, more: str) -> bytes:
    file.seek(0)
    text = file.read(most + 1)
    if len(text) > most:
        raise TooLarge(f"more than {most} bytes ({more})", field=name)
    return text


def _shown(name: str) -> str:
    return "stdin" if name == "-" else name
