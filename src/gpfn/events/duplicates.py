"""Members that occur twice in an event's JSON, which the parser does not report.

Of two members of one name the parser keeps the last. What it lost shows in a count: of
quotes, when all the data are numbers, or else of colons. Each member has one colon, so a
text holds as many as the value that was parsed from it, written again, unless a member
was lost. Counting costs a microsecond where parsing in Python would cost hundreds; only
texts that do not add up are scanned.

Only the members of the envelope are judged. Data are the application's own, and what
it makes of two members of one name in there is its affair.
"""

import re
from collections.abc import Sequence

import orjson

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import quoted

__all__ = ["colons", "quotes", "refuse_duplicates", "scan"]

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:")
_OPENING = frozenset(b"[{")
_QUOTE = ord('"')
_SHORT = 4096


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


def quotes(text: bytes) -> int:
    """Return the number of double quotes, escaped ones included."""
    if len(text) < _SHORT:
        return text.count(b'"')
    return len(text) - len(text.replace(b'"', b""))  # count() looks at every single byte


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
