"""What an action may return, and the error for what it may not.

A dictionary or an array of JSON: what Python's own ``json`` writes, as the platform's
Python runtime does. Anything else gets the platform's own message and status 502. A
dictionary that holds what JSON cannot (NaN, bytes, arrays, sets, dates) or that is too
large is told as an application error with status 200: it may be the data of one call, and
any other status would cost the warm container and the model in it.
"""

import math
from collections.abc import Iterator

import orjson

from gpfn.platforms.openwhisk.protocol import NOT_A_DICTIONARY, Answer, Refusal, failure

__all__ = ["MAX_RESULT", "result_answer"]

MAX_RESULT = 1 << 20
"""The platform's own limit; a longer result arrives there cut and marked as an error."""

_DEPTH = 200
_RESULTS = (dict, list, tuple)
_STRICTLY = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def result_answer(result: object, max_bytes: int = MAX_RESULT) -> Answer:
    """Return the reply for what an action returned; raises Refusal for no dictionary."""
    if not isinstance(result, _RESULTS):
        raise Refusal(502, NOT_A_DICTIONARY)
    text = _json(result)
    if text is None:
        problem = next(_problems(result, "result", 0), "result refers to itself")
        return failure(200, f"The action's result is not JSON: {problem}.")
    if len(text) > max_bytes:
        return failure(
            200,
            "The action produced a response that exceeded the allowed length: "
            f"{len(text)} > {max_bytes} bytes.",
        )
    return Answer(200, text)


def _json(result: object) -> bytes | None:
    """Return the result as JSON, or None when it cannot be."""
    try:
        text = orjson.dumps(result, option=_STRICTLY)
    except TypeError:
        return _json_by_the_book(result)
    # NaN is written as null without a word: only then is it worth another look
    return text if b"null" not in text else _json_by_the_book(result)


def _json_by_the_book(result: object) -> bytes | None:
    """Let Python's own writer decide: it also takes numbers for keys, and long integers."""
    import json

    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError):
        return None


def _problems(value: object, path: str, depth: int) -> Iterator[str]:
    """Name what JSON cannot hold."""
    if depth > _DEPTH:
        yield f"{path[:80]}… is nested deeper than {_DEPTH}"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"{path} has a key of type {type(key).__name__}"
            yield from _problems(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _problems(item, f"{path}[{index}]", depth + 1)
    else:
        problem = _problem(value)
        if problem:
            yield f"{path} {problem}"


def _problem(value: object) -> str:
    """Say what is wrong with one value; nothing when JSON can hold it."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value}"
    if isinstance(value, str):
        return "" if _is_unicode(value) else "holds half a character (a lone surrogate)"
    return "" if isinstance(value, int | None) else f"is of type {type(value).__name__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
