"""The body of a message: JSON, and behind it the bytes of tensors. A header says where it ends."""

from __future__ import annotations

from typing import Any

import orjson

from gpfn.errors import InvalidRequest
from gpfn.json_exact import loads_loosely
from gpfn.json_words import has_words, loads_words
from gpfn.oip.binary_values import Body
from gpfn.tensors.shapes import shown, what

__all__ = ["JSON_SIZE", "is_raw", "json_of", "json_part"]

JSON_SIZE = "Inference-Header-Content-Length"
"""The header that says how many bytes of the body are JSON: all of them when it is absent."""

_DIGITS = 19  # as many as a size of 64 bits has


def json_part(json_size: str, length: int) -> int:
    """Return the header :data:`JSON_SIZE` as a number of bytes of a body of ``length`` bytes."""
    if json_size.isdecimal() and json_size.isascii() and len(json_size) <= _DIGITS:
        size = int(json_size)
        if 0 < size <= length:
            return size
    told = f"expected a whole number from 1 to the body's {length} bytes, got {shown(json_size)}"
    raise InvalidRequest(told, field=JSON_SIZE)


def json_of(body: Body, size: int, *, nan_words: bool) -> dict[str, Any]:
    """Return the object that the first ``size`` bytes of a body hold as JSON.

    Raises InvalidRequest.
    """
    text = body if size == len(body) else memoryview(body)[:size]
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = _read_again(bytes(text), nan_words=nan_words)
    if type(document) is not dict:
        raise InvalidRequest(f"expected a JSON object, got {what(document)}", field="body")
    return document


def _read_again(text: bytes, *, nan_words: bool) -> object:
    """Read what orjson does not: a byte order mark, long numbers, words if they are allowed."""
    words = has_words(text)
    try:
        return loads_words(text) if words and nan_words else loads_loosely(text)
    except orjson.JSONDecodeError as error:
        hint = "; NaN and Infinity are no JSON, send the tensor as binary data" if words else ""
        told = f"not JSON: {error}{hint}" if text else "empty, expected JSON"
        raise InvalidRequest(told, field="body") from None


def is_raw(json_size: str | None) -> bool:
    """Say whether a request has no JSON: its whole body is the model's one input."""
    return json_size is not None and json_size == "0"
