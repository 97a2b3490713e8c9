r"""Records as lines of JSON, whole: what a file of dead letters has.

A line is an object. ``topic`` is where the record was to go; ``key``, ``value`` and the values of
``headers``, which are pairs in their order, are as they were: text where the bytes are UTF-8,
``{"base64": "…"}`` where they are not, and null where there was nothing.

    {"topic":"readings.dead","key":"station-7","headers":[["ce_id","1"],["trace",null]],
     "value":"{\"specversion\":\"1.0\"…"}

(which is one line there). Text is exact both ways, so the bytes are; and people can read it.
"""

from __future__ import annotations

from base64 import b64encode

import orjson

from gpfn.bridge.record import Header, Outgoing
from gpfn.errors import CallerError
from gpfn.json_exact import decode_base64

__all__ = ["read_dead_line", "write_dead_line"]


def write_dead_line(record: Outgoing) -> bytes:
    """Return the record as one line, its end not with it.

    Raises CallerError for a topic or a header's name that is no text.
    """
    topic, key, value, headers = record
    line = {
        "topic": topic,
        "key": _shown(key),
        "headers": [(name, _shown(content)) for name, content in headers],
        "value": _shown(value),
    }
    try:
        return orjson.dumps(line)
    except TypeError as error:
        raise CallerError(f"the topic or a header's name: {error}", field=topic) from None


def read_dead_line(line: bytes) -> Outgoing:
    """Return the record that a line has, byte for byte as it was written.

    Raises CallerError with the member's name for a line that has none.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise CallerError(f"the line is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CallerError("the line is no record: not an object")
    missing = [name for name in ("topic", "key", "headers", "value") if name not in found]
    if missing:
        raise CallerError("the line is no record: it has no such member", field=missing[0])
    topic, headers = found["topic"], found["headers"]
    if not isinstance(topic, str):
        raise CallerError("not a text", field="topic")
    if not isinstance(headers, list):
        raise CallerError("not a list", field="headers")
    key, value = _bytes(found["key"], "key"), _bytes(found["value"], "value")
    return Outgoing(topic, key, value, tuple(map(_header, enumerate(headers))))


def _header(numbered: tuple[int, object]) -> Header:
    index, header = numbered
    field = f"headers[{index}]"
    match header:
        case [str(name), content]:
            return name, _bytes(content, field)
    raise CallerError("not a pair of a name and a value", field=field)


def _shown(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _bytes(found: object, field: str) -> bytes | None:
    if found is None:
        return None
    if isinstance(found, str):
        return found.encode()
    if isinstance(found, dict) and isinstance(found.get("base64"), str):
        try:
            return decode_base64(found["base64"])
        except ValueError as error:
            raise CallerError(f"not base64: {error}", field=field) from None
    raise CallerError('neither text, {"base64": …} nor null', field=field)
