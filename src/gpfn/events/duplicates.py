"""Members that occur twice in an event's JSON, which the parser does not report.

Of two members of one name the parser keeps the last. What it lost shows in the colons:
each member has one, so a text holds as many as the value parsed from it, written
again, unless a member was lost. Counting them costs a microsecond where parsing in
Python would cost a hundred; only texts that do not add up are scanned.

Only the members of the envelope are judged. Data are the application's own, and what
it makes of two members of one name in there is its affair.
"""

import re

import orjson

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import quoted

__all__ = ["colons", "refuse_duplicates"]

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:")
_OPENING = frozenset(b"[{")
_QUOTE = ord('"')


def colons(text: bytes) -> int:
    """Return the number of colons in JSON text, counting those spelled with an escape.

    May count too many (a backslash before ``u003a``), never too few.
    """
    # replace() finds single bytes at memory speed, count() looks at each.
    found = len(text) - len(text.replace(b":", b""))
    if b"\\" in text:
        found += text.count(b"\\u003a") + text.count(b"\\u003A")
    return found


def refuse_duplicates(text: bytes, *, level: int = 1) -> None:
    """Raise InvalidEvent when an object at this nesting level has two members of one name.

    ``level`` is 1 for an event and 2 for a batch; ``text`` must be valid JSON.
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
