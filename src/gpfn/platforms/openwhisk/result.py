"""What an action may return, and the error for what it may not.

A dictionary or an array of JSON. Anything else gets the platform's own message and status
502. A dictionary that holds what JSON cannot (NaN, bytes, arrays, sets) or that is too
large is told as an application error with status 200: it may be the data of one call, and
any other status would cost the warm container and the model in it.
"""

import math
from collections.abc import Iterator

from gpfn.platforms.openwhisk.protocol import NOT_A_DICTIONARY, Answer, Refusal, failure

__all__ = ["MAX_RESULT", "result_answer"]

MAX_RESULT = 1 << 20
"""The platform's own limit; a longer result arrives there cut and marked as an error."""

_DEPTH = 200


def result_answer(result: object, max_bytes: int = MAX_RESULT) -> Answer:
    """Return the reply for what an action returned; raises Refusal for no dictionary."""
    import orjson

    if not isinstance(result, dict | list | tuple):
        raise Refusal(
            502, NOT_A_DICTIONARY, log=f"{NOT_A_DICTIONARY} It returned {type(result).__name__}."
        )
    try:
        text = orjson.dumps(result)
    except (TypeError, ValueError, RecursionError) as error:
        return failure(200, f"The action's result is not JSON: {_first_problem(result) or error}")
    # NaN is written as null without a word: only then is it worth to look at every value
    problem = _first_problem(result) if b"null" in text else ""
    if problem:
        return failure(200, f"The action's result is not JSON: {problem}")
    if len(text) > max_bytes:
        return failure(
            200,
            "The action produced a response that exceeded the allowed length: "
            f"{len(text)} > {max_bytes} bytes.",
        )
    return Answer(200, text)


def _first_problem(result: object) -> str:
    return next(_problems(result, "result", 0), "")


def _problems(value: object, path: str, depth: int) -> Iterator[str]:
    """Name what JSON cannot hold."""
    if depth > _DEPTH:
        yield f"{path} is nested deeper than {_DEPTH}"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{path} has a key that is no text: {key!r:.40}"
            yield from _problems(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _problems(item, f"{path}[{index}]", depth + 1)
    elif type(value) is float:
        if not math.isfinite(value):
            yield f"{path} is {value}"
    elif type(value) not in (int, str, bool, type(None)):
        yield f"{path} is {type(value).__name__}"
