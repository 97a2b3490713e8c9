"""A record that is no event as an event, so that a function can be called with it.

It says what Knative's KafkaSource says of such a record, so that functions and triggers written
for that find what they know: type, subject, id, the key, and headers as ``kafkaheader…``.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import quote

from gpfn.errors import TooLarge
from gpfn.events.attributes import FORBIDDEN_CHARACTER, MEDIA_TYPE, check_stated
from gpfn.events.event import Event
from gpfn.limits import Limits
from gpfn.media import OCTETS

__all__ = ["TYPE", "Headers", "wrapped"]

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""A record's headers: names may repeat, values may be null."""

TYPE = "dev.knative.kafka.event"
"""The ``type`` of every such event."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999, which RFC 3339 ends with."""
_LONGEST_NAME = 100
"""Letters of a header's name of which an extension is made; a name may have thousands."""


def wrapped(  # noqa: PLR0917 - a record's parts, in their usual order
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    source: str,
    *,
    time: int = -1,
    media_type: str = OCTETS,
    limits: Limits = Limits(),  # noqa: B008  (a value)
) -> Event:
    """Return the event that stands for a record which is none; the record cannot make it fail.

    * ``source`` becomes ``SOURCE#TOPIC``: with ``id``, ``partition:P/offset:O``, it names the
      record for good, and a record that comes again has the same two.
    * The key, where it is text that an attribute may be, is the extension ``key``, and
      ``partitionkey`` as with Knative; any other key is ``keybase64``: in ``key`` it could not
      be told from a text that looks the same.
    * Headers become ``kafkaheader`` with the letters and digits of their names behind it, where
      any are left and the value is such text. Of two that come out the same, the last counts.
    * The data are the value, byte for byte; a tombstone has none. Their media type is what the
      header content-type says, if that is one. Without it nobody has said what they are, and
      they are bytes, ``application/octet-stream``: Knative says nothing then, which HTTP's
      receivers take for the same, and JSON's for JSON. A topic whose records are known to be of
      one type has it stated in ``media_type``.

    Args:
        topic: Where the record is.
        partition: The same.
        offset: The same.
        key: Its key.
        value: Its value.
        headers: Its headers.
        source: The URI reference of the queue, without a fragment.
        time: When it was written, in milliseconds since 1970; below 0 for nobody knows.
        media_type: What data are that do not say it.
        limits: How large a value may be, and how many headers and bytes of them.

    Raises TooLarge over a limit, ValueError when ``source`` or ``media_type`` are none.
    """
    if value is not None and len(value) > limits.body_bytes:
        told = f"{len(value)} bytes; at most {limits.body_bytes} (GPFN_MAX_BODY_BYTES)"
        raise TooLarge(told, field="value")
    extensions, stated = _extensions(headers, limits, len(key or b""))
    if key is not None:
        extensions |= _key(key)
    attributes: dict[str, object] = {
        "id": f"partition:{partition}/offset:{offset}",
        "source": _source(source, topic),
        "type": TYPE,
        "subject": f"partition:{partition}#{offset}",
        "datacontenttype": None if value is None else stated or media_type,
        "time": _time(time),
    }
    return Event.received(check_stated(attributes, extensions), value)


@lru_cache(maxsize=256)
def _source(source: str, topic: str) -> str:
    return f"{source}#{quote(topic, safe='')}"


def _time(milliseconds: int) -> str | None:
    if not 0 <= milliseconds <= _LATEST:
        return None
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _key(key: bytes) -> dict[str, str | bool | int]:
    text = _text(key)
    if text is None:
        return {"keybase64": b2a_base64(key, newline=False).decode("ascii")}
    return {"key": text, "partitionkey": text}


def _text(raw: bytes | None) -> str | None:
    """Return text that an attribute may be, or None."""
    if raw is None:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if FORBIDDEN_CHARACTER.search(text) else text


def _extensions(
    headers: Headers, limits: Limits, size: int
) -> tuple[dict[str, str | bool | int], str]:
    """Return the extensions that the headers become, and the media type that they state.

    ``size`` are the bytes of the key, which becomes an attribute as well.
    """
    if len(headers) > limits.headers:
        told = f"{len(headers)} headers; at most {limits.headers} (GPFN_MAX_HEADERS)"
        raise TooLarge(told, field="headers")
    found: dict[str, str | bool | int] = {}
    media_type = ""
    size += sum([len(header) + len(raw or b"") for header, raw in headers])
    if size > limits.header_bytes:
        told = f"{size} bytes of key and headers; at most {limits.header_bytes}"
        raise TooLarge(f"{told} (GPFN_MAX_HEADER_BYTES)", field="headers")
    for header, raw in headers:
        text, name = _text(raw), header.lower()
        if text is None:
            continue
        if name == "content-type" and MEDIA_TYPE.fullmatch(text):
            media_type = text
            continue
        letters = "".join([each for each in name if each.isascii() and each.isalnum()])
        if letters:
            found[f"kafkaheader{letters[:_LONGEST_NAME]}"] = text
    return found, media_type
