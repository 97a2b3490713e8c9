"""From an HTTP request to what a web action gets as its arguments (WebActions.scala).

A body that is a JSON object or a form, and the query, become arguments of their own, the body's
over the query's. A raw action gets both as they came, bytes as base64.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote_plus, unquote_plus

import orjson

from gpfn.json_exact import loads
from gpfn.local.openwhisk.asking import is_deep
from gpfn.local.openwhisk.refusing import NOT_ALLOWED, WhiskRefusal, malformed
from gpfn.platforms.openwhisk.media_types import body_text, parse_media_type

__all__ = ["RESERVED", "WebCall", "header_values", "web_arguments"]

RESERVED = frozenset(
    ("__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body")
)
"""What only the platform itself may say."""

_BYTES = "application/octet-stream"
_FORM = "application/x-www-form-urlencoded"
_FRAMING = frozenset(("content-length", "transfer-encoding", "timeout-access"))
_KEPT = "-._~!$'()*,@:/?"
_MOST_FIELDS = 1000


class WebCall(NamedTuple):
    """A request for a web action; ``path`` is what follows its name, as it came.

    ``user`` is the namespace whose key came with it, if one did.
    """

    method: str
    headers: tuple[tuple[str, str], ...]
    path: str
    query: str
    body: bytes
    user: str = ""


def web_arguments(request: WebCall, final: Iterable[str], *, raw: bool) -> dict[str, Any]:
    """Return a web action's arguments.

    Raises WhiskRefusal (400): for a body that is not what it says, and for arguments that are
    reserved or ``final``, which a raw action is not kept from.
    """
    known = _metadata(request)
    if raw:
        body = body_text(request.body, _content_type(request) or _BYTES)
        return {**known, "__ow_query": _rendered(request.query), "__ow_body": body}
    query, body_members = dict(_pairs(request.query)), _body(request)
    given = {*query, *(body_members if _has_members(request) else ())}
    if not given.isdisjoint(RESERVED.union(final)):
        raise WhiskRefusal(400, NOT_ALLOWED)
    return {**known, **query, **body_members}


def header_values(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a request's headers as actions get them: of repeated ones the last."""
    return {name: value for name, value in headers if name not in _FRAMING}


def _metadata(request: WebCall) -> dict[str, Any]:
    headers = header_values(request.headers)
    if request.body:
        headers.setdefault("content-type", _BYTES)
    user = {"__ow_user": request.user} if request.user else {}
    return {
        "__ow_method": request.method.lower(),
        "__ow_headers": headers,
        "__ow_path": request.path,
        **user,
    }


def _body(request: WebCall) -> dict[str, Any]:
    """Return the arguments that a body makes: its members, or ``__ow_body``."""
    kind = _kind(request)
    if kind == "json":
        if not request.body:
            return {}
        value = _json(request.body)
        return value if isinstance(value, dict) else {"__ow_body": value}
    if kind == "form":
        return dict(_pairs(request.body.decode("utf-8", "replace")))
    if kind == "none":
        return {}
    return {"__ow_body": body_text(request.body, _content_type(request) or _BYTES)}


def _has_members(request: WebCall) -> bool:
    """Say whether the body's arguments are the caller's own names."""
    kind = _kind(request)
    return kind == "form" or (kind == "json" and request.body.lstrip()[:1] == b"{")


def _kind(request: WebCall) -> str:
    stated = _content_type(request)
    if not stated:
        return "other" if request.body else "none"
    parsed = parse_media_type(stated)
    if parsed is None:
        return "other"
    return "json" if parsed.json else "form" if parsed.value == _FORM else "other"


def _json(body: bytes) -> Any:
    try:
        value = loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is no JSON: {error}") from None
    if is_deep(value):
        raise malformed("the body is nested too deep")
    return value


def _content_type(request: WebCall) -> str:
    return next((value for name, value in request.headers if name == "content-type"), "")


def _pairs(query: str) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise WhiskRefusal(400, f"more than {_MOST_FIELDS} fields") from None


def _rendered(query: str) -> str:
    """Return a query as the platform writes it again: spaces as plus signs."""
    return "&".join(
        equals.join(quote_plus(unquote_plus(part), safe=_KEPT) for part in (name, value))
        for name, equals, value in (field.partition("=") for field in query.split("&"))
    )
