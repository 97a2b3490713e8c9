"""The same from a shell: commands that run as they stand, without a secret."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import orjson

from gpfn.local.console.answers import visible
from gpfn.local.console.sending import is_object
from gpfn.media import JSON, essence

if TYPE_CHECKING:
    from gpfn.local.call_record import CallBody, CallRecord
    from gpfn.local.console.views import ShownFunction

__all__ = ["ServerAddresses", "action_target", "file_needed", "shell_commands", "web_target"]

_MOST_TYPED = 4096
"""Bytes of a body that a command has in it; a longer one is fetched."""

_BODILESS = {"GET": "", "HEAD": " --head", "DELETE": " -X DELETE", "OPTIONS": " -X OPTIONS"}
_ASCII = "".join(map(chr, range(33, 127)))


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
    given = _given(record, at)
    if record.via.startswith("trigger"):
        return _of_trigger(function, record, at, given)
    if record.platform != "openwhisk":
        return _of_fn(function, record, at, given)
    if record.via == "web" or not _is_parameters(record.request):
        return [("curl", _curl(at.openwhisk, _line(function, record), record, given))]
    return _of_openwhisk(function, record, at, given)


def action_target(action: str) -> str:
    """Return where the REST calls an action, and waits for its result."""
    return f"/api/v1/namespaces/_/actions/{quote(action)}?blocking=true&result=true"


def web_target(action: str) -> str:
    """Return where an action is one of the web."""
    package, _, name = action.rpartition("/")
    return f"/api/v1/web/guest/{quote(package or 'default')}/{quote(name)}"


def file_needed(record: CallRecord) -> str:
    """Return the file that the commands read because the body was not kept; usually none."""
    body = record.request
    return _file(body.media_type or JSON) if body.length > len(body.data) else ""


class _Given(NamedTuple):
    """What gives a command the body: what stands before it, and what behind it."""

    before: str = ""
    behind: str = ""

    def to(self, command: str) -> str:
        """Return the whole line."""
        return f"{self.before}{command}{self.behind}"


def _given(record: CallRecord, at: ServerAddresses) -> _Given:
    body = record.request
    if file := file_needed(record):
        return _Given(behind=f" < {file}")
    if not body.data:
        return _Given("printf '' | ")
    if (text := _typed(body)) is not None:
        return _Given(f"printf %s {shlex.quote(text)} | ")
    return _Given(f"curl -sS {at.fn}/ui/calls/{record.number}/event | ")


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


def _is_parameters(body: CallBody) -> bool:
    """Say whether a body can be an action's parameters; of one that was cut nobody knows."""
    return body.length > len(body.data) or is_object(body.media_type, body.data)


def _line(function: ShownFunction, record: CallRecord) -> str:
    """Return the line of a call: as it came, else what is usual for the way it came."""
    if record.line:
        return record.line
    if record.via.startswith("trigger"):
        return f"POST {quote(record.via.removeprefix('trigger '))}"
    return f"POST {web_target(function.action)}"


def _of_trigger(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, given: _Given
) -> list[tuple[str, str]]:
    """Return what calls a trigger: fn has nothing for that."""
    line = _line(function, record)
    method, _, target = line.partition(" ")
    commands = [("curl", _curl(at.fn, line, record, given))]
    if method == "POST":
        gpfn = f"gpfn invoke --at {_quoted(at.fn + target)} --content-type {_kind(record)}"
        commands.append(("gpfn", given.to(gpfn)))
    return commands


def _of_fn(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, given: _Given
) -> list[tuple[str, str]]:
    kind, line = _kind(record), f"POST /invoke/{function.invoke_id}"
    name = shlex.quote(f"{function.app}/{function.name}")
    app, own = shlex.quote(function.app), shlex.quote(function.name)
    fn = f"FN_API_URL={at.fn} fn invoke --content-type {kind} {app} {own}"
    gpfn = f"gpfn invoke --at {at.fn} --content-type {kind} {name}"
    curl = _curl(at.fn, line, record, given)
    return [("fn", given.to(fn)), ("curl", curl), ("gpfn", given.to(gpfn))]


def _of_openwhisk(
    function: ShownFunction, record: CallRecord, at: ServerAddresses, given: _Given
) -> list[tuple[str, str]]:
    name, line = shlex.quote(function.action), f"POST {action_target(function.action)}"
    key = shlex.quote(at.key)
    wsk = f"wsk --apihost {at.openwhisk} --auth {key} action invoke {name} --result"
    if record.request.data:
        file = given.behind.removeprefix(" < ") or "/dev/stdin"
        wsk = f"{given.before}{wsk} \\\n  --param-file {file}"
    gpfn = f"gpfn invoke --at {at.openwhisk} --auth {key} --platform openwhisk {name}"
    curl = _curl(at.openwhisk, line, record, given, f" -u {key}")
    return [("wsk", wsk), ("curl", curl), ("gpfn", given.to(gpfn))]


def _curl(server: str, line: str, record: CallRecord, given: _Given, more: str = "") -> str:
    """Return the whole command of curl for a request line; a body only where there was one."""
    method, _, target = line.partition(" ")
    place, kind = _quoted(server + target), record.request.media_type
    if set("[]{}") & set(target):
        more += " -g"  # they stand for themselves
    if method in _BODILESS and not record.request.length:
        header = f" \\\n  -H {shlex.quote(f'content-type: {kind}')}" if kind else ""
        return f"curl -sS{more}{_BODILESS[method]} {place}{header}"
    more += "" if method == "POST" else f" -X {shlex.quote(method)}"
    header = shlex.quote(f"content-type: {kind or JSON}")
    return given.to(f"curl -sS{more} {place} \\\n  -H {header} --data-binary @-")


def _quoted(url: str) -> str:
    """Return a URL for a shell. A target is bytes as Latin-1; what is no ASCII is encoded."""
    return shlex.quote(quote(url, safe=_ASCII, encoding="latin-1"))


def _kind(record: CallRecord) -> str:
    return shlex.quote(record.request.media_type or JSON)


def _file(kind: str) -> str:
    """Return what the body's file could be called."""
    last = "".join(c for c in essence(kind).rpartition("/")[2] if c.isalnum())
    return {"jpeg": "image.jpg", "png": "image.png", "gif": "image.gif", "webp": "image.webp"}.get(
        last, "body.json" if last.endswith("json") else "body.bin"
    )
