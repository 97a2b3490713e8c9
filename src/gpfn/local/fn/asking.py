"""A request to Fn's REST, as it is looked at: its path, its query, its document."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from gpfn.http.loop.exchange import Exchange
from gpfn.local.fn.documents import Fields, read
from gpfn.local.fn.errors import FnError

__all__ = ["FnRequest", "Page", "changes_of", "decoded", "match", "page_of", "query_of"]

_PER_PAGE, _MOST_PER_PAGE = 30, 100
_MOST_FIELDS = 100
_CURSOR = re.compile(r"[A-Za-z0-9_-]*")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


class FnRequest(NamedTuple):
    """A request that has a route: the variable parts of its path, its query, its body."""

    exchange: Exchange
    parts: Sequence[str]
    query: Mapping[str, str]
    body: bytes | memoryview

    @property
    def host(self) -> str:
        """What the client calls this server, which endpoints are named by."""
        return self.exchange.fields.by_name.get("host", "")


class Page(NamedTuple):
    """Which part of a list: what is behind the name ``after``, at most ``limit``."""

    after: str
    limit: int


def decoded(path: str) -> str:
    """Return a path as text; what is no UTF-8 names nothing, and is U+FFFD."""
    return unquote_to_bytes(path).decode("utf-8", "replace") if "%" in path else path


def match(pattern: Sequence[str], parts: Sequence[str]) -> Sequence[str] | None:
    """Return the variable parts of a path that fits a pattern, None of one that does not.

    A part of a pattern that begins with a colon is one part of the path and not empty; ``*`` is
    all the rest, be it empty.
    """
    if pattern[-1] == "*" and len(parts) >= len(pattern):
        pattern, rest = pattern[:-1], parts[len(pattern) - 1 :]
        parts = parts[: len(pattern)]
    else:
        rest = ()
    if len(pattern) != len(parts):
        return None
    found = []
    for want, part in zip(pattern, parts, strict=True):
        if want[:1] == ":" and part:
            found.append(part)
        elif want != part:
            return None
    return [*found, *rest]


def query_of(text: str) -> Mapping[str, str]:
    """Return a query's fields; of a field that is repeated the first counts."""
    if not text:
        return {}
    pairs = parse_qsl("&".join(text.split("&", _MOST_FIELDS)[:_MOST_FIELDS]), errors="replace")
    return dict(reversed(pairs))


def page_of(query: Mapping[str, str]) -> Page:
    """Return the part of a list that is asked for. Raises FnError (500) for no cursor of ours."""
    cursor, number = query.get("cursor", ""), query.get("per_page", "")
    wanted = int(number) if _WHOLE.fullmatch(number) else 0
    limit = min(wanted, _MOST_PER_PAGE) if wanted > 0 else _PER_PAGE
    if not _CURSOR.fullmatch(cursor):
        raise FnError("internal")
    try:
        after = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except binascii.Error:
        raise FnError("internal") from None
    return Page(after.decode("utf-8", "replace"), limit)


def changes_of(asked: FnRequest, fields: Fields, other: str) -> dict[str, Any]:
    """Return what an update changes. Raises FnError, of the kind ``other`` for another's id."""
    changes = read(asked.body, fields)
    if changes.get("id", "") not in ("", asked.parts[0]):
        raise FnError(other)
    return changes
