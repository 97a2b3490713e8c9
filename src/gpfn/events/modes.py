"""From a message to its events, in whichever mode it has, and back.

In structured mode and in a batch an event is all in the body: as JSON
(:mod:`gpfn.events.json_format`) or in protobuf (:mod:`gpfn.events.protobuf_format`). In binary
mode its attributes stand in headers (:mod:`gpfn.events.http_binary`). A mode names its format
as well, so that what answers an event can be written as the event came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from gpfn.errors import InvalidEvent, MissingExtra, TooLarge, UnsupportedMedia
from gpfn.events.event import Event
from gpfn.events.http_binary import is_binary, read_binary, write_binary
from gpfn.events.json_format import (
    is_envelope,
    read_event,
    read_value,
    read_values,
    write_batch,
    write_event,
)
from gpfn.events.json_text import parse, parse_loosely, settled
from gpfn.json_exact import encoding
from gpfn.limits import Limits
from gpfn.media import (
    EVENT,
    EVENT_BATCH,
    EVENT_BATCH_PROTOBUF,
    EVENT_FAMILY,
    EVENT_PROTOBUF,
    JSON,
    TEXT_JSON,
    UNTYPED,
    essence,
)
from gpfn.message import Message, has_escaped_letter

__all__ = ["Mode", "Received", "read", "write"]

Mode: TypeAlias = Literal["structured", "binary", "batch", "protobuf", "protobuf-batch"]
"""How a message holds its events: ``structured`` and ``batch`` are JSON, ``protobuf`` and
``protobuf-batch`` the same two in the protobuf format."""

_SNIFFED = UNTYPED | {JSON, TEXT_JSON}
_OBJECT = re.compile(rb"[ \t\r\n]*+\{")
_OBJECTS = re.compile(rb"[ \t\r\n]*+\[[ \t\r\n]*+\{")
_MARKS = (b'"specversion"', b'"cloudEventsVersion"')
_PROTOBUF = frozenset({EVENT_PROTOBUF, EVENT_BATCH_PROTOBUF})


# What a NamedTuple's own constructor does, without the Python function around it.
_received: Callable[..., Received] = tuple.__new__
_message: Callable[..., Message] = tuple.__new__


class Received(NamedTuple):
    """The events of one message and the mode they came in: one event, unless it is a batch."""

    events: tuple[Event, ...]
    mode: Mode


def read(message: Message, limits: Limits = Limits()) -> Received | None:  # noqa: B008  (a value)
    """Return the events of a message, or None when it holds no event at all.

    The media type decides, then the ``ce-`` headers. A body that says nothing better of
    itself than text/plain, application/json or a form, or nothing at all, is an event in
    structured mode when it is a JSON object with ``specversion`` (``cloudEventsVersion``
    in 0.1), and a batch when it is an array of such objects.

    Raises InvalidEvent with the attribute's name for an event that is broken,
    UnsupportedMedia for a CloudEvents format other than JSON and protobuf, or for protobuf where
    it is not installed, TooLarge over a limit.
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
        return _formatted(message, content_type, limits)
    for name, _ in headers:
        if name[:3] == "ce-":
            if is_binary(message):
                return Received((read_binary(message),), "binary")
            break
    if content_type in _SNIFFED:
        return _sniffed(message, limits)
    return None


def _formatted(message: Message, content_type: str, limits: Limits) -> Received:
    """Return the events of a body that is of a CloudEvents format, but for one event as JSON."""
    if content_type == EVENT_BATCH:
        text = bytes(message.body)
        return Received(read_values(parse(text), limits.batch, text), "batch")
    if content_type not in _PROTOBUF:
        raise UnsupportedMedia(
            f"expected {EVENT}, {EVENT_PROTOBUF} or a batch of either, got {content_type!r:.80}",
            field="content-type",
        )
    from gpfn.events import protobuf_format

    body = bytes(message.body)
    try:
        if content_type == EVENT_BATCH_PROTOBUF:
            return Received(protobuf_format.read_batch(body, limits), "protobuf-batch")
        return Received((protobuf_format.read_event(body, limits),), "protobuf")
    except MissingExtra as error:  # what cannot be read here is the caller's to send otherwise
        raise UnsupportedMedia(f"{content_type}: {error.detail}", field="content-type") from None


def _sniffed(message: Message, limits: Limits) -> Received | None:
    body = message[0]
    text = body if isinstance(body, bytes) else bytes(body)
    name = encoding(text)
    if name == "utf-8":
        return _judged(text, limits)
    if name == "utf-8-sig":
        return _judged(text[3:], limits)
    _refuse_foreign(text, name, limits)
    return None


def _refuse_foreign(text: bytes, name: str, limits: Limits) -> None:
    """Raise InvalidEvent for an event in UTF-16 or UTF-32, which no JSON on a wire may be."""
    try:
        is_event = _judged(text.decode(name, "replace").encode(), limits) is not None
    except InvalidEvent:
        is_event = True
    if is_event:
        raise InvalidEvent(f"this is {name[:6].upper()}, not UTF-8", field="body")


def _judged(text: bytes, limits: Limits) -> Received | None:
    """Return the events of a body that says nothing of itself, or None when it holds none."""
    single = _OBJECT.match(text) is not None
    if not single and _OBJECTS.match(text) is None:
        return None
    marked = _MARKS[0] in text or _MARKS[1] in text
    if not marked and not has_escaped_letter(text):  # a member's name may be spelled so
        return None
    try:
        document = parse_loosely(text)
    except InvalidEvent:
        if marked:
            raise
        return None
    if single:
        if not is_envelope(document):
            return None
        return _received(Received, ((read_value(document, text),), "structured"))
    if isinstance(document, list) and all(map(is_envelope, document)):
        document = settled(document, text)
        return Received(read_values(document, limits.batch, text), "batch")
    return None


def write(events: Sequence[Event], mode: Mode) -> Message:
    """Return the message that carries the events, in CloudEvents 1.0.

    Raises ValueError when the mode holds one event and there is not exactly one,
    MissingExtra for protobuf where it is not installed.
    """
    if mode == "batch":
        return Message(write_batch(events), EVENT_BATCH)
    if mode == "protobuf-batch":
        from gpfn.events import protobuf_format

        return Message(protobuf_format.write_batch(events), EVENT_BATCH_PROTOBUF)
    if len(events) != 1:
        raise ValueError(f"{mode} mode holds one event, not {len(events)}")
    if mode == "structured":
        return _message(Message, (write_event(events[0]), EVENT, ()))
    if mode == "protobuf":
        from gpfn.events import protobuf_format

        return Message(protobuf_format.write_event(events[0]), EVENT_PROTOBUF)
    return write_binary(events[0])
