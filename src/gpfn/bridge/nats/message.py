"""A record as a NATS message, and back, so that nothing of it is lost on the way.

The headers of a record are named as Kafka's binding of CloudEvents names them; those of a NATS
message as NATS' binding does (version 1.0.3:
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md)::

    record                        NATS message
    content-type: application/cloudevents…   Content-Type, the same (structured mode)
    ce_id: ä b                    ce-id: %C3%A4%20b (binary mode; percent-encoded UTF-8)
    content-type: image/png       ce-datacontenttype: image/png, where there is a ce_specversion
    name: text                    name: text
    value                         the payload

The mode is told by Content-Type alone. A Content-Type of another kind beside a
ce-datacontenttype is left out when a message is read: the event's own attribute is the type.
The name ``content-type`` comes in small letters, however it was written.

What NATS has no place for stands in headers of ours, in base64::

    Gpfn-Key: base64              the key; without this header there is none
    Gpfn-Null: value              the value is null, and the payload has no bytes
    Gpfn-Header: name,value       a header that is no line of text, whose name is not one, or
                                  whose name is the server's (Nats-…) or ours; each in base64,
                                  and without the comma where the value is null
    Nats-Msg-Id: gpfn-…           what keeps a message from being stored twice; is no header of
                                  the record

So every record comes back as it was sent, and a header out of a record never gives the server
an order (``Nats-Rollup`` empties a stream). Repeated headers stay, in their order.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from gpfn.bridge.record import Header, Outgoing, Record
from gpfn.errors import InvalidEvent
from gpfn.events.http_binary import decode_value, encode_value

__all__ = ["HeaderLines", "message_of", "record_of", "size_of"]

_VERSION = b"NATS/1.0"
_KEY, _NULL, _OTHER = "Gpfn-Key", "Gpfn-Null", "Gpfn-Header"
_MESSAGE_ID, _OUR_ID = "Nats-Msg-Id", b"gpfn-"
_TYPE, _EVENT_TYPE = "content-type", "ce-datacontenttype"
_FAMILY = b"application/cloudevents"
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ATTRIBUTE = re.compile(r"ce_(?!datacontenttype$)[a-z0-9]+")
_RESERVED = ("nats-", "gpfn-", "ce-", "ce_")


class HeaderLines:
    """Headers as nats-py takes them: it asks for the items alone, and those may be repeated."""

    __slots__ = ("lines",)

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.lines = lines

    def items(self) -> list[tuple[str, str]]:
        """Return names and values, in the order in which they are written."""
        return self.lines


def size_of(lines: Iterable[tuple[str, str]], value: bytes) -> int:
    """Return the bytes of a message as the server's ``max_payload`` counts them."""
    head = sum([len(name) + len(text.encode()) + 4 for name, text in lines])
    return len(_VERSION) + 4 + head + len(value)


def message_of(outgoing: Outgoing, message_id: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return the header lines and the payload that carry a record."""
    lines = [(_MESSAGE_ID, message_id)]
    if outgoing.key is not None:
        lines.append((_KEY, b64encode(outgoing.key).decode()))
    if outgoing.value is None:
        lines.append((_NULL, "value"))
    typed = _event_type(outgoing.headers)
    for header in outgoing.headers:
        if header is typed:
            lines.append((_EVENT_TYPE, encode_value((header[1] or b"").decode())))
        elif typed is not None and header[0].lower() == _TYPE:
            lines.append(_coded(*header))  # it would be left out beside the event's own
        else:
            lines.append(_line(*header))
    return lines, outgoing.value or b""


def _event_type(headers: Iterable[Header]) -> Header | None:
    """Return the header that is an event's ``datacontenttype``, in binary mode."""
    typed = next((header for header in headers if header[0] == _TYPE), None)
    if typed is None or typed[1] is None or typed[1].lstrip().lower().startswith(_FAMILY):
        return None
    if not any(name == "ce_specversion" for name, _ in headers):
        return None
    return typed if _text(typed[1]) is not None else None


def _line(name: str, value: bytes | None) -> tuple[str, str]:
    text = None if value is None else _text(value)
    if text is not None:
        if _ATTRIBUTE.fullmatch(name):
            return f"ce-{name[3:]}", encode_value(text)
        if _NAME.fullmatch(name) and not name.lower().startswith(_RESERVED) and _is_line(text):
            return name, text
    return _coded(name, value)


def _coded(name: str, value: bytes | None) -> tuple[str, str]:
    told = b64encode(name.encode("utf-8", "surrogatepass")).decode()
    return _OTHER, told if value is None else f"{told},{b64encode(value).decode()}"


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _is_line(text: str) -> bool:
    """Say whether a line of text keeps this as it is: nothing is trimmed, no line ends in it."""
    return text.isprintable() and text == text.strip()


def record_of(
    topic: str, offset: int, raw: bytes, payload: bytes, *, time: int = -1, attempts: int = 0
) -> Record:
    """Return the record that a message carries; ``raw`` are its headers as they were sent.

    Nothing in headers is an error: lines that are none are passed over, and a header of ours
    that makes no sense is a header like others.
    """
    lines = list(_lines(raw)) if raw else []
    kinds = {name.lower() for name, _ in lines}
    typed = _EVENT_TYPE in kinds and not _is_structured(lines)
    key: bytes | None = None
    value: bytes | None = payload
    headers: list[Header] = []
    for name, text in lines:
        kind = name.lower()
        if kind == "gpfn-key" and key is None and (found := _bytes(text)) is not None:
            key = found
        elif kind == "gpfn-null" and text == b"value" and not payload:
            value = None
        elif kind == "nats-msg-id" and text.startswith(_OUR_ID):
            continue
        elif not (typed and kind == _TYPE):
            headers.append(_header(name, kind, text, typed))
    return Record(topic, 0, offset, key, value, tuple(headers), time, attempts)


def _lines(raw: bytes) -> Iterable[tuple[str, bytes]]:
    """Yield names and values of a block of headers, which anyone may have sent."""
    if not raw.startswith(_VERSION):
        return
    for line in raw.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and (text := name.strip()):
            yield text.decode("utf-8", "backslashreplace"), value.strip()


def _is_structured(lines: Iterable[tuple[str, bytes]]) -> bool:
    types = [value for name, value in lines if name.lower() == _TYPE]
    return bool(types) and types[0].lower().startswith(_FAMILY)


def _header(name: str, kind: str, text: bytes, typed: bool) -> Header:
    """Return the header of a record that a line stands for."""
    if kind == "gpfn-header":
        parts = [_bytes(part) for part in text.split(b",")]
        if len(parts) < 3 and None not in parts:
            # A name that is no UTF-8 was never written by us, but anyone may send one.
            return (parts[0] or b"").decode("utf-8", "backslashreplace"), (*parts[1:], None)[0]
    if kind == _TYPE:
        return _TYPE, text
    if kind == _EVENT_TYPE and typed:
        return _TYPE, _attribute(text)
    if kind.startswith("ce-"):
        return f"ce_{kind[3:]}", _attribute(text)
    return name, text


def _attribute(text: bytes) -> bytes:
    """Return an attribute's bytes; those that are no UTF-8 are refused by who reads the event."""
    try:
        return decode_value(text.decode("latin-1"), "").encode()
    except InvalidEvent:
        return unquote_to_bytes(text)


def _bytes(text: bytes) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None
