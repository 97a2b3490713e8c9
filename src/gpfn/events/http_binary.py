"""The HTTP binding's binary mode: attributes stand in ``ce-`` headers, data in the body.

CloudEvents HTTP binding 1.0, section 3.1. Values are percent-encoded there. The headers of 0.3
and 0.1 differ in names only (``ce-eventid``, and ``ce-x-`` before extensions).
"""

from __future__ import annotations

import re

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import Value, quoted
from gpfn.events.event import Event
from gpfn.events.header_attributes import TELLING, event_of_headers, media_type_of, text_of
from gpfn.message import Message

__all__ = ["decode_value", "encode_value", "is_binary", "read_binary", "write_binary"]

_TELLING = frozenset(f"ce-{name}" for name in TELLING)

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
    return not _TELLING.isdisjoint([name for name, _ in message.headers])


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
    return event_of_headers(found, message.content_type, message.body or None)


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
        return text_of(value)
    if _UNSAFE.search(value) is None:
        return value
    return "".join([_ENCODED[byte] for byte in value.encode()])


def write_binary(event: Event) -> Message:
    """Return the message that carries the event in ``ce-`` headers."""
    attributes = event.envelope()
    attributes.pop("datacontenttype", None)
    headers = tuple(
        [(f"ce-{name}", encode_value(value)) for name, value in attributes.items()]  # type: ignore[arg-type] # checked
    )
    return Message(event.buffer or b"", media_type_of(event), headers)
