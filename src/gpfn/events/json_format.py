"""The JSON event format 1.0: an event as a JSON object, a batch as an array of them.

Both ways there are two doors: JSON text, and a JSON value for a platform that has its
JSON parsed before us, or writes it after us.
"""

from binascii import b2a_base64
from collections.abc import Container, Mapping, Sequence

import orjson

from gpfn.errors import InvalidEvent, TooLarge
from gpfn.events import legacy
from gpfn.events.attributes import DOCUMENTED, RESERVED, Value, check, judge, kind
from gpfn.events.event import ABSENT, Event
from gpfn.events.json_text import encode, parse_loosely, refuse_duplicates, scan, settled
from gpfn.json_exact import decode_base64, loads, loads_loosely, without_mark
from gpfn.media import JSON, charset, is_json, is_text

__all__ = [
    "event_document",
    "is_envelope",
    "read_event",
    "read_value",
    "read_values",
    "without_others",
    "write_batch",
    "write_event",
]


_KNOWN = RESERVED | DOCUMENTED | legacy.MEMBERS_0_3
_KNOWN_0_1 = DOCUMENTED | legacy.MEMBERS_0_1
_SHORT = 4096  # bytes in which counting one by one is the faster way
_BACKSLASH, _DEL = 0x5C, 0x7F


def is_envelope(value: object) -> bool:
    """Say whether a JSON value is an event, or is one that is broken: it states a version."""
    return isinstance(value, dict) and ("specversion" in value or "cloudEventsVersion" in value)


def without_others(
    document: Mapping[str, object], extensions: Container[str] = ()
) -> Mapping[str, object]:
    """Return an envelope without the members that are not known to be an event's.

    For a platform that adds members of its own to what it was sent. Known are attributes,
    data, documented extensions and those in ``extensions``.
    """
    known = _KNOWN if "specversion" in document else _KNOWN_0_1
    if document.keys() <= known:
        return document
    return {name: value for name, value in document.items() if name in known or name in extensions}


def read_event(text: bytes) -> Event:
    """Return the event of a body in the structured format; raises InvalidEvent."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = parse_loosely(text)  # it is read another way, or told what is wrong
    return read_value(document, text)


def read_value(document: object, text: bytes | None = None) -> Event:
    """Return the event of a JSON value, and of the text that it was loosely parsed from.

    Without the text a member that occurred twice in it cannot be seen, and the value counts
    as exact. Takes the value over: its members become the event's, JSON data are kept as they
    are.
    Raises InvalidEvent that names the attribute.
    """
    if not isinstance(document, dict):
        raise InvalidEvent(f"expected an object, got {kind(document)}", field="body")
    if document.get("specversion") != "1.0":
        if text is not None:
            refuse_duplicates(text, [document])
            document = settled(document, text)
        return _older_event(document)  # type: ignore[arg-type] # of the same text
    members = len(document)
    del document["specversion"]
    data = document.pop("data", ABSENT)
    encoded = document.pop("data_base64", ABSENT)
    # JSON text holds control characters in escapes only, DEL excepted.
    printable = text is not None and text.isascii() and _BACKSLASH not in text and _DEL not in text
    try:
        others = judge(document, printable=printable) + (encoded is None)
    except InvalidEvent:
        if text is not None:
            scan(text)  # a member that occurs twice is the better reason
        raise
    # A string has two quotes of its own. With as many as the names and the attributes that
    # were kept need, none are left for the name of a member that was lost.
    needed = 4 * members - 2 * others - 2 * (data is not ABSENT)
    if text is not None and _quotes(text) != needed:
        kept = [document] if data is ABSENT else [document, data]
        refuse_duplicates(text, kept, apart=members - len(document))
    if encoded is ABSENT and document.get("datacontenttype", JSON) == JSON:
        return Event.received(document, None, data, text=text if data is not ABSENT else None)
    return _with_data(document, data, encoded, "1.0", text)


def _quotes(text: bytes) -> int:
    """Return the number of double quotes, escaped ones included."""
    if len(text) < _SHORT:
        return text.count(b'"')
    return len(text) - len(text.replace(b'"', b""))  # count() looks at every single byte


def read_values(documents: object, largest: int, text: bytes | None = None) -> tuple[Event, ...]:
    """Return the events of a batch of at most ``largest``, as :func:`read_value` does.

    The values have to be exact. Raises InvalidEvent, whose field begins with ``[i]``, and TooLarge.
    """
    if not isinstance(documents, list):
        raise InvalidEvent(f"expected an array of events, got {kind(documents)}", field="body")
    if len(documents) > largest:
        raise TooLarge(f"{len(documents)} events in a batch; at most {largest} (GPFN_MAX_BATCH)")
    # As in read_value: with no more quotes than the members need, no member was lost.
    if text is not None and _quotes(text) != sum(map(_quotes_needed, documents)):
        refuse_duplicates(text, [documents], level=2)
    events: list[Event] = []
    try:
        for document in documents:
            if not isinstance(document, dict):
                raise InvalidEvent(f"expected an object, got {kind(document)}")  # noqa: TRY301
            events.append(read_value(document))
    except InvalidEvent as error:
        at = f"[{len(events)}]"
        field = f"{at}.{error.field}" if error.field else at
        raise InvalidEvent(error.detail, field=field) from None
    return tuple(events)


def _quotes_needed(document: object) -> int:
    """Return the quotes around an object's names and texts; its text has no fewer."""
    if not isinstance(document, dict):
        return 0
    return 2 * len(document) + 2 * [*map(type, document.values())].count(str)


