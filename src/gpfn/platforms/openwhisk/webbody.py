"""``__ow_body`` and ``body``: bytes as web actions carry them in JSON.

The platform looks a media type up in a table inside of it: text it passes on as text,
anything else as base64, both ways. JSON goes in as base64 too (raw actions) and out as a
value. A type that it does not know is text when it has a charset, and binary without.
"""

import binascii

__all__ = ["decode_body", "encode_body", "json_bytes", "json_value"]

_TEXT = frozenset(
    (
        "application/javascript",
        "application/x-javascript",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/xml-dtd",
    )
)
_STARTS_OF_JSON = ("{", "[", '"')


def encode_body(body: bytes, content_type: str) -> object:
    """Return a reply's body for the platform to send as ``content_type``."""
    base = _base(content_type)
    if not body:
        return ""
    if _is_json(base):
        value = json_value(body)
        # a string would go out as it is, without its quotes
        return body.decode("utf-8", "replace") if isinstance(value, str) else value
    if _is_text(content_type):
        return body.decode("utf-8", "replace")
    return binascii.b2a_base64(body, newline=False).decode()


def decode_body(body: str, content_type: str) -> bytes:
    """Undo the platform's base64 where there is one.

    JSON shows by its first character, which base64 has not; for the rest the table is
    guessed at, and what is no base64 after all is taken as it is.
    """
    is_json = _is_json(_base(content_type))
    if is_json and body.lstrip().startswith(_STARTS_OF_JSON):
        return _text(body)
    if not is_json and _is_text(content_type):
        return _text(body)
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        return _text(body)


def _text(body: str) -> bytes:
    return body.encode("utf-8", "replace")  # half a character is none


def json_bytes(value: object) -> bytes:
    """Return parameters as JSON, also those that only Python's own reader lets through."""
    import orjson

    try:
        return orjson.dumps(value)
    except TypeError:  # an integer over 64 bits, half a character
        import json

        return json.dumps(value).encode()


def json_value(body: bytes | memoryview) -> object:
    """Return what a function's reply says is JSON; what is none after all as its text."""
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return bytes(body).decode("utf-8", "replace")


def _base(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(base: str) -> bool:
    return base == "application/json" or base.endswith("+json")


def _is_text(content_type: str) -> bool:
    base = _base(content_type)
    if base == "image/svg+xml":
        return False
    return (
        base.startswith("text/")
        or base in _TEXT
        or base.endswith("+xml")
        or "charset=" in content_type.lower()
    )
