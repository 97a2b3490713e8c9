"""From a web action's result to the HTTP response that its extension asks for (WebActions.scala).

It is as strict as the platform: what does not fit is a 400 that says so, and a plain result
asked for as ``.http`` is an empty 204. Of an application error the value of ``error`` is
answered in the same way.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

from gpfn.http.loop import Response
from gpfn.http.writer import check_header
from gpfn.json_exact import dumps
from gpfn.local.openwhisk.executable import is_binary
from gpfn.local.openwhisk.refusing import INTERNAL
from gpfn.local.openwhisk.results import APPLICATION_ERROR, SUCCESS, ActivationResponse
from gpfn.platforms.openwhisk.media_types import MediaType, parse_media_type

__all__ = ["EXTENSIONS", "split_extension", "web_error", "web_response"]

_NO_PROPERTY = "Response does not include requested property."
_NO_TYPE = "Response did not specify a known content-type."
_OTHER_TYPE = "Response type in header did not match generated content type."
_FAILED = "There was an error processing your request."
_JSON = (("content-type", "application/json"),)
_UTF8 = "; charset=UTF-8"
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_FIXED = frozenset(
    (
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/problem+json",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/event-stream",
    )
)
"""Text that is always UTF-8, and so says nothing of its charset."""

_OF_THE_SERVER = frozenset(("connection", "content-length", "date", "server", "transfer-encoding"))
_EMPTY = (204, 304)

_Headers = tuple[tuple[str, str], ...]


class _Invalid(Exception):
    """A result that is not what its extension needs; the message is the caller's."""


def split_extension(name: str) -> tuple[str, str]:
    """Return a name without its extension, and the extension: ``.http`` when it has none."""
    for extension in EXTENSIONS:
        if name.endswith(extension):
            return name.removesuffix(extension), extension
    return name, ".http"


def web_response(response: ActivationResponse, extension: str, transaction: str) -> Response:
    """Return what the caller gets for what an action answered."""
    result = response.result
    if response.code not in (SUCCESS, APPLICATION_ERROR):
        return web_error(400, _FAILED, transaction)
    if not isinstance(result, dict):  # an array, which the platform trips over
        return web_error(500, INTERNAL, transaction)
    if response.code == APPLICATION_ERROR:
        result = result["error"]
    try:
        return EXTENSIONS[extension](result)
    except _Invalid as invalid:
        status = 404 if str(invalid) == _NO_PROPERTY else 400
        return web_error(status, str(invalid), transaction)


def web_error(status: int, message: str, transaction: str) -> Response:
    """Return a refusal as the web actions' routes write it."""
    return Response(status, _JSON, (_pretty({"error": message, "code": transaction}).encode(),))


def _as_html(result: Any) -> Response:
    html = _property(result, "html")
    if not isinstance(html, str):
        raise _Invalid("Response is not valid 'text/html'.")
    return _text(200, html, "text/html")


def _as_svg(result: Any) -> Response:
    svg = _property(result, "svg")
    if not isinstance(svg, str):
        raise _Invalid("Response is not valid 'image/svg+xml'.")
    return Response(200, (("content-type", "image/svg+xml"),), (_bytes(svg),))


def _as_text(result: Any) -> Response:
    if isinstance(result, dict) and not {"body", "text"}.intersection(result):
        raise _Invalid(_NO_PROPERTY)
    value = _property(result, "text")
    return _text(200, value if isinstance(value, str) else _pretty(value), "text/plain")


def _as_json(result: Any) -> Response:
    if not isinstance(result, dict | list):
        raise _Invalid("Response is not valid 'application/json'.")
    return Response(200, _JSON, (_pretty(result).encode(),))


def _as_http(result: Any) -> Response:
    if not isinstance(result, dict):
        raise _not_http()
    headers = _headers(result.get("headers", {}))
    stated = _status(result["statusCode"]) if "statusCode" in result else None
    body = result.get("body")
    if body is None or body == "":
        return Response(stated or 204, _without_type(headers), ())
    status = stated or 200
    answer = _string if isinstance(body, str) else _value
    content_type, data = answer(body, headers)
    if status in _EMPTY:
        return Response(status, _without_type(headers), ())
    return Response(status, (("content-type", content_type), *_without_type(headers)), (data,))


