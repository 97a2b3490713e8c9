"""The protobuf format as the specification declares it: what generated code would be.

``cloudevents.proto`` in Python's own words: proto3, with its map, its oneofs and Google's
``Any`` and ``Timestamp``. Ours is declared in another way (``gpfn.events.protobuf_schema``); that
both mean the same bytes is what the tests compare.
"""

from functools import cache
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
)

__all__ = ["MINIMAL", "message", "reference"]

_VALUES = "BOOL:ce_boolean INT32:ce_integer STRING:ce_string BYTES:ce_bytes STRING:ce_uri"
_VALUES += " STRING:ce_uri_ref .google.protobuf.Timestamp:ce_timestamp"
_ANY = ".google.protobuf.Any"


def reference(name: str) -> Any:
    """Return the class ``CloudEvent`` or ``CloudEventBatch``."""
    found = _pool().FindMessageTypeByName(f"io.cloudevents.v1.{name}")
    return message_factory.GetMessageClass(found)


@cache
def _pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="cloudevents.proto", package="io.cloudevents.v1", syntax="proto3"
    )
    file.dependency.extend(["google/protobuf/any.proto", "google/protobuf/timestamp.proto"])
    event = file.message_type.add(name="CloudEvent")
    for number, field in enumerate(("id", "source", "spec_version", "type"), 1):
        _add(event, field, number, "STRING")
    scope = ".io.cloudevents.v1.CloudEvent"
    _add(event, "attributes", 5, f"{scope}.AttributesEntry", repeated=True)
    event.oneof_decl.add(name="data")
    for number, field, kind in (
        (6, "binary_data", "BYTES"),
        (7, "text_data", "STRING"),
        (8, "proto_data", _ANY),
    ):
        _add(event, field, number, kind).oneof_index = 0
    entry = event.nested_type.add(name="AttributesEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, "STRING")
    _add(entry, "value", 2, f"{scope}.CloudEventAttributeValue")
    value = event.nested_type.add(name="CloudEventAttributeValue")
    value.oneof_decl.add(name="attr")
    for number, spelled in enumerate(_VALUES.split(), 1):
        kind, _, field = spelled.partition(":")
        _add(value, field, number, kind).oneof_index = 0
    _add(file.message_type.add(name="CloudEventBatch"), "events", 1, scope, repeated=True)
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, timestamp_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def _add(message: Any, name: str, number: int, kind: str, *, repeated: bool = False) -> Any:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind.startswith("."):
        field.type, field.type_name = field.TYPE_MESSAGE, kind
    else:
        field.type = getattr(field, f"TYPE_{kind}")
    return field


MINIMAL = {"id": "1", "source": "/s", "spec_version": "1.0", "type": "t"}


def message(attributes: dict[str, dict[str, Any]] | None = None, **fields: Any) -> Any:
    """Return a ``CloudEvent`` with the required attributes, these fields and these attributes.

    An attribute is its type and value, such as ``{"ce_integer": 5}``; a Timestamp is
    ``{"ce_timestamp": {"seconds": 5}}``.
    """
    made = reference("CloudEvent")(**(MINIMAL | fields))
    for name, value in (attributes or {}).items():
        for kind, given in value.items():
            if kind == "ce_timestamp":
                stamp = made.attributes[name].ce_timestamp
                stamp.seconds, stamp.nanos = given.get("seconds", 0), given.get("nanos", 0)
                made.attributes[name].ce_timestamp.SetInParent()
            else:
                setattr(made.attributes[name], kind, given)
        made.attributes[name].SetInParent()
    return made
