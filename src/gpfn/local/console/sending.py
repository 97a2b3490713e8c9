"""What people send from the console: an event's text or an image, once or some times."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from gpfn import json_exact
from gpfn.errors import InvalidRequest
from gpfn.local.console.functions_panel import SendForm
from gpfn.local.console.views import SentEvent
from gpfn.media import EVENT, JSON, essence

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord
    from gpfn.local.console.looking import Looked
    from gpfn.local.console.views import ConsoleFunctions, ShownFunction
    from gpfn.serving.pages.forms import Sent

__all__ = ["MOST_TIMES", "again", "filled_form", "is_object", "sent_events", "way_key"]

MOST_TIMES = 100
_MOST_FILLED = 64 << 10
_TEXT = "text/plain; charset=utf-8"
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def sent_events(function: ShownFunction, sent: Sent) -> list[SentEvent]:
    """Return what a form asks to be sent. Raises InvalidRequest, naming the control."""
    texts = sent.texts
    way = texts.get("way", "")
    if way not in function.ways:
        raise InvalidRequest(f"{function.name} is not called as {way:.40}", field="way")
    times = texts.get("times", "1").strip() or "1"
    if not (times.isascii() and times.isdecimal() and 1 <= int(times[:9]) <= MOST_TIMES):
        raise InvalidRequest(f"expected a number from 1 to {MOST_TIMES}", field="times")
    image = sent.files.get("image")
    if image is not None:
        kind, body = _image(way, image.data)
    else:
        kind, body = _text(texts.get("event", ""))
    one = SentEvent(function.key, way, kind, body)
    first = one._replace(cold=texts.get("cold") == "1")
    return [first, *[one] * (int(times) - 1)]


def again(function: ShownFunction, record: CallRecord) -> SentEvent:
    """Return the event of a call once more. Raises InvalidRequest when that cannot be.

    Either it was not kept whole, or it is a HEAD.
    """
    body = record.request
    if body.length > len(body.data):
        told = "only the first 64 kB of its event were kept; send it from where it came from"
        raise InvalidRequest(told, field="call")
    if record.line.startswith("HEAD "):  # the client here waits for a body
        told = "a HEAD is not sent from here; the command for a shell does it"
        raise InvalidRequest(told, field="call")
    way, line = way_key(record), record.line
    return SentEvent(function.key, way, body.media_type, body.data, line=line)


def is_object(media_type: str, body: bytes) -> bool:
    """Say whether an action can be called with a body: with a JSON object, or none at all."""
    if "json" not in (media_type or JSON):
        return False
    try:
        return not body or isinstance(json_exact.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def way_key(record: CallRecord) -> str:
    """Return which of the ways a call came."""
    if record.platform == "openwhisk":
        return "openwhisk"
    return "trigger" if record.via.startswith("trigger") else "fn"


def filled_form(looked: Looked, functions: ConsoleFunctions) -> SendForm:
    """Return what stands in the form: what was sent, else a sample of the function."""
    function, call, asked = looked.function, looked.call, looked.asked
    if function is None:
        return SendForm()
    sample = asked.sample if asked.sample in function.samples else ""
    ours = call is not None and call.key in (*function.keys, function.key)
    if call is not None and ours and asked.call and call.caller == "console":
        from gpfn.local.console.answers import failure_text

        if text := _typed(call):
            refused = failure_text(call) if 400 <= call.status < 500 else ""
            return SendForm(text, sample, way_key(call), refused)
    if not sample and function.samples:
        sample = function.samples[0]
    text = _sample(functions, function, sample) if sample else ""
    return SendForm(text, sample, asked.way)


def _typed(call: CallRecord) -> str:
    """Return a call's event as it was typed, nothing when it was no text or is not whole."""
    body = call.request
    if body.length > len(body.data) or essence(body.media_type).startswith("image/"):
        return ""
    try:
        return body.data.decode()
    except UnicodeDecodeError:
        return ""


def _sample(functions: ConsoleFunctions, function: ShownFunction, name: str) -> str:
    data = functions.sample(function.key, name)
    if len(data) > _MOST_FILLED or b"\0" in data[:1024]:
        return ""
    return data.decode("utf-8", "replace")


def _text(text: str) -> tuple[str, bytes]:
    """Return the media type that a client would give to a text, and its bytes."""
    body = text.replace("\r\n", "\n").encode("utf-8", "replace")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return (JSON if text.lstrip()[:1] in ("{", "[") else _TEXT), body
    cloud = isinstance(found, Mapping) and "specversion" in found
    return (EVENT if cloud else JSON), body


def _image(way: str, data: bytes) -> tuple[str, bytes]:
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
    if not kind:
        raise InvalidRequest("expected a JPEG, PNG, WebP or GIF", field="image")
    if way == "openwhisk":
        return JSON, orjson.dumps({"image": base64.b64encode(data).decode()})
    return kind, data