def _older_event(document: dict[str, object]) -> Event:
    attributes, version = legacy.translate(document)
    data, encoded = attributes.pop("data", ABSENT), attributes.pop("data_base64", ABSENT)
    try:
        return _with_data(check(attributes), data, encoded, version)
    except InvalidEvent as error:
        error.field = legacy.original_name(error.field, version)
        raise


def _with_data(
    attributes: dict[str, Value],
    data: object,
    encoded: object,
    version: str,
    text: bytes | None = None,
) -> Event:
    if encoded is not None and encoded is not ABSENT:
        if data is not ABSENT:
            raise InvalidEvent("data and data_base64 are both present", field="data_base64")
        return Event.received(attributes, _decoded(encoded, version), ABSENT, version)
    media_type = str(attributes.get("datacontenttype", JSON))
    if data is ABSENT:
        return Event.received(attributes, None, data, version)
    if is_json(media_type):
        return Event.received(attributes, None, data, version, text=text)
    return Event.received(attributes, _text_bytes(data, media_type), ABSENT, version)


def _decoded(encoded: object, version: str) -> bytes:
    field = "data_base64" if version == "1.0" else "data"
    if not isinstance(encoded, str):
        raise InvalidEvent(f"expected a string of base64, got {kind(encoded)}", field=field)
    try:
        return decode_base64(encoded)
    except ValueError as error:
        raise InvalidEvent(f"not base64: {error}", field=field) from None


def _text_bytes(data: object, media_type: str) -> bytes:
    """Return text as bytes in the charset of its media type (section 3.1.2)."""
    if not isinstance(data, str):
        raise InvalidEvent(f"expected a string for {media_type}, got {kind(data)}", field="data")
    codec = charset(media_type)
    if codec is None:
        raise InvalidEvent(f"the charset of {media_type} is unknown; use data_base64", field="data")
    try:
        return data.encode(codec)
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"not in the charset of {media_type}: {error}", field="data") from None


def write_event(event: Event) -> bytes:
    """Return the event as JSON text in the structured format."""
    if event._valid_json:
        # Two texts that are JSON need no third object around them to become one.
        attributes = orjson.dumps(event._attributes)[1:-1]
        return b"".join((b'{"specversion":"1.0",', attributes, b',"data":', event._data, b"}"))  # type: ignore[arg-type] # bytes
    return encode(event_document(event, fragment=True))


def write_batch(events: Sequence[Event]) -> bytes:
    """Return the events as JSON text in the batch format."""
    return b"[%b]" % b",".join([write_event(event) for event in events])


def event_document(event: Event, *, fragment: bool = False) -> dict[str, object]:
    """Return the event in the structured format as a JSON value.

    Bytes of a JSON media type that hold JSON become the value they spell, or with
    ``fragment`` an ``orjson.Fragment``, which orjson writes as it is; other bytes become
    text or base64. The value may be shared with the event: do not change it.
    """
    document = event.envelope()
    if event._value is not ABSENT:
        document["data"] = event.exact_value
    elif event._data is not None:
        name, member = _member(bytes(event._data), event.datacontenttype, fragment)
        document[name] = member
    return document


def _member(data: bytes, media_type: str | None, fragment: bool) -> tuple[str, object]:
    """Return the name and the value of the member that holds these bytes (section 3.1.1)."""
    if media_type is not None:
        if is_json(media_type):
            try:
                value = loads_loosely(data) if fragment else loads(data)
            except orjson.JSONDecodeError:
                return "data_base64", _base64(data)
            return "data", orjson.Fragment(without_mark(data)) if fragment else value
        if is_text(media_type) and charset(media_type) == "utf-8":
            try:
                return "data", data.decode()
            except UnicodeDecodeError:
                return "data_base64", _base64(data)
    return "data_base64", _base64(data)


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")
