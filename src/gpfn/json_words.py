"""JSON with the bare words NaN, Infinity and -Infinity, which are no JSON, read and written.

Model servers and their clients send them, RapidJSON and Python read them, strict readers such
as orjson do not. So this is for those who were asked for it, and it is slower than orjson.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import orjson

__all__ = ["has_words", "loads_words", "words_for_nulls"]


def has_words(text: bytes) -> bool:
    """Say whether text may hold one of the words, outside of its strings or inside."""
    return b"NaN" in text or b"Infinity" in text


def loads_words(text: bytes) -> object:
    """Return the value of JSON text in which the words stand for numbers.

    A number beyond a double, such as 1e400, is an error all the same: only a word is an
    infinity. Raises orjson.JSONDecodeError.
    """
    try:
        value = json.JSONDecoder(parse_float=_finite, strict=True).decode(text.decode())
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a character is none
    except json.JSONDecodeError as error:
        raise orjson.JSONDecodeError(error.msg, error.doc, error.pos) from None
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError too
        told = "Recursion limit reached" if isinstance(error, RecursionError) else str(error)
        raise orjson.JSONDecodeError(told, "", 0) from None
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text[:40]} is beyond the range of a double")
    return number


def words_for_nulls(text: bytes, values: Iterable[float]) -> bytes:
    """Return a list of numbers as orjson writes it, with its nulls as the words of ``values``.

    ``values`` are those among the numbers that are not finite, in their order.
    """
    pieces = text.split(b"null")
    words = [_word(value) for value in values]
    return b"".join(piece + word for piece, word in zip(pieces, [*words, b""], strict=True))


def _word(value: float) -> bytes:
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"
