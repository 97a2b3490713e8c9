"""The messages of the CloudEvents protobuf format, made in code when they are first used.

Source: ``cloudevents.proto`` of the specification, package ``io.cloudevents.v1``. These have the
same bytes on the wire, but are declared so that nothing that came is lost: what may stand once
is a list, because protobuf keeps the last of two without a word; text is bytes, because of text
that is no UTF-8 protobuf says neither where it is nor what; an integer has 64 bits, because
protobuf cuts a longer one off. :mod:`gpfn.events.protobuf_format` refuses all three by name.

protobuf makes an object of every part of a message, and a part of two bytes becomes one of
dozens, so the parts of a long message are counted first.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from gpfn.errors import InvalidEvent, MissingExtra, TooLarge
from gpfn.limits import Limits

__all__ = ["message_class", "parse_batch", "parse_event"]

# A field is name:type=number; [T] is repeated, all others have a presence.
_MESSAGES = {
    "Timestamp": "seconds:int64=1 nanos:int64=2",
    "Any": "type_url:bytes=1 value:bytes=2",
    "Value": "ce_boolean:bool=1 ce_integer:int64=2 ce_string:bytes=3 ce_bytes:bytes=4"
    " ce_uri:bytes=5 ce_uri_ref:bytes=6 ce_timestamp:Timestamp=7",
    "Entry": "key:bytes=1 value:Value=2",
    "Event": "id:[bytes]=1 source:[bytes]=2 spec_version:[bytes]=3 type:[bytes]=4"
    " attributes:[Entry]=5 binary_data:[bytes]=6 text_data:[bytes]=7 proto_data:[Any]=8",
    "Batch": "events:[bytes]=1",
}

_PACKAGE = "gpfn.cloudevents"
_SMALL = 64 << 10
"""Bytes of a message that becomes a few megabytes at most, whatever is in it."""
_OTHER_FIELDS = 5
"""Fields of an event that are not in its map: four attributes, and data."""


def parse_event(data: bytes, limits: Limits) -> Any:
    """Return the ``Event`` that ``data`` hold, as a protobuf message.

    Raises InvalidEvent for what is no message, TooLarge for one of more attributes than a
    request may have headers, MissingExtra without protobuf.
    """
    most = limits.headers
    if len(data) > _SMALL and _count_fields(data, most + _OTHER_FIELDS) > most + _OTHER_FIELDS:
        raise _too_many_attributes(most)
    message = _parsed(data, "Event")
    if len(message.attributes) > most:
        raise _too_many_attributes(most)
    return message


def parse_batch(data: bytes, limits: Limits) -> tuple[bytes, ...]:
    """Return the events of a batch, each as bytes for :func:`parse_event`.

    Raises InvalidEvent for what is no message, TooLarge for more events than the limit,
    MissingExtra without protobuf.
    """
    most = limits.batch
    if len(data) > _SMALL and _count_fields(data, most) > most:
        raise TooLarge(f"over {most} events in a batch (GPFN_MAX_BATCH)")
    events = _parsed(data, "Batch").events
    if len(events) > most:
        raise TooLarge(f"{len(events)} events in a batch; at most {most} (GPFN_MAX_BATCH)")
    return tuple(events)


def _too_many_attributes(most: int) -> TooLarge:
    return TooLarge(f"over {most} attributes (GPFN_MAX_HEADERS)", field="body")


def _parsed(data: bytes, kind: str) -> Any:
    classes, decode_error = _made()
    try:
        return classes[kind].FromString(data)
    except decode_error as error:
        reason = str(error).rpartition(": ")[2]
        raise InvalidEvent(f"not a protobuf message: {reason}", field="body") from None


def message_class(name: str) -> Any:
    """Return the class of a message; raises MissingExtra where protobuf is not installed."""
    return _made()[0][name]


@cache
def _made() -> tuple[dict[str, Any], type[Exception]]:
    """Return the messages' classes, and what protobuf raises for bytes that are none."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtra("protobuf 6 or 7", "protobuf") from error
    # proto2: its fields have a presence, and it checks no text
    file = descriptor_pb2.FileDescriptorProto(
        name="gpfn/cloudevents.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            _add_field(message, text)
    pool = descriptor_pool.DescriptorPool()  # of its own: generated code may be loaded as well
    pool.Add(file)
    made = message_factory.GetMessageClass
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return {name: made(described) for name, described in found.items()}, DecodeError


def _add_field(message: Any, text: str) -> None:
    name, _, rest = text.partition(":")
    spelled, _, number = rest.partition("=")
    kind = spelled.strip("[]")
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_OPTIONAL if kind == spelled else field.LABEL_REPEATED
    if kind in _MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MORE = 0x80


def _count_fields(data: bytes, most: int) -> int:
    """Return how many fields a message has, or more than ``most`` when it has.

    Stops where the message breaks off or is none: protobuf says then what is wrong.
    """
    at, end, count = 0, len(data), 0
    while at < end and count <= most:
        count += 1
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            at += size
        elif kind == _VARINT:
            at = _varint(data, at)[1]
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
    return count


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at ``at`` and where it ends; of one that breaks off, what there is."""
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            break
        shift += 7
    return value, at
