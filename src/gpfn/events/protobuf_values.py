"""Attributes' values in the protobuf format: seven types there, three here.

| there | here | and back |
|---|---|---|
| ``ce_boolean``, ``ce_integer`` | Boolean, Integer | the same |
| ``ce_string``, ``ce_uri``, ``ce_uri_ref`` | text | by the attribute's name, else ``ce_string`` |
| ``ce_timestamp`` | text, RFC 3339, in UTC, nanoseconds and all | by the attribute's name |
| ``ce_bytes`` | text, base64, as in the JSON format | ``ce_string`` |

CloudEvents protobuf format 1.0, section 2.1. An attribute that CloudEvents documents as a
Timestamp or a URI is written as such, all others as text.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import CORE, Value, quoted
from gpfn.timestamps import is_timestamp

__all__ = ["decode_text", "parse_timestamp", "read_value", "timestamp_text", "write_value"]

_EPOCH = datetime(1970, 1, 1)  # of no zone, as all that is reckoned with it: UTC
# google/protobuf/timestamp.proto: from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_BILLION = 1_000_000_000

_TIMESTAMPS = frozenset(
    {"time", "deprecationfrom", "deprecationsunset", "expirytime", "recordedtime"}
)
_URIS = frozenset({"dataschema", "deprecationmigration"})
_URI_REFERENCES = frozenset({"dataref"})


def decode_text(raw: bytes, name: str) -> str:
    """Return text that has to be UTF-8; raises InvalidEvent that names the attribute."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"not UTF-8: {quoted(raw.decode('latin-1'))}", field=name) from error


def read_value(message: Any, name: str) -> Value | None:
    """Return the value that the ``Value`` of the attribute ``name`` holds; None for an empty one.

    Raises InvalidEvent for several, for one of an unknown type, and for one of a type that the
    attribute has not.
    """
    fields = message.ListFields()
    if len(fields) != 1:
        if not message.ByteSize():  # an attribute that its sender has not set after all
            return None
        what = "several values" if fields else "no value of a known type"
        raise InvalidEvent(f"the attribute has {what}", field=name)
    field, value = fields[0]
    kind = field.name
    if kind in ("ce_string", "ce_uri", "ce_uri_ref"):
        return decode_text(value, name)
    if kind in ("ce_boolean", "ce_integer"):
        return value  # type: ignore[no-any-return] # protobuf's own bool or int
    if name in CORE and (kind, name) != ("ce_timestamp", "time"):
        raise InvalidEvent(f"expected a string, got {kind}", field=name)
    if kind == "ce_timestamp":
        return timestamp_text(value.seconds, value.nanos, name)
    return b2a_base64(value, newline=False).decode("ascii")


def write_value(message: Any, name: str, value: Value) -> None:
    """Put the value of the attribute ``name`` into its ``Value``."""
    if isinstance(value, bool):
        message.ce_boolean = value
    elif isinstance(value, int):
        message.ce_integer = value
    else:
        _TEXTS.get(name, _write_string)(message, value)


def _write_string(message: Any, text: str) -> None:
    message.ce_string = text.encode()


def _write_uri(message: Any, text: str) -> None:
    message.ce_uri = text.encode()


def _write_uri_reference(message: Any, text: str) -> None:
    message.ce_uri_ref = text.encode()


def _write_timestamp(message: Any, text: str) -> None:
    """Write a time that a Timestamp has no room for, such as a leap second, as the text it is."""
    found = parse_timestamp(text) if is_timestamp(text) else None
    if found is None:
        message.ce_string = text.encode()
    else:
        message.ce_timestamp.seconds, message.ce_timestamp.nanos = found


_TEXTS: Mapping[str, Callable[[Any, str], None]] = {
    **dict.fromkeys(_TIMESTAMPS, _write_timestamp),
    **dict.fromkeys(_URIS, _write_uri),
    **dict.fromkeys(_URI_REFERENCES, _write_uri_reference),
}


def timestamp_text(seconds: int, nanos: int, name: str) -> str:
    """Return a Timestamp as RFC 3339 text in UTC; raises InvalidEvent outside of its range."""
    if not (_FIRST <= seconds <= _LAST and 0 <= nanos < _BILLION):
        raise InvalidEvent(f"no time: {seconds} s and {nanos} ns since 1970", field=name)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    if not nanos:
        return f"{text}Z"
    digits = f"{nanos:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def parse_timestamp(text: str) -> tuple[int, int] | None:
    """Return the seconds since 1970 and the nanoseconds of an RFC 3339 text that is valid.

    None for what a Timestamp cannot hold exactly: a leap second, a year outside of 1 to 9999 in
    UTC, more than nine digits of a second.
    """
    try:
        since = datetime.fromisoformat(text[:19]) - _EPOCH
    except ValueError:  # a leap second, or the year 0
        return None
    rest, nanos = text[19:], 0
    if rest.startswith("."):
        zone = rest[1:].lstrip("0123456789")
        digits = rest[1 : len(rest) - len(zone)].rstrip("0")
        if len(digits) > 9:
            return None
        rest, nanos = zone, int(digits.ljust(9, "0"))
    seconds = since.days * 86_400 + since.seconds - _seconds_ahead(rest)
    return (seconds, nanos) if _FIRST <= seconds <= _LAST else None


def _seconds_ahead(zone: str) -> int:
    """Return by how much a zone, ``Z`` or an offset such as ``+01:30``, is ahead of UTC."""
    if zone in ("Z", "z"):
        return 0
    ahead = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
    return -ahead if zone[0] == "-" else ahead
