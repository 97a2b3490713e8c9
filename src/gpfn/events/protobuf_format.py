"""The protobuf event format 1.0: an event as a protobuf message, a batch as a message of them.

Source: ``protobuf-format.md`` and ``cloudevents.proto`` of the specification. Extensions keep
their types (:mod:`gpfn.events.protobuf_values`). Data are bytes here, whichever of the three
fields they came in:

* ``binary_data``: as they are;
* ``text_data``: in the charset of the media type; text without a media type is ``text/plain``;
* ``proto_data``: the bytes of the message in the ``Any``, ``application/protobuf`` if nothing
  else is stated, and the ``Any``'s type URL as the extension ``typeurl``.

Written are JSON and text in UTF-8 as ``text_data``, a protobuf message with a ``typeurl`` as
``proto_data``, everything else as ``binary_data``. The format's own rule for the type URL, to be
the ``dataschema`` too, cannot be kept to the letter: the usual ones are no absolute URIs. Such a
``dataschema`` is taken where it says the same, and none is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpfn.errors import InvalidEvent, TooLarge
from gpfn.events import legacy
from gpfn.events.attributes import Value, check
from gpfn.events.event import ABSENT, Event
from gpfn.events.header_attributes import media_type_of
from gpfn.events.protobuf_schema import message_class, parse_batch, parse_event
from gpfn.events.protobuf_values import decode_text, read_value, write_value
from gpfn.limits import Limits
from gpfn.media import PROTOBUF, TEXT_UTF8, charset, essence, is_json, is_text, is_utf8

__all__ = ["read_batch", "read_event", "write_batch", "write_event"]

_FIELDS = {"id": "id", "source": "source", "spec_version": "specversion", "type": "type"}
_IN_FIELDS = frozenset(_FIELDS.values())
_TYPE_URL = "typeurl"


def read_event(data: bytes, limits: Limits = Limits()) -> Event:  # noqa: B008  (a value)
    """Return the event of a message in the protobuf format.

    Raises InvalidEvent that names the attribute, TooLarge for more attributes than a request
    may have headers, MissingExtra without protobuf.
    """
    message = parse_event(data, limits)
    found = _attributes(message)
    if message.proto_data:
        _take_type_url(found, _single(message.proto_data, "data"))
    version = found.pop("specversion", None)
    if version == "1.0":
        attributes = check(found)
        return Event.received(attributes, _data(message, attributes))
    return _older_event(message, version, found)


def read_batch(data: bytes, limits: Limits = Limits()) -> tuple[Event, ...]:  # noqa: B008
    """Return the events of a batch.

    Raises as :func:`read_event` does, with a field that begins with ``[i]``, and TooLarge for
    more events than ``limits.batch``.
    """
    return tuple(
        [_event_at(index, event, limits) for index, event in enumerate(parse_batch(data, limits))]
    )


def _event_at(index: int, data: bytes, limits: Limits) -> Event:
    try:
        return read_event(data, limits)
    except (InvalidEvent, TooLarge) as error:
        error.field = f"[{index}].{error.field}" if error.field else f"[{index}]"
        raise


def _older_event(message: Any, version: object, found: dict[str, object]) -> Event:
    """Return the event of 0.3, which some senders put into the messages of 1.0."""
    found.pop("datacontentencoding", None)  # data are bytes in these
    attributes, version = legacy.translate({"specversion": version, **found})
    try:
        checked = check(attributes)
        return Event.received(checked, _data(message, checked), ABSENT, version)
    except InvalidEvent as error:
        error.field = legacy.original_name(error.field, version)
        raise


def _attributes(message: Any) -> dict[str, object]:
    """Return all attributes; an empty one of the four in fields is an absent one (proto3)."""
    found: dict[str, object] = {}
    for field, name in _FIELDS.items():
        raw = _single(getattr(message, field), name)
        if raw:
            found[name] = decode_text(raw, name)
    for entry in message.attributes:
        name = decode_text(entry.key, "attributes")
        if name in found:
            raise InvalidEvent("the attribute occurs twice", field=name)
        if name in _IN_FIELDS:
            raise InvalidEvent("this attribute has a field of its own", field=name)
        found[name] = read_value(entry.value, name)
    return found


def _single(values: Sequence[Any], name: str) -> Any:
    """Return the only value of a field, or None when there is none."""
    if len(values) > 1:
        raise InvalidEvent("the field occurs twice", field=name)
    return values[0] if values else None


def _take_type_url(found: dict[str, object], message: Any) -> None:
    """Note what an ``Any`` says of the message in it."""
    found.setdefault("datacontenttype", PROTOBUF)
    url = decode_text(message.type_url, _TYPE_URL)
    if not url:
        return
    if found.setdefault(_TYPE_URL, url) != url:
        raise InvalidEvent("the type URL of proto_data is another one", field=_TYPE_URL)
    if found.get("dataschema") == url and ":" not in url:
        del found["dataschema"]


def _data(message: Any, attributes: dict[str, Value]) -> bytes | None:
    """Return the data; text without a media type is said to be text."""
    given = (message.binary_data, message.text_data, message.proto_data)
    if sum(map(len, given)) > 1:
        raise InvalidEvent("data occur twice", field="data")
    if message.binary_data:
        return message.binary_data[0]  # type: ignore[no-any-return] # protobuf's bytes
    if message.proto_data:
        return message.proto_data[0].value  # type: ignore[no-any-return] # the same
    if not message.text_data:
        return None
    media_type = str(attributes.setdefault("datacontenttype", TEXT_UTF8))
    text = decode_text(message.text_data[0], "data")
    codec = charset(media_type)
    if codec is None:
        raise InvalidEvent(f"the charset of {media_type} is unknown; use binary_data", field="data")
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"not in the charset of {media_type}: {error}", field="data") from None


def write_event(event: Event) -> bytes:
    """Return the event as a message in the protobuf format, CloudEvents 1.0.

    ``time`` is written as the instant that it is, with all its nanoseconds, in UTC.

    Raises MissingExtra without protobuf.
    """
    message = message_class("Event")()
    attributes = dict(event._attributes)
    media_type = media_type_of(event)
    if media_type:
        attributes["datacontenttype"] = media_type
    if event.has_data:
        _write_data(message, event, media_type, attributes)
    message.spec_version.append(b"1.0")
    for name in ("id", "source", "type"):
        getattr(message, name).append(str(attributes.pop(name)).encode())
    for name, value in attributes.items():
        write_value(message.attributes.add(key=name.encode()).value, name, value)
    return message.SerializeToString()  # type: ignore[no-any-return] # protobuf's bytes


def _write_data(message: Any, event: Event, media_type: str, attributes: dict[str, Value]) -> None:
    data = event.data or b""
    url = attributes.get(_TYPE_URL)
    if isinstance(url, str) and url and essence(media_type) == PROTOBUF:
        del attributes[_TYPE_URL]
        message.proto_data.add(type_url=url.encode(), value=data)
    elif event._value is not ABSENT or _is_utf8_text(data, media_type):
        message.text_data.append(data)
    else:
        message.binary_data.append(data)


def _is_utf8_text(data: bytes, media_type: str) -> bool:
    if not ((is_json(media_type) or is_text(media_type)) and is_utf8(media_type)):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def write_batch(events: Sequence[Event]) -> bytes:
    """Return the events as a batch in the protobuf format; raises MissingExtra."""
    batch = message_class("Batch")(events=[write_event(event) for event in events])
    return batch.SerializeToString()  # type: ignore[no-any-return] # protobuf's bytes
