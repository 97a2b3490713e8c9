"""The same from a shell: commands that run as they stand, without a secret."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gpfn.local.console.answers import visible
from gpfn.media import JSON, essence

if TYPE_CHECKING:
    from gpfn.local.call_record import CallBody, CallRecord
    from gpfn.local.console.views import ShownFunction

__all__ = ["ServerAddresses", "file_needed", "shell_commands"]

_MOST_TYPED = 4096
"""Bytes of a body that a command has in it; a longer one is fetched."""


class ServerAddresses(NamedTuple):
    """Where Fn and OpenWhisk are served, and OpenWhisk's key for guests, which is public."""

    fn: str
    openwhisk: str
    key: str


def shell_commands(
    function: ShownFunction, record: CallRecord, at: ServerAddresses
) -> list[tuple[str, str]]:
    """Return a name and a command for each program that makes the same call.

    A body that is too long to be typed is fetched from the console; what was not kept whole is to
    be put in a file first.
    """
    data, file = _body(record, at)
    if record.platform != "openwhisk":
        return _of_fn(function, record, at, data, file)
    if record.via.startswith("web") or not _is_object(record):
        return _of_web(function, record, at, data, file)
    return _of_openwhisk(function, record, at, data, file)


def file_needed(record: CallRecord) -> str:
    """Return the file that the commands read because the body was not kept; usually none."""
    body = record.request
    return _file(body.media_type or JSON) if body.length > len(body.data) else ""


def _body(record: CallRecord, at: ServerAddresses) -> tuple[str, str]:
    """Return what stands before a command to give it the body, and what stands behind it."""
    body = record.request
    if file := file_needed(record):
        return "", f" < {file}"
    if not body.data:
        return "printf '' | ", ""
    if (text := _typed(body)) is not None:
        return f"printf %s {shlex.quote(text)} | ", ""
    return f"curl -sS {at.fn}/ui/calls/{record.number}/event | ", ""


def _typed(body: CallBody) -> str | None:
    """Return a body as a command has it: JSON without what cannot be seen."""
    if len(body.data) > _MOST_TYPED or b"\0" in body.data:
        return None
    try:
        text = body.data.decode()
    except UnicodeDecodeError:
        return None
    try:
        orjson.loads(body.data)
    except orjson.JSONDecodeError:
        return text if visible(text) == text else None
    return visible(text.rstrip())


def _is_object(record: CallRecord) -> bool:
    body = record.request
    return "json" in (body.media_type or JSON) and body.data.lstrip()[:1] in (b"{", b"")


def _of_fn(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, data: str, file: str
) -> list[tuple[str, str]]:
    kind = shlex.quote(record.request.media_type or JSON)
    name = shlex.quote(f"{function.app}/{function.name}")
    app, own = shlex.quote(function.app), shlex.quote(function.name)
    trigger = record.via.startswith("trigger") and function.trigger
    place = shlex.quote(at.fn + (function.trigger if trigger else f"/invoke/{function.invoke_id}"))
    invoke = f"FN_API_URL={at.fn} fn invoke --content-type {kind} {app} {own}"
    return [
        ("fn", f"{data}{invoke}{file}"),
        ("curl", f"{data}{_curl(place, record)}{file}"),
        ("gpfn", f"{data}gpfn invoke --at {at.fn} --content-type {kind} {name}{file}"),
    ]


def _of_openwhisk(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, data: str, file: str
) -> list[tuple[str, str]]:
    name, path = shlex.quote(function.action), "/api/v1/namespaces/_/actions/"
    place = shlex.quote(f"{at.openwhisk}{path}{function.action}?blocking=true&result=true")
    key = shlex.quote(at.key)
    wsk = f"wsk --apihost {at.openwhisk} --auth {key} action invoke {name} --result"
    if record.request.data:
        wsk = f"{data}{wsk} \\\n  --param-file {file.removeprefix(' < ') or '/dev/stdin'}"
    gpfn = f"gpfn invoke --at {at.openwhisk} --auth {key} --platform openwhisk {name}"
    return [
        ("wsk", wsk),
        ("curl", f"{data}{_curl(place, record, f'-u {key} ')}{file}"),
        ("gpfn", f"{data}{gpfn}{file}"),
    ]


def _of_web(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, data: str, file: str
) -> list[tuple[str, str]]:
    """Return the one program that calls a web action, with a body that is no JSON object too."""
    package, _, name = function.action.rpartition("/")
    place = shlex.quote(f"{at.openwhisk}/api/v1/web/guest/{package or 'default'}/{name}")
    return [("curl", f"{data}{_curl(place, record)}{file}")]


def _curl(place: str, record: CallRecord, more: str = "") -> str:
    header = shlex.quote(f"content-type: {record.request.media_type or JSON}")
    return f"curl -sS {more}{place} \\\n  -H {header} --data-binary @-"


def _file(kind: str) -> str:
    """Return what the body's file could be called."""
    last = "".join(c for c in essence(kind).rpartition("/")[2] if c.isalnum())
    return {"jpeg": "image.jpg", "png": "image.png", "gif": "image.gif", "webp": "image.webp"}.get(
        last, "body.json" if last.endswith("json") else "body.bin"
    )
