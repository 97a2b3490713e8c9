"""CloudEvents in Kafka records: the Kafka protocol binding 1.0, without a client or a socket.

A record is a key, a value and headers, which may repeat a name and have null for a value. The
media type alone says how it holds an event: ``application/cloudevents…`` is a whole event in the
value (structured mode), whatever ``ce_`` headers stand beside it; else ``ce_`` headers are the
attributes and the value is the data (binary mode). There are no batches. Header values are UTF-8
as it is: nothing is percent-encoded, as it is over HTTP.

The key belongs to the topic, not to the event: it is neither read nor written here. Who wants
``partitionkey`` to be the key asks :func:`key_of`. Of a record that is no event :func:`wrapped`
makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from gpfn.errors import InvalidEvent, MissingExtra, TooLarge, UnsupportedMedia
from gpfn.events import json_format
from gpfn.events.attributes import CORE, DOCUMENTED, quoted
from gpfn.events.event import Event
from gpfn.events.header_attributes import TELLING, event_of_headers, media_type_of, text_of
from gpfn.events.kafka_wrapping import Headers, wrapped
from gpfn.limits import Limits
from gpfn.media import EVENT, EVENT_FAMILY, EVENT_PROTOBUF, essence

__all__ = ["RecordMode", "WrittenRecord", "key_of", "read_record", "wrapped", "write_record"]

RecordMode: TypeAlias = Literal["binary", "structured", "protobuf"]
"""How a record holds an event: ``protobuf`` is structured mode in that format."""

WrittenRecord: TypeAlias = tuple[bytes | None, tuple[tuple[str, bytes], ...]]
"""A record's value and headers; the key is the caller's."""

_PREFIX, _CONTENT_TYPE = "ce_", "content-type"
_FAMILY = EVENT_FAMILY.encode()
_STRUCTURED = ((_CONTENT_TYPE, f"{EVENT}; charset=UTF-8".encode()),)
_PROTOBUF = ((_CONTENT_TYPE, EVENT_PROTOBUF.encode()),)
_VERSION = (f"{_PREFIX}specversion", b"1.0")


def read_record(
    value: bytes | None,
    headers: Headers,
    limits: Limits = Limits(),  # noqa: B008  (a value)
) -> Event | None:
    """Return the event that a record holds, or None when it holds none.

    A record without a value is an event without data in binary mode; in a compacted topic it
    is a tombstone as well. Names of headers are compared without case.

    Raises InvalidEvent that names the attribute, or ``value`` or ``content-type``;
    UnsupportedMedia for a CloudEvents format other than JSON and protobuf, for protobuf where
    it is not installed, and for a batch; TooLarge for a value over ``limits.body_bytes``, and
    for attributes over ``limits.headers`` or ``limits.header_bytes``.
    """
    if value is not None and len(value) > limits.body_bytes:
        told = f"{len(value)} bytes; at most {limits.body_bytes} (GPFN_MAX_BODY_BYTES)"
        raise TooLarge(told, field="value")
    found: dict[str, bytes | None] = {}
    media_type: bytes | None = b""
    typed, repeated = False, ""
    for header, given in headers:
        name = _attribute_of(header) or _name_of(header)
        if name is None:
            continue
        if name in found or (typed and name == _CONTENT_TYPE):
            repeated = repeated or name
        if name != _CONTENT_TYPE:
            found[name] = given
        else:
            typed, media_type = True, given
            if given is not None and given.lstrip()[: len(_FAMILY)].lower() == _FAMILY:
                return _read_structured(value, headers, limits)
    if "specversion" not in found and TELLING.isdisjoint(found):
        return None
    if repeated:
        raise _repeated(repeated)
    return event_of_headers(_texts(found, limits), _text(media_type, _CONTENT_TYPE), value)


_attribute_of = {
    _CONTENT_TYPE: _CONTENT_TYPE,
    **{_PREFIX + name: name for name in sorted(DOCUMENTED | CORE | TELLING)},
}.get
"""Names of headers that are met all the time: looking one up costs half of taking it apart."""


def _name_of(header: str) -> str | None:
    """Return the attribute that a header is, ``content-type``, or None for any other."""
    name = header.lower()
    if name == _CONTENT_TYPE:
        return name
    if name[:3] != _PREFIX:
        return None
    return name if name[3:] == _CONTENT_TYPE else name[3:]  # which is no attribute, nor that header


def _repeated(name: str) -> InvalidEvent:
    shown = name if name.isascii() and name.isprintable() else quoted(name)
    return InvalidEvent("the header occurs twice", field=shown)


def _texts(found: Mapping[str, bytes | None], limits: Limits) -> dict[str, object]:
    """Return the attributes' values as text."""
    if len(found) > limits.headers:
        told = f"{len(found)} attributes; at most {limits.headers} (GPFN_MAX_HEADERS)"
        raise TooLarge(told, field="headers")
    try:
        size = sum(map(len, found.values()))  # type: ignore[arg-type] # None is told below
        if size > limits.header_bytes:
            told = f"{size} bytes of attributes; at most {limits.header_bytes}"
            raise TooLarge(f"{told} (GPFN_MAX_HEADER_BYTES)", field="headers")
        return {name: given.decode() for name, given in found.items()}  # type: ignore[union-attr]
    except (TypeError, UnicodeDecodeError):
        return {name: _text(given, name) for name, given in found.items()}


