"""Records for people and for machines: an event a line, a record as it is, a JSON object.

What stands in a record is other people's text: line ends and all that is not printable are
escaped, so that a record can neither look like two nor move the cursor.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import CallerError, escaped

if TYPE_CHECKING:
    from gpfn.bridge.record import Record
    from gpfn.events import Event
    from gpfn.limits import Limits

__all__ = ["document_text", "event_document_of", "event_line", "raw_document", "raw_lines"]

_NO_EVENT = "no event"


class _Read(NamedTuple):
    """A record's event, or why it has none."""

    event: "Event | None"
    problem: str = ""


def event_line(record: "Record", limits: "Limits", width: int) -> str:
    """Return a record as one line: place, time, type, source, id, key, data.

    ``width`` are the characters of data that are shown; 0 shows all.
    """
    event, problem = _read(record, limits)
    key = [] if record.key is None else [f"key={_text(record.key, 0)}"]
    place = f"{record.partition}:{record.offset}"
    if event is None:
        why = f"{_NO_EVENT}: {escaped(problem)}" if problem else _NO_EVENT
        return "  ".join([place, _time(record), why, *key, _text(record.value, width)])
    words = [escaped(word) for word in (event.type, event.source, event.id)]
    time = escaped(event.time or "") or _time(record)
    return "  ".join([place, time, *words, *key, _data(event, width)]).rstrip()


def raw_lines(record: "Record") -> list[str]:
    """Return a record as it is: place, time and key, each header, and the value."""
    key = "no key" if record.key is None else f"key {_text(record.key, 0)}"
    place = f"{escaped(record.topic)}  {record.partition}:{record.offset}"
    lines = [f"{place}  {_time(record)}  {key}"]
    lines += [f"  {escaped(name)}: {_text(value, 0)}" for name, value in record.headers]
    return [*lines, f"  {_text(record.value, 0)}"]


def event_document_of(record: "Record", limits: "Limits") -> dict[str, Any]:
    """Return a record as a JSON value: its place, its key, and its event or what is wrong."""
    from gpfn.events.json_format import event_document

    event, problem = _read(record, limits)
    raw = raw_document(record)
    document = {name: raw[name] for name in ("topic", "partition", "offset", "time", "key")}
    if event is not None:
        return {**document, "event": event_document(event)}
    shown = {"headers": raw["headers"], "value": raw["value"]}
    return {**document, "event": None, "problem": problem or _NO_EVENT, **shown}


def raw_document(record: "Record") -> dict[str, Any]:
    """Return a record as a JSON value; bytes are text, or ``{"base64": …}`` where they are none.

    The time is in milliseconds since 1970, null where it is not known.
    """
    import orjson

    from gpfn.bridge.files.dead_lines import write_dead_line
    from gpfn.bridge.record import Outgoing

    written = write_dead_line(Outgoing(record.topic, record.key, record.value, record.headers))
    found = orjson.loads(written)
    time = record.time if record.time >= 0 else None
    place = {"partition": record.partition, "offset": record.offset, "time": time}
    return {"topic": found["topic"], **place, **found}


def document_text(document: dict[str, Any]) -> str:
    """Return a JSON value on one line, whole numbers of any size with it."""
    from gpfn.json_exact import dumps

    return dumps(document).decode()


def _read(record: "Record", limits: "Limits") -> _Read:
    from gpfn.bridge.unreadable import reason_of
    from gpfn.events.kafka import read_record

    problem = reason_of(record)
    if problem is not None:
        return _Read(None, problem)
    try:
        return _Read(read_record(record.value, record.headers, limits))
    except CallerError as error:
        return _Read(None, str(error))


def _data(event: "Event", width: int) -> str:
    if not event.has_data:
        return ""
    return _text(event.data, width)


def _text(data: bytes | None, width: int) -> str:
    r"""Return bytes on one line: text where they are UTF-8, \xff where not, cut to a width."""
    if data is None:
        return "(null)"
    cut = data[: 4 * width + 4] if width else data
    text = cut.decode(errors="backslashreplace")
    if width and len(text) > width:
        text = f"{text[:width]}…"
    return escaped(text)


def _time(record: "Record") -> str:
    if record.time < 0:
        return "-"
    from gpfn.log import timestamp

    return timestamp(record.time * 1_000_000)
