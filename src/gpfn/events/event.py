"""The event: attributes, extensions and data, exactly as they came, and the reply to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from gpfn.errors import InvalidEvent, UnsupportedMedia
from gpfn.events.attributes import CORE, Value, check_stated, kind, known, new_id, stated
from gpfn.events.json_text import encode, parse, parse_loosely, settled
from gpfn.media import JSON, charset, is_json, is_utf8
from gpfn.timestamps import now

__all__ = ["ABSENT", "DEFAULT_SOURCE", "Event"]

ABSENT: object = ...
"""Stands where there is no JSON value, which None is; the same one after pickling."""
DEFAULT_SOURCE = "/gpfn"
"""The ``source`` of a reply unless one is configured."""

_new = object.__new__
_CARRIED = ("subject", "traceparent", "tracestate", "correlationid")
_BYTES = (bytes, bytearray, memoryview)


class Event:
    """A CloudEvent: attributes, extensions and data with its media type. Frozen.

    Whatever version it came in, it has the names of CloudEvents 1.0. ``time`` and
    ``datacontenttype`` are kept byte for byte; nothing is ever guessed from the data.
    The codecs beside this module read its private fields: ``_attributes`` as the parser
    made it, ``_value``, a JSON value or ``ABSENT``, ``_data``, bytes or None, ``_valid_json``,
    which says that those are JSON text, and ``_text``, which the value was parsed from loosely.

    >>> event = Event(type="com.example.greeting", source="/doc", id="1", data={"hello": 1})
    >>> event.datacontenttype, event.data, event.json()
    ('application/json', b'{"hello":1}', {'hello': 1})
    """

    __slots__ = ("_attributes", "_data", "_received_as", "_text", "_valid_json", "_value")

    def __init__(
        self,
        *,
        type: str,  # noqa: A002  (the attribute's name)
        source: str,
        id: str | None = None,  # noqa: A002  (the attribute's name)
        subject: str | None = None,
        time: str | None = None,
        datacontenttype: str | None = None,
        dataschema: str | None = None,
        extensions: Mapping[str, Value] | None = None,
        data: object = None,
        valid_json: bool = False,
    ) -> None:
        """Make an event; ``id`` defaults to a new one.

        ``data`` is bytes, or text for a ``datacontenttype`` that is not JSON, or else a
        JSON value, kept parsed (do not change it afterwards); None is no data. Bytes of a
        JSON media type are checked when they are embedded, unless ``valid_json`` is set.

        Raises ValueError that begins with the attribute's name.
        """
        attributes: dict[str, object] = {"id": new_id() if id is None else id}
        attributes |= {"source": source, "type": type, "subject": subject, "time": time}
        attributes |= {"datacontenttype": datacontenttype, "dataschema": dataschema}
        self._attributes = check_stated(attributes, extensions)
        self._received_as = "1.0"
        self._data: bytes | memoryview | None = None
        self._value: object = ABSENT
        self._text: bytes | None = None
        self._valid_json = False
        self._set_data(data, valid_json)

    @classmethod
    def received(
        cls,
        attributes: dict[str, Value],
        data: bytes | memoryview | None,
        value: object = ABSENT,
        received_as: str = "1.0",
        *,
        valid_json: bool = False,
        text: bytes | None = None,
    ) -> Event:
        """Return an event of attributes that are checked already; for the codecs."""
        event = _new(cls)
        event._attributes = attributes
        event._data = data
        event._value = value
        event._received_as = received_as
        event._valid_json = valid_json
        event._text = text
        return event

    @property
    def exact_value(self) -> object:
        """The JSON value, or ``ABSENT``, with exact whole numbers; made when it is asked for."""
        text = self._text
        if text is not None:
            exact = settled(self._value, text)
            if exact is not self._value:
                self._value = exact["data"]  # type: ignore[index] # it was an event before
            self._text = None
        return self._value

    def _set_data(self, data: object, valid_json: bool) -> None:
        media_type: str | None = self._attributes.get("datacontenttype")  # type: ignore[assignment]
        if isinstance(data, _BYTES):
            self._data = bytes(data) if isinstance(data, bytearray) else data
            self._valid_json = valid_json and media_type is not None and is_json(media_type)
        elif data is not None and (media_type is None or is_json(media_type)):
            self._value = data
            self._attributes["datacontenttype"] = media_type or JSON
        elif data is not None:
            self._data = _encoded_text(data, media_type or "")

    @property
    def id(self) -> str:
        """Identifies the event; with ``source`` it does so for everybody."""
        return self._attributes["id"]  # type: ignore[return-value] # checked to be text

    @property
    def source(self) -> str:
        """Where it happened: a URI reference."""
        return self._attributes["source"]  # type: ignore[return-value] # checked to be text

    @property
    def type(self) -> str:
        """What happened, such as ``com.example.forecast``."""
        return self._attributes["type"]  # type: ignore[return-value] # checked to be text

    @property
    def specversion(self) -> str:
        """The version whose names it has and in which it is written: always ``1.0``."""
        return "1.0"

    @property
    def subject(self) -> str | None:
        """What it is about, within ``source``."""
        return self._attributes.get("subject")  # type: ignore[return-value] # checked to be text

    @property
    def time(self) -> str | None:
        """When it happened: RFC 3339, as it came."""
        return self._attributes.get("time")  # type: ignore[return-value] # checked to be text

    @property
    def datacontenttype(self) -> str | None:
        """The media type of the data, as it came; None where it was left to be understood."""
        return self._attributes.get("datacontenttype")  # type: ignore[return-value] # text

    @property
    def dataschema(self) -> str | None:
        """The absolute URI of the schema that the data follows."""
        return self._attributes.get("dataschema")  # type: ignore[return-value] # checked text

    @property
    def extensions(self) -> Mapping[str, Value]:
        """All other attributes; from headers they are text, from JSON they keep their type."""
        found = {name: value for name, value in self._attributes.items() if name not in CORE}
        return MappingProxyType(found)

    def attribute(self, name: str) -> Value | None:
        """Return the attribute or extension ``name``, or None; cheaper than ``extensions``."""
        return self._attributes.get(name)

    def envelope(self) -> dict[str, object]:
        """Return all attributes and extensions, specversion first, as a dict of their own."""
        return {"specversion": "1.0", **self._attributes}

    @property
    def received_as(self) -> str:
        """The version that it came in: ``1.0``, ``0.3`` or ``0.1``."""
        return self._received_as

    @property
    def buffer(self) -> bytes | memoryview | None:
        """The data without a copy: perhaps a view into the message that it came in."""
        return self.data if self._value is not ABSENT else self._data

    @property
    def data(self) -> bytes | None:
        """The data as bytes; None when there are none.

        Of JSON that stood in a structured event this is the text of the same value,
        made when it is asked for.
        """
        if self._value is not ABSENT:
            return encode(self.exact_value, "data")
        if isinstance(self._data, memoryview):
            self._data = bytes(self._data)
        return self._data

    @property
    def has_data(self) -> bool:
        """Whether there are data; null is, nothing is not."""
        return self._data is not None or self._value is not ABSENT

    @property
    def content(self) -> tuple[object, bytes | memoryview | None, str | None, Value | None]:
        """A loose JSON value or ``ABSENT``, bytes or None, the media type, and ``expirytime``."""
        get = self._attributes.get
        return self._value, self._data, get("datacontenttype"), get("expirytime")  # type: ignore[return-value] # text

    def json(self, *, exact: bool = True) -> object:
        """Return the data as a JSON value, parsed at most once for a structured event.

        ``exact=False``, for arrays, may leave whole numbers beyond 64 bits as floats. Raises
        InvalidEvent when there are none or they are not JSON, UnsupportedMedia when their
        media type is another.
        """
        if self._value is not ABSENT:
            return self.exact_value if exact else self._value
        if self._data is None:
            raise InvalidEvent("the event has no data", field="data")
        media_type = self.datacontenttype
        if media_type is None or not is_json(media_type):
            detail = f"expected JSON, the data are {media_type or 'of no media type'}"
            raise UnsupportedMedia(detail, field="datacontenttype")
        if not is_utf8(media_type):
            raise UnsupportedMedia(f"JSON is UTF-8, not {media_type}", field="datacontenttype")
        return (parse if exact else parse_loosely)(self._data, field="data")

    def reply(
        self,
        data: object = None,
        *,
        datacontenttype: str | None = None,
        type: str | None = None,  # noqa: A002  (the attribute's name)
        source: str | None = None,
        id: str | None = None,  # noqa: A002  (the attribute's name)
        extensions: Mapping[str, Value] | None = None,
        valid_json: bool = False,
    ) -> Event:
        """Return the event that answers this one; ``data`` as for the constructor.

        ``type`` defaults to this event's with ``.response`` behind it, ``source`` to
        ``/gpfn``, ``id`` to a new one; ``time`` is now. It carries over ``subject``,
        ``traceparent``, ``tracestate`` and ``correlationid``; its ``causationid`` is this
        event's id. ``extensions`` come last and win.

        Raises ValueError that begins with the attribute's name.
        """
        mine = self._attributes
        attributes: dict[str, Value] = {
            "id": new_id() if id is None else stated("id", id),
            "source": DEFAULT_SOURCE if source is None else known("source", source),
            "type": f"{mine['type']}.response" if type is None else known("type", type),
            "time": now(),
            "causationid": mine["id"],
        }
        for name in _CARRIED:
            if name in mine:
                attributes[name] = mine[name]
        if datacontenttype is not None:
            attributes["datacontenttype"] = known("datacontenttype", datacontenttype)
        if extensions:
            attributes = check_stated(cast(dict[str, object], attributes), extensions)
        if valid_json and datacontenttype == JSON and data.__class__ is bytes:
            return Event.received(attributes, data, valid_json=True)
        event = Event.received(attributes, None)
        event._set_data(data, valid_json)
        return event

    def extended(self, extensions: Mapping[str, Value]) -> Event:
        """Return the same event with these extensions, known to be valid, in place of its own."""
        attributes = {**self._attributes, **extensions}
        event = Event.received(attributes, self._data, self._value, self._received_as)
        event._valid_json, event._text = self._valid_json, self._text
        return event

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        if self._attributes != other._attributes:
            return False
        if self._value is not ABSENT and other._value is not ABSENT:
            return bool(self.exact_value == other.exact_value)
        return self.data == other.data

    def __hash__(self) -> int:
        return hash((self.source, self.id))

    def __repr__(self) -> str:
        shown = "".join(f"{name}={value!r}, " for name, value in self._attributes.items())
        size = "no data" if not self.has_data else f"{len(self.data or b'')} bytes"
        return f"Event({shown}data=<{size}>)"


def _encoded_text(data: object, media_type: str) -> bytes:
    if not isinstance(data, str):
        raise ValueError(f"data: expected bytes or text for {media_type}, got {kind(data)}")  # noqa: TRY004
    codec = charset(media_type)
    if codec is None:
        raise ValueError(f"data: the charset of {media_type} is unknown; give bytes")
    return data.encode(codec)
