"""From a message to its events, in whichever mode it has, and back.

Structured and batched events are JSON (:mod:`gpfn.events.json_format`). In the HTTP binding's
binary mode attributes stand in ``ce-`` headers and data in the body; also for 0.3 and 0.1,
whose headers differ in names only (``ce-eventid``, and ``ce-x-`` before extensions). Headers
carry no types: extensions come out as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from gpfn.errors import InvalidEvent, TooLarge, UnsupportedMedia
from gpfn.events import legacy
from gpfn.events.attributes import Value, check, quoted
from gpfn.events.event import ABSENT, Event
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
from gpfn.media import EVENT, EVENT_BATCH, EVENT_FAMILY, JSON, TEXT_JSON, UNTYPED, essence
from gpfn.message import Message, has_escaped_letter

__all__ = [
    "Mode",
    "Received",
    "decode_value",
    "encode_value",
    "is_binary",
    "read",
    "read_binary",
    "write",
    "write_binary",
]

Mode: TypeAlias = Literal["structured", "binary", "batch"]

_SNIFFED = UNTYPED | {JSON, TEXT_JSON}
_OBJECT = re.compile(rb"[ \t\r\n]*+\{")
_OBJECTS = re.compile(rb"[ \t\r\n]*+\[[ \t\r\n]*+\{")
_MARKS = (b'"specversion"', b'"cloudEventsVersion"')


# What a NamedTuple's own constructor does, without the Python function around it.
_received: Callable[..., Received] = tuple.__new__
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

    Raises ValueError when the mode holds one event and there is not exactly one.
    """
    if mode == "batch":
        return Message(write_batch(events), EVENT_BATCH)
    if len(events) != 1:
        raise ValueError(f"{mode} mode holds one event, not {len(events)}")
    if mode == "structured":
        return _message(Message, (write_event(events[0]), EVENT, ()))
    return write_binary(events[0])


_VERSIONS = frozenset({"ce-specversion", "ce-cloudeventsversion"})
_REQUIRED = frozenset({"ce-id", "ce-source", "ce-type", "ce-eventid", "ce-eventtype"})

_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")

# Section 3.1.3.2: space, double quote, percent and all but printable ASCII are encoded.
_UNSAFE = re.compile(r"[^!#$&-~]")
_ENCODED = tuple(
    chr(byte) if 0x21 <= byte <= 0x7E and byte not in b'"%' else f"%{byte:02X}"
    for byte in range(256)
)


def is_binary(message: Message) -> bool:
    """Say whether the headers hold an event, or one that lacks its version."""
    names = {name for name, _ in message.headers}
    return not names.isdisjoint(_VERSIONS) or not names.isdisjoint(_REQUIRED)


def read_binary(message: Message) -> Event:
    """Return the event of a message whose headers hold its attributes.

    Raises InvalidEvent that names the attribute.
    """
    found: dict[str, object] = {}
    for header, value in message.headers:
        if header.startswith("ce-"):
            name = header[3:]
            if name in found:
                raise InvalidEvent("the header occurs twice", field=header)
            found[name] = decode_value(value, name)
    # The binding has data of no bytes where an event has none; HTTP cannot tell them apart.
    data = message.body or None
    if found.pop("specversion", None) == "1.0":
        return Event.received(_attributes(found, message.content_type), data)
    return _older_event(message, data)


def _attributes(found: dict[str, object], content_type: str) -> dict[str, Value]:
    if "datacontenttype" in found:
        raise InvalidEvent(
            "the media type belongs in Content-Type, not in ce-datacontenttype",
            field="datacontenttype",
        )
    if content_type:
        found["datacontenttype"] = content_type
    return check(found)


def _older_event(message: Message, data: bytes | memoryview | None) -> Event:
    """Return the event of 0.3 or 0.1 headers, by way of the JSON envelope they stand for."""
    document: dict[str, object] = {}
    extensions: dict[str, object] = {}
    old = message.header("ce-specversion") is None
    for header, value in message.headers:
        if not header.startswith("ce-"):
            continue
        name, text = header[3:], decode_value(value, header[3:])
        if old and name == "cloudeventsversion":
            document["cloudEventsVersion"] = text
        elif old and name.startswith("x-"):
            extensions[name[2:]] = text
        else:
            document[legacy.HEADERS_0_1.get(name, name) if old else name] = text
    document.pop("datacontentencoding", None)  # 0.3: the body is never encoded
    if extensions:
        document["extensions"] = extensions
    if message.content_type:
        document["contentType" if old else "datacontenttype"] = message.content_type
    attributes, version = legacy.translate(document)
    try:
        return Event.received(check(attributes), data, ABSENT, version)
    except InvalidEvent as error:
        error.field = legacy.original_name(error.field, version)
        raise


def decode_value(value: str, name: str) -> str:
    """Return the text that a header's value stands for.

    ``value`` is as HTTP libraries give it, one character a byte. A value in double
    quotes is unquoted, then percent-encoded bytes are decoded once; a percent sign that
    begins none is kept. Raises InvalidEvent when the bytes are no UTF-8.
    """
    if '"' not in value and "%" not in value and value.isascii():
        return value
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        raw = value.encode("utf-8", "surrogatepass")  # text already, not bytes
    if b'"' in raw:
        raw = _unquoted(raw)
    raw = _PERCENT.sub(lambda part: bytes.fromhex(part[1].decode("ascii")), raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent(f"not UTF-8 once decoded: {quoted(value)}", field=name) from None


def _unquoted(raw: bytes) -> bytes:
    """Return what a quoted string says; anything else as it is (RFC 7230, section 3.2.6)."""
    whole = _QUOTED.fullmatch(raw)
    return raw if whole is None else _ESCAPED.sub(rb"\1", whole[1])


def encode_value(value: Value) -> str:
    """Return an attribute's value as a header can carry it: printable ASCII."""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if _UNSAFE.search(value) is None:
        return value
    return "".join([_ENCODED[byte] for byte in value.encode()])


def write_binary(event: Event) -> Message:
    """Return the message that carries the event in ``ce-`` headers."""
    attributes = event.envelope()
    # JSON that stood in an envelope without a media type is said to be JSON from now on.
    implied = JSON if event._value is not ABSENT else ""
    content_type = str(attributes.pop("datacontenttype", implied))
    headers = tuple(
        [(f"ce-{name}", encode_value(value)) for name, value in attributes.items()]  # type: ignore[arg-type] # checked
    )
    return Message(event.buffer or b"", content_type, headers)
