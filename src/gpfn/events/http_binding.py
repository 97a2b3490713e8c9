"""The HTTP binding's binary mode: attributes in ``ce-`` headers, data in the body.

Also for 0.3 and 0.1, whose headers differ in names only (``ce-eventid``, and ``ce-x-``
before extensions). Headers carry no types: extensions come out as text.
"""

import re

from gpfn.errors import InvalidEvent
from gpfn.events import legacy
from gpfn.events.attributes import Value, check, quoted
from gpfn.events.event import ABSENT, Event
from gpfn.media import JSON
from gpfn.message import Message

__all__ = ["decode_value", "encode_value", "is_binary", "read_binary", "write_binary"]

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
