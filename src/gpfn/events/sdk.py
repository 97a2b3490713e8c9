"""To and from the events of the official ``cloudevents`` package, both of its APIs.

Its events hold data as Python objects: what is a dict there is a JSON value here, what
is bytes stays bytes. Its core API holds time as a datetime, which has no more digits
than microseconds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from gpfn.errors import InvalidEvent, MissingExtra
from gpfn.events import legacy
from gpfn.events.attributes import check
from gpfn.events.event import ABSENT, Event
from gpfn.media import charset, is_json

__all__ = ["SdkEvent", "from_sdk", "to_sdk"]


@runtime_checkable
class SdkEvent(Protocol):
    """What the events of both its APIs have in common."""

    def get_attributes(self) -> Mapping[str, object]:
        """Return the attributes and extensions."""

    def get_data(self) -> object:
        """Return the data: bytes, text or a JSON value."""


def from_sdk(event: object) -> Event:
    """Return the event of one of the SDK's; None is no data, text is JSON where JSON is declared.

    Raises TypeError when it is none of the SDK's, ValueError when an attribute is not
    what the specification says, which the SDK does not always check.
    """
    if not isinstance(event, SdkEvent):
        raise TypeError(f"expected an event of the cloudevents package, got {type(event).__name__}")
    attributes = {name: _plain(value) for name, value in event.get_attributes().items()}
    version = "1.0"
    try:
        if attributes.get("specversion") == "1.0":
            del attributes["specversion"]
        else:
            attributes.pop("datacontentencoding", None)  # the SDK has decoded the data
            attributes, version = legacy.translate(attributes)
        data, value = _content(event.get_data(), attributes.get("datacontenttype"))
        return Event.received(check(attributes), data, value, version)
    except InvalidEvent as error:
        raise ValueError(str(error)) from None


def _plain(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _content(data: object, media_type: object) -> tuple[bytes | None, object]:
    """Return the SDK's data as bytes or as a JSON value."""
    if data is None or isinstance(data, bytes | bytearray | memoryview):
        return (None if data is None else bytes(data)), ABSENT
    if media_type is None or is_json(str(media_type)):
        return None, data
    if isinstance(data, str):
        return data.encode(charset(str(media_type)) or "utf-8"), ABSENT
    raise InvalidEvent(f"expected bytes or text for {media_type}", field="data")


def to_sdk(event: Event, api: Literal["core", "v1"] = "core") -> object:
    """Return the CloudEvent of ``cloudevents.core.v1.event`` or of ``cloudevents.v1.http``.

    JSON is a value in it, all other data are bytes.

    Raises MissingExtra without the SDK, ValueError for a time that its core API cannot
    hold: a leap second.
    """
    try:
        return _to_v1(event) if api == "v1" else _to_core(event)
    except ImportError:
        raise MissingExtra("cloudevents 2.x", "cloudevents") from None


def _to_v1(event: Event) -> object:
    from cloudevents.v1.http import CloudEvent

    made = CloudEvent.create(event.envelope(), _sdk_data(event))
    if event.time is None:  # the SDK states the present time; nobody said that
        del made["time"]
    return made


def _to_core(event: Event) -> object:
    from cloudevents.core.v1.event import CloudEvent

    attributes = event.envelope()
    if event.time is not None:
        attributes["time"] = _as_datetime(event.time)
    made = CloudEvent(attributes, _sdk_data(event))  # type: ignore[arg-type] # any JSON will do
    if event.time is None:  # as above: it puts the time into the dict that it was given
        del attributes["time"]
    return made


def _sdk_data(event: Event) -> object:
    if not event.has_data:
        return None
    media_type = event.datacontenttype
    if event._value is not ABSENT or (media_type is not None and is_json(media_type)):
        return event.json()
    return event.data


def _as_datetime(time: str) -> datetime:
    try:
        return datetime.fromisoformat(time.upper())
    except ValueError:
        raise ValueError(f"time: a datetime cannot hold {time}") from None
