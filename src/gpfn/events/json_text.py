"""JSON text to values and back, and members that occur twice in an event's text.

orjson parses and writes (:mod:`gpfn.json_exact`). Of two members of one name it keeps the
last and reports nothing, but the loss can be counted: each member has one colon, so that a
text has as many as its value written again, unless a member was lost. When all data are
numbers, counting quotes is enough. Counting takes a microsecond where parsing in Python
would take hundreds; only a text whose count differs is scanned.

Only an event's own members are checked, not those of objects inside its data: what two
members of one name mean there is up to the application.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import quoted
from gpfn.json_exact import (
    UnreadableNumber,
    UnwritableNumber,
    dumps,
    encoding,
    loads,
    loads_loosely,
    path_of,
    settle,
)

__all__ = ["colons", "encode", "parse", "parse_loosely", "refuse_duplicates", "scan", "settled"]


def parse(text: bytes | memoryview, *, field: str = "body") -> object:
    """Return the exact value of JSON text; raises InvalidEvent within ``field`` when it is none."""
    try:
        return loads(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(bytes(text), error, field) from None


def parse_loosely(text: bytes | memoryview, *, field: str = "body") -> object:
    """Return the value of JSON text, which :func:`settled` may have to read once more.

    Raises as :func:`parse` does.
    """
    try:
        return loads_loosely(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(bytes(text), error, field) from None


def settled(value: object, text: bytes) -> object:
    """Return the exact value of ``text``, of which ``value`` was parsed; raises InvalidEvent."""
    try:
        return settle(value, text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(text, error, "body") from None


def _unreadable(text: bytes, error: orjson.JSONDecodeError, field: str) -> InvalidEvent:
    """Return the error for text that is no JSON, which says what it is instead."""
    if isinstance(error, UnreadableNumber):
        # an event's own members have paths without the body before them
        path = path_of("" if field == "body" else field, error.steps)
        return InvalidEvent(error.detail, field=path or field)
    if not text:
        return InvalidEvent("empty; expected JSON", field=field)
    if encoding(text) not in ("utf-8", "utf-8-sig"):
        return InvalidEvent(error.msg, field=field)
    try:
        text.decode()
    except UnicodeDecodeError as bad:
        where = f"byte 0x{text[bad.start]:02x} at offset {bad.start}"
        return InvalidEvent(f"not UTF-8: {where}", field=field)
    if "depth" in error.msg or "ecursion" in error.msg:
        # Attributes cannot be nested: whatever is so deep stands in the data.
        return InvalidEvent("nested deeper than 1024 levels", field="data")
    return InvalidEvent(f"not JSON: {error}", field=field)


def encode(value: object, root: str = "") -> bytes:
    """Return a JSON value as text; ``root`` begins the path of a number in it.

    Raises InvalidEvent when it is nested too deeply to be written, ValueError when it has a
    number that is too long, TypeError when it is not a JSON value.
    """
    try:
        return dumps(value)
    except UnwritableNumber as error:
        raise ValueError(f"{path_of(root, error.steps)}: {error}") from None
    except orjson.JSONEncodeError as error:
        if "ecursion" in str(error):
            raise InvalidEvent("nested deeper than 254 levels", field="data") from None
        raise


_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:")
_OPENING = frozenset(b"[{")
_QUOTE = ord('"')


def refuse_duplicates(
    text: bytes, kept: Sequence[object], *, apart: int = 0, level: int = 1
) -> None:
    """Raise InvalidEvent when an envelope in ``text`` has two members of one name.

    ``kept`` are the values that were parsed from it, ``apart`` the number of members
    taken out of them. ``level`` is the nesting level of the envelopes, 2 in a batch.
    """
    try:
        expected = sum([orjson.dumps(value).count(b":") for value in kept]) + apart
    except orjson.JSONEncodeError:  # nested deeper than it writes: the scan has to tell
        expected = -1
    if colons(text) != expected:
        scan(text, level=level)


def colons(text: bytes) -> int:
    """Return the number of colons in JSON text, counting those spelled with an escape.

    May count too many (a backslash before ``u003a``), never too few.
    """
    found = text.count(b":")
    if b"\\" in text:
        found += text.count(b"\\u003a") + text.count(b"\\u003A")
    return found


def scan(text: bytes, *, level: int = 1) -> None:
    """Raise InvalidEvent when an object at this nesting level has two members of one name.

    ``text`` must be valid JSON.
    """
    depth, events = 0, -1
    seen: set[str] = set()
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in _OPENING:
            depth += 1
            if depth == level:
                seen = set()
                events += 1
        elif first != _QUOTE:
            depth -= 1
        elif depth == level and _COLON.match(text, token.end()):
            name = orjson.loads(token[0])
            if name in seen:
                raise InvalidEvent("the member occurs twice", field=_path(name, events, level))
            seen.add(name)


def _path(name: str, index: int, level: int) -> str:
    shown = name if name.isascii() and name.isprintable() and len(name) <= 80 else quoted(name)
    return shown if level == 1 else f"[{index}].{shown}"
