"""JSON text to values and back, with errors of ours."""

import orjson

from gpfn.errors import InvalidEvent

__all__ = ["encode", "parse"]


def parse(text: bytes | memoryview, *, field: str = "body") -> object:
    """Return the value of JSON text; raises InvalidEvent with ``field`` when it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(bytes(text), error, field) from None


def _unreadable(text: bytes, error: orjson.JSONDecodeError, field: str) -> InvalidEvent:
    if not text:
        return InvalidEvent("empty; expected JSON", field=field)
    try:
        text.decode()
    except UnicodeDecodeError as bad:
        where = f"byte 0x{text[bad.start]:02x} at offset {bad.start}"
        return InvalidEvent(f"not UTF-8: {where}", field=field)
    if "depth" in error.msg or "ecursion" in error.msg:
        # Attributes cannot be nested: whatever is so deep stands in the data.
        return InvalidEvent("nested deeper than 1024 levels", field="data")
    return InvalidEvent(f"not JSON: {error}", field=field)


def encode(value: object) -> bytes:
    """Return a JSON value as text.

    Raises InvalidEvent when it is nested too deeply to be written, TypeError when it is
    not a JSON value.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        if "ecursion" in str(error):
            raise InvalidEvent("nested deeper than 254 levels", field="data") from None
        raise
