"""The replies of Fn's REST: status, media type and form as an Fn server gives them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus
from typing import Any

from gpfn.errors import CallerError, GpfnError, Overloaded, TooLarge
from gpfn.http.loop.exchange import Headers, Response
from gpfn.local.fn.documents import written
from gpfn.local.fn.entity import App, Fn, Trigger
from gpfn.local.fn.errors import REFUSALS, FnError

__all__ = [
    "NO_CONTENT",
    "failure_reply",
    "json_reply",
    "listed",
    "message_reply",
    "moved",
    "not_found",
]

_JSON = (("Content-Type", "application/json; charset=utf-8"),)
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_HTML = (("Content-Type", "text/html; charset=utf-8"),)

_SERVERS_FAULT = 500

NO_CONTENT = Response(204, _TEXT, ())


def json_reply(value: object) -> Response:
    """Return a document."""
    return Response(200, _JSON, (written(value),))


def listed(
    found: Sequence[App | Fn | Trigger], documents: Sequence[Mapping[str, Any]], limit: int
) -> Response:
    """Return a page of a list; a full one has a cursor, also if it is the last."""
    page: dict[str, Any] = {}
    if found and len(found) == limit:
        cursor = base64.urlsafe_b64encode(found[-1].name.encode("utf-8", "replace"))
        page["next_cursor"] = cursor.decode().rstrip("=")
    return json_reply({**page, "items": documents})


def message_reply(status: int, message: str, headers: Headers = ()) -> Response:
    """Return an error as Fn tells it."""
    return Response(status, (*_JSON, *headers), (written({"message": message}, line=True),))


def failure_reply(error: BaseException) -> Response:
    """Return the reply to a request that failed."""
    if isinstance(error, FnError):
        reply = message_reply(error.status, error.message)
        # gin has sent the head of a body that is no JSON before the server says so
        return reply._replace(headers=_TEXT) if error.kind == "invalid json" else reply
    if isinstance(error, TooLarge):
        return message_reply(*REFUSALS["too large"])
    if isinstance(error, CallerError | Overloaded) or (
        isinstance(error, GpfnError) and error.status < _SERVERS_FAULT
    ):
        return message_reply(error.status, str(error))  # an unknown method's is 501
    return message_reply(*REFUSALS["internal"])


def not_found(method: str, path: str) -> FnError:
    """Return what is wrong with a path that is not there."""
    return FnError("", f"Path not found: {method} {path}", 404)


def moved(method: str, path: str, query: str) -> Response:
    """Return where a path with a slash too many is, as gin does."""
    place = f"{path}?{query}" if query else path
    status = HTTPStatus.MOVED_PERMANENTLY if method == "GET" else HTTPStatus.TEMPORARY_REDIRECT
    text = f'<a href="{escape(place)}">{status.phrase}</a>.\n\n' if method == "GET" else ""
    return Response(int(status), (*_HTML, ("Location", place)), (text.encode(),))
