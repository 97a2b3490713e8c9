"""What a page of the console is asked for: everything of it stands in its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

__all__ = ["SHOWN", "SPANS", "PageAsked"]

SPANS = {1: "1 min", 10: "10 min", 60: "1 h"}
"""Minutes that the timeline may show."""
SHOWN = {"": "All", "failed": "Failed", "cold": "Cold"}
"""Which calls the list may have."""

_LONGEST = 400
_MOST_NUMBER = 1 << 60


class PageAsked(NamedTuple):
    """What somebody wants to see.

    ``function`` is the key of a function, ``call`` a number or 0 for the newest, ``span`` the
    minutes of the timeline, ``only`` one of `SHOWN`, ``of`` limits the list to the function's
    calls, ``before`` begins it at a number. ``sample`` and ``way`` are what the form is filled
    with, ``production`` the platform that the differences are from.
    """

    function: str = ""
    call: int = 0
    span: int = 10
    only: str = ""
    of: str = ""
    before: int = 0
    sample: str = ""
    way: str = ""
    production: str = "fn"

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> PageAsked:
        """Return what a query asks for; what cannot be is as if it were not there."""
        span = _number(query.get("span", ""))
        only, production = query.get("only", ""), query.get("production", "fn")
        return cls(
            query.get("function", "")[:_LONGEST],
            _number(query.get("call", "")),
            span if span in SPANS else 10,
            only if only in SHOWN else "",
            "1" if query.get("of") else "",
            _number(query.get("before", "")),
            query.get("sample", "")[:_LONGEST],
            query.get("way", "")[:_LONGEST],
            production if production in ("fn", "openwhisk") else "fn",
        )

    def address(self, path: str = "/", **changes: object) -> str:
        """Return where the same is, with changes; not yet escaped for HTML."""
        asked = self._replace(**changes)  # type: ignore[arg-type]
        usual = PageAsked()
        told = {
            name: value for name, value in asked._asdict().items() if value != getattr(usual, name)
        }
        return path + (f"?{urlencode(told)}" if told else "")


def _number(text: str) -> int:
    plain = text.isascii() and text.isdecimal() and len(text) < 20
    return min(int(text), _MOST_NUMBER) if plain else 0
