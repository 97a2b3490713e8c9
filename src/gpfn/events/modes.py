"""From a message to its events, in whichever mode it has, and back."""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import orjson

from gpfn.errors import TooLarge, UnsupportedMedia
from gpfn.events.event import Event
from gpfn.events.http_binding import is_binary, read_binary, write_binary
from gpfn.events.json_format import (
    is_envelope,
    read_event,
    read_value,
    read_values,
    write_batch,
    write_event,
)
from gpfn.events.json_text import parse
from gpfn.limits import Limits
from gpfn.media import EVENT, EVENT_BATCH, EVENT_FAMILY, JSON, TEXT_JSON, UNTYPED, essence
from gpfn.message import Message

__all__ = ["Mode", "Received", "read", "write"]

Mode: TypeAlias = Literal["structured", "binary", "batch"]

_SNIFFED = UNTYPED | {JSON, TEXT_JSON}
_OBJECT = re.compile(rb"[ \t\r\n]*+\{")
_OBJECTS = re.compile(rb"[ \t\r\n]*+\[[ \t\r\n]*+\{")
_MARKS = (b'"specversion"', b'"cloudEventsVersion"')


# What a NamedTuple's own constructor does, without the Python function around it.
_received: Callable[..., "Received"] = tuple.__new__
_message: Callable[..., Message] = tuple.__new__


class Received(NamedTuple):
    """The events of one message and the mode they came in: one, unless it is a batch."""

    events: tuple[Event, ...]
    mode: Mode


def read(message: Message, limits: Limits = Limits()) -> Received | None:  # noqa: B008  (a value)
    """Return the events of a message, or None when it holds no event at all.

    The media type decides, then the ``ce-`` headers. A body that says nothing better of
    itself than text/plain, application/json or a form, or nothing at all, is an event in
    structured mode when it is a JSON object with ``specversion`` (``cloudEventsVersion``
    in 0.1), and a batch when it is an array of such objects.

    Raises InvalidEvent with the attribute's name for an event that is broken,
    UnsupportedMedia for a CloudEvents format other than JSON, TooLarge over a limit.
    """
    body, content_type, headers = message
    if len(body) > limits.body_bytes:
        raise TooLarge(f"{len(body)} bytes; at most {limits.body_bytes} (GPFN_MAX_BODY_BYTES)")
    if content_type != EVENT and content_type not in _SNIFFED:
        content_type = essence(content_type)
    if content_type == EVENT:
        text = body if isinstance(body, bytes) else bytes(body)
        return _received(Received, ((read_event(text),), "structured"))
    if content_type.startswith(EVENT_FAMILY):
        return _batch(message, content_type, limits)
    for name, _ in headers:
        if name[:3] == "ce-":
            if is_binary(message):
                return Received((read_binary(message),), "binary")
            break
    if content_type in _SNIFFED:
        return _sniffed(message, limits)
    return None


def _batch(message: Message, content_type: str, limits: Limits) -> Received:
    if content_type != EVENT_BATCH:
        raise UnsupportedMedia(
            f"expected {EVENT} or {EVENT_BATCH}, got {content_type!r:.80}", field="content-type"
        )
    text = bytes(message.body)
    return Received(read_values(parse(text), limits.batch, text), "batch")


def _sniffed(message: Message, limits: Limits) -> Received | None:
    body = message[0]
    text = body if isinstance(body, bytes) else bytes(body)
    single = _OBJECT.match(text) is not None
    if not single and _OBJECTS.match(text) is None:
        return None
    marked = _MARKS[0] in text or _MARKS[1] in text
    if not marked and b"\\u" not in text:  # a member's name may be spelled with escapes
        return None
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        if marked:
            parse(text)  # which says what is wrong with it
        return None
    if single:
        if not is_envelope(document):
            return None
        return _received(Received, ((read_value(document, text),), "structured"))
    if isinstance(document, list) and all(map(is_envelope, document)):
        return Received(read_values(document, limits.batch, text), "batch")
    return None


def write(events: Sequence[Event], mode: Mode) -> Message:
    """Return the message that carries the events, in CloudEvents 1.0.

    Raises ValueError when the mode holds one event and there is not exactly one.
    """
    if mode == "batch":
        return Message(write_batch(events), EVENT_BATCH)
    if len(events) != 1:
        raise ValueError(f"{mode} mode holds one event, not {len(events)}")
    if mode == "structured":
        return _message(Message, (write_event(events[0]), EVENT, ()))
    return write_binary(events[0])
