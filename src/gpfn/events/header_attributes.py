"""An event whose attributes stand in headers: what the bindings of HTTP and of Kafka share.

A binding takes its own prefix off the headers' names and decodes their values in its own way.
What is left is the same: attributes as text, the media type in a header of its own, and the
data beside them. Headers carry no types: extensions come out as text.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.errors import InvalidEvent
from gpfn.events import legacy
from gpfn.events.attributes import Value, check
from gpfn.events.event import ABSENT, Event
from gpfn.media import JSON

__all__ = ["TELLING", "event_of_headers", "media_type_of", "text_of"]

TELLING = frozenset(
    {"specversion", "cloudeventsversion", "id", "source", "type", "eventid", "eventtype"}
)
"""Attributes of which one among the headers says that there is an event, if only a broken one."""


def event_of_headers(
    found: dict[str, object], content_type: str, data: bytes | memoryview | None
) -> Event:
    """Return the event of attributes from headers, under lower-case names without a prefix.

    1.0, 0.3 and 0.1. Takes ``found`` over. An empty ``content_type`` is none.

    Raises InvalidEvent that names the attribute.
    """
    if found.get("specversion") == "1.0":
        del found["specversion"]
        return Event.received(_attributes(found, content_type), data)
    return _older_event(found, content_type, data)


def _attributes(found: dict[str, object], content_type: str) -> dict[str, Value]:
    if "datacontenttype" in found:
        raise InvalidEvent(
            "the media type belongs in the header content-type", field="datacontenttype"
        )
    if content_type:
        found["datacontenttype"] = content_type
    return check(found)


def _older_event(
    found: Mapping[str, object], content_type: str, data: bytes | memoryview | None
) -> Event:
    """Return the event of 0.3 or 0.1 headers, by way of the JSON envelope they stand for."""
    document: dict[str, object] = {}
    extensions: dict[str, object] = {}
    old = "specversion" not in found
    for name, text in found.items():
        if old and name == "cloudeventsversion":
            document["cloudEventsVersion"] = text
        elif old and name.startswith("x-"):
            extensions[name[2:]] = text
        else:
            document[legacy.HEADERS_0_1.get(name, name) if old else name] = text
    document.pop("datacontentencoding", None)  # 0.3: the data beside headers are never encoded
    if extensions:
        document["extensions"] = extensions
    if content_type:
        document["contentType" if old else "datacontenttype"] = content_type
    attributes, version = legacy.translate(document)
    try:
        return Event.received(check(attributes), data, ABSENT, version)
    except InvalidEvent as error:
        error.field = legacy.original_name(error.field, version)
        raise


def media_type_of(event: Event) -> str:
    """Return what the header content-type says of an event's data; empty for nothing.

    JSON that stood in an envelope without a media type is said to be JSON from now on.
    """
    stated = event._attributes.get("datacontenttype")
    if stated is not None:
        return stated  # type: ignore[return-value] # checked to be text
    return JSON if event._value is not ABSENT else ""


def text_of(value: object) -> str:
    """Return an attribute's value as text: its canonical form (CloudEvents, "Type System")."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