def _text(given: bytes | None, name: str) -> str:
    if given is None:
        raise InvalidEvent("the header's value is null", field=name)
    try:
        return given.decode()
    except UnicodeDecodeError:
        shown = quoted(given[:100].decode("latin-1"))
        raise InvalidEvent(f"not UTF-8: {shown}", field=name) from None


def _read_structured(value: bytes | None, headers: Headers, limits: Limits) -> Event:
    stated = [given for name, given in headers if name.lower() == _CONTENT_TYPE]
    if len(stated) > 1:
        raise _repeated(_CONTENT_TYPE)
    given = (stated[0] or b"").decode("latin-1")
    media_type = essence(given)
    if media_type not in (EVENT, EVENT_PROTOBUF):
        told = f"expected {EVENT} or {EVENT_PROTOBUF}, got {media_type!r:.80}"
        raise UnsupportedMedia(told, field=_CONTENT_TYPE)
    if not given.isascii() or not given.isprintable():  # it may become a line of a head
        raise InvalidEvent(f"not a media type: {quoted(given[:100])}", field=_CONTENT_TYPE)
    if value is None:
        raise InvalidEvent(f"null; expected {media_type}", field="value")
    try:
        if media_type == EVENT:
            return json_format.read_event(value)
        from gpfn.events import protobuf_format

        return protobuf_format.read_event(value, limits)
    except InvalidEvent as error:
        if error.field == "body":  # which is what HTTP calls it
            error.field = "value"
        raise
    except MissingExtra as error:  # one record must not stop who reads thousands
        raise UnsupportedMedia(f"{media_type}: {error.detail}", field=_CONTENT_TYPE) from None


def write_record(event: Event, mode: RecordMode) -> WrittenRecord:
    """Return the value and the headers of a record that holds the event, in CloudEvents 1.0.

    In binary mode the data go as they are, and an event without data has no value.

    Raises MissingExtra for protobuf where it is not installed.
    """
    if mode == "structured":
        return json_format.write_event(event), _STRUCTURED
    if mode == "protobuf":
        from gpfn.events import protobuf_format

        return protobuf_format.write_event(event), _PROTOBUF
    headers = [_VERSION]
    for name, value in event._attributes.items():
        if name != "datacontenttype":
            text = value if value.__class__ is str else text_of(value)
            headers.append((_PREFIX + name, text.encode()))
    media_type = media_type_of(event)
    if media_type:
        headers.append((_CONTENT_TYPE, media_type.encode()))
    return event.data, tuple(headers)


def key_of(event: Event) -> bytes | None:
    """Return ``partitionkey`` as a record's key, or None when the event has none.

    The opt-in mapping of section 3.1, for events that did not come from Kafka: those that did
    keep their key, or they would change partitions.
    """
    key = event.attribute("partitionkey")
    return None if key is None else text_of(key).encode()
