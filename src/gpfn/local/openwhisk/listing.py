"""How a list is asked for: ``limit``, ``skip`` and ``count`` (RestAPIs.scala).

The last changed comes first, so that what is new never moves what is behind it out of sight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from gpfn.http.loop import Response
from gpfn.local.openwhisk.asking import WhiskRequest
from gpfn.local.openwhisk.documents import WhiskEntity, list_document
from gpfn.local.openwhisk.refusing import WhiskRefusal, json_reply

__all__ = ["MOST_LISTED", "ListQuery", "Listed", "list_reply", "read_list"]

MOST_LISTED = 200
_DEFAULT = 30
_WHOLE = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_BEYOND = 1 << 31


class Listed(Protocol):
    """What finds entities."""

    def __call__(self, *, skip: int, limit: int) -> Iterable[WhiskEntity]:
        """Return ``limit`` of them at most, without the first ``skip``."""


class ListQuery(NamedTuple):
    """What is wanted of a list; ``counted`` only how many there are behind ``skip``."""

    skip: int
    limit: int
    counted: bool


def read_list(request: WhiskRequest, collection: str) -> ListQuery:
    """Return what is wanted of a ``collection``, such as ``actions``. Raises WhiskRefusal (400)."""
    skip = _whole(request, "skip", 0, collection)
    if skip < 0:
        raise _wrong("skip", f"The value '{skip}' is not greater than or equal to 0", collection)
    limit = _whole(request, "limit", _DEFAULT, collection)
    if not 0 <= limit <= MOST_LISTED:
        said = f"The value '{limit}' is not in the range of 0 to {MOST_LISTED}"
        raise _wrong("limit", said, collection)
    return ListQuery(skip, limit or MOST_LISTED, request.flag("count"))


def list_reply(
    request: WhiskRequest,
    collection: str,
    listed: Listed,
    count: Callable[[], int],
) -> Response:
    """Answer with the documents of what is ``listed``, or with their count."""
    wanted = read_list(request, collection)
    if wanted.counted:
        return json_reply({collection: max(count() - wanted.skip, 0)})
    found = listed(skip=wanted.skip, limit=wanted.limit)
    return json_reply([*map(list_document, found)])


def _whole(request: WhiskRequest, key: str, default: int, collection: str) -> int:
    text = request.query.get(key, "")
    if not text:
        return default
    number = int(text) if _WHOLE.fullmatch(text) else _BEYOND
    if not -_BEYOND <= number < _BEYOND:
        raise _wrong(key, f"The value '{text:.99}' is not an integer", collection)
    return number


def _wrong(key: str, said: str, collection: str) -> WhiskRefusal:
    begin = f"The query parameter '{key}' was malformed:"
    return WhiskRefusal(400, f"{begin}\n{said} for {collection}.")