def _string(body: str, headers: _Headers) -> tuple[str, bytes]:
    """Return a body that is text, or base64 of what is none."""
    stated = next((value for name, value in headers if name == "content-type"), "text/html")
    parsed = parse_media_type(stated)
    if parsed is None:
        raise _Invalid(_NO_TYPE)
    as_json = parsed.value == "application/json" or parsed.json
    if parsed.text and not (as_json and is_binary(body)):
        return _rendered(parsed), _bytes(body)
    try:
        return _rendered(parsed), _decoded(body)
    except ValueError:
        raise _Invalid(_OTHER_TYPE) from None


def _value(body: Any, headers: _Headers) -> tuple[str, bytes]:
    """Return a body that is a value: JSON, whichever relation of it the header says."""
    stated = next((value for name, value in headers if name == "content-type"), _JSON[0][1])
    parsed = parse_media_type(stated)
    if parsed is None or not parsed.json:
        raise _Invalid(_OTHER_TYPE)
    return parsed.base, _pretty(body).encode()


def _headers(value: Any) -> _Headers:
    if not isinstance(value, dict):
        raise _not_http()
    found = tuple((name.lower(), text) for name, given in value.items() for text in _texts(given))
    for name, text in found:
        try:
            if name not in _OF_THE_SERVER:
                check_header(name, text)
        except ValueError:
            raise _not_http() from None
    return tuple(pair for pair in found if pair[0] not in _OF_THE_SERVER)


def _texts(value: Any) -> list[str]:
    """Return the values of a header: text, a number, true or false, or several of them."""
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    if isinstance(value, str):
        return [value]
    if value is None or isinstance(value, dict):
        raise _not_http()
    return [dumps(value).decode()]


def _status(value: Any) -> int:
    """Return a status: a whole number, or its digits."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise _not_http()
    if not 200 <= value <= 599:
        raise _not_http()
    return int(value)


def _property(result: Any, name: str) -> Any:
    """Return what of a result is shown: its ``body``, its member, or all of what is no object."""
    if not isinstance(result, dict):
        return result
    return result["body"] if "body" in result else result.get(name)


def _text(status: int, text: str, base: str) -> Response:
    return Response(status, (("content-type", f"{base}{_UTF8}"),), (_bytes(text),))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _decoded(text: str) -> bytes:
    """Decode base64 as the platform's decoder does: the padding may be missing."""
    padded = text if text.endswith("=") else text + "=" * (-len(text) % 4)
    return binascii.a2b_base64(padded.encode("ascii"), strict_mode=True)


def _rendered(parsed: MediaType) -> str:
    says_charset = parsed.text and parsed.base not in _FIXED
    return f"{parsed.value}{_UTF8}" if says_charset else parsed.value


def _without_type(headers: _Headers) -> _Headers:
    return tuple(pair for pair in headers if pair[0] != "content-type")


def _not_http() -> _Invalid:
    return _Invalid("Response is not valid 'message/http'.")


def _pretty(value: Any, indent: int = 0) -> str:
    """Write JSON as the platform does for people: members on lines of their own."""
    if isinstance(value, list):
        return f"[{', '.join(_pretty(each, indent) for each in value)}]"
    if not isinstance(value, dict):
        return dumps(value).decode()
    inner = indent + 2
    members = ",\n".join(
        f"{' ' * inner}{dumps(key).decode()}: {_pretty(each, inner)}" for key, each in value.items()
    )
    return f"{{\n{members}\n{' ' * indent}}}"


EXTENSIONS: dict[str, Callable[[Any], Response]] = {
    ".http": _as_http,
    ".json": _as_json,
    ".html": _as_html,
    ".svg": _as_svg,
    ".text": _as_text,
}
"""How a result is answered, by the extension of the action's name in the path."""
