"""Fn's JSON: what a client sent, read as Go's encoding/json reads it, and what it gets.

Of a body the first value counts; unknown members are passed over, names are matched in any case,
the last of two counts, null is as if it were not there. A value of another type, a number beyond
its range, and what is no JSON are ``Invalid JSON``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import orjson

from gpfn import json_exact
from gpfn.local.fn.entity import App, Fn, Trigger
from gpfn.local.fn.errors import FnError
from gpfn.timestamps import is_timestamp

__all__ = [
    "APP_FIELDS",
    "FN_FIELDS",
    "MOST_DOCUMENT_BYTES",
    "TRIGGER_FIELDS",
    "Fields",
    "app_document",
    "fn_document",
    "read",
    "trigger_document",
    "written",
]

MOST_DOCUMENT_BYTES = 1 << 20
"""An Fn server has no limit; a document of more than this has no use here."""

_INVOKE_ENDPOINT = "fnproject.io/fn/invokeEndpoint"
_HTTP_ENDPOINT = "fnproject.io/trigger/httpEndpoint"
_ZERO_TIME = "0001-01-01T00:00:00"
_ESCAPED = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
_MOST_MEMORY = (1 << 64) - 1
_MOST_SECONDS = (1 << 31) - 1


def _text(value: object) -> str:
    return value if isinstance(value, str) else _wrong()


def _time(value: object) -> str:
    """Return a time, nothing for Go's zero time, which clients send for "not set"."""
    text = _text(value)
    if text and not is_timestamp(text.upper()):
        _wrong()
    return "" if text.startswith(_ZERO_TIME) else text or "1970-01-01T00:00:00.000Z"


def _config(value: object) -> dict[str, str]:
    found = value if isinstance(value, dict) else _wrong()
    return {key: "" if each is None else _text(each) for key, each in found.items()}


def _annotations(value: object) -> dict[str, Any]:
    """Return annotations, which may be any JSON, but with a number beyond a double in it."""
    if not isinstance(value, dict) or json_exact.find(value, _is_beyond) is not None:
        _wrong()
    return value


def _is_beyond(value: object) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _memory(value: object) -> int:
    return _whole(value, 0, _MOST_MEMORY)


def _seconds(value: object) -> int:
    return _whole(value, -_MOST_SECONDS - 1, _MOST_SECONDS)


def _whole(value: object, least: int, most: int) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return value if fits else _wrong()  # type: ignore[return-value]


def _wrong() -> NoReturn:
    raise FnError("invalid json")


Fields = Mapping[str, Callable[[object], Any]]

_OF_ALL: Fields = {
    "id": _text,
    "name": _text,
    "annotations": _annotations,
    "created_at": _time,
    "updated_at": _time,
}
APP_FIELDS: Fields = {**_OF_ALL, "config": _config, "syslog_url": _text, "shape": _text}
FN_FIELDS: Fields = {
    **_OF_ALL,
    "app_id": _text,
    "image": _text,
    "memory": _memory,
    "timeout": _seconds,
    "idle_timeout": _seconds,
    "config": _config,
    "shape": _text,
}
TRIGGER_FIELDS: Fields = {
    **_OF_ALL,
    "app_id": _text,
    "fn_id": _text,
    "type": _text,
    "source": _text,
}


def read(body: bytes | memoryview, fields: Fields) -> dict[str, Any]:
    """Return the members of a document that are known, read by ``fields``.

    Raises FnError.
    """
    if len(body) > MOST_DOCUMENT_BYTES:
        raise FnError("too large")
    found = _parsed(bytes(body).decode("utf-8", "replace"))
    if found is None:
        return {}
    if not isinstance(found, dict):
        _wrong()
    members = {name if name in fields else name.lower(): each for name, each in found.items()}
    return {
        name: reader(members[name])
        for name, reader in fields.items()
        if members.get(name) is not None
    }


def app_document(app: App) -> dict[str, Any]:
    """Return an app's document; what is empty is left out."""
    found = app._asdict()
    optional = ("config", "annotations", "syslog_url", "shape")
    return {key: value for key, value in found.items() if value or key not in optional}


def fn_document(fn: Fn, host: str, *, given: bool = False) -> dict[str, Any]:
    """Return a function's document, with its endpoint on ``host`` if there is one.

    An empty config is null, but an object in the reply to a request that gave one.
    """
    endpoint = {_INVOKE_ENDPOINT: f"http://{host}/invoke/{fn.id}"} if host else {}
    annotations = {**fn.annotations, **endpoint}
    found: dict[str, Any] = {
        "id": fn.id,
        "name": fn.name,
        "app_id": fn.app_id,
        "image": fn.image,
        "memory": fn.memory,
        "timeout": fn.timeout,
        "idle_timeout": fn.idle_timeout,
        "config": fn.config or ({} if given else None),
    }
    if annotations:
        found["annotations"] = annotations
    found["created_at"] = fn.created_at
    if fn.shape:
        found["shape"] = fn.shape
    found["updated_at"] = fn.updated_at
    return found


def trigger_document(trigger: Trigger, app: App | None, host: str) -> dict[str, Any]:
    """Return a trigger's document, with its endpoint on ``host`` when its app is given."""
    found: dict[str, Any] = {
        "id": trigger.id,
        "name": trigger.name,
        "app_id": trigger.app_id,
        "fn_id": trigger.fn_id,
        "created_at": trigger.created_at,
        "updated_at": trigger.updated_at,
        "type": trigger.type,
        "source": trigger.source,
    }
    annotations = dict(trigger.annotations)
    if app is not None:
        annotations[_HTTP_ENDPOINT] = f"http://{host}/t/{app.name}/{trigger.source[1:]}"
    return {**found, "annotations": annotations} if annotations else found


def written(value: object, *, line: bool = False) -> bytes:
    """Return JSON as Go writes it: compact, with what HTML would take for a tag escaped."""
    text = json_exact.dumps(value, option=orjson.OPT_APPEND_NEWLINE if line else None)
    for plain, escaped in _ESCAPED:
        if plain in text:
            text = text.replace(plain, escaped)
    return text


def _parsed(text: str) -> object:
    try:
        value: object = _DECODER.raw_decode(text.lstrip(" \t\r\n"))[0]
        return _whole_text(value) if "\\ud" in text.lower() else value
    except (ValueError, RecursionError):
        _wrong()


def _whole_text(value: Any) -> Any:
    """Return a value in whose texts half a surrogate pair is U+FFFD, as Go reads it."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_text(each) for each in value]
    if isinstance(value, dict):
        return {_whole_text(key): _whole_text(each) for key, each in value.items()}
    return value


def _no_constant(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
