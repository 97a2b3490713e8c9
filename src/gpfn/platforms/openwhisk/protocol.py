"""The bodies of /init and /run and the replies, in the words that the platform tests for.

What an action may return, and the error for what it may not.

A dictionary or an array of JSON: what Python's own ``json`` writes, as the platform's
Python runtime does; None is ``null`` with status 200, which the platform then calls a
developer error. Anything else gets the platform's own message and status 502. A dictionary
that holds what JSON cannot (NaN, bytes, arrays, sets, dates) or that is too large is told
as an application error with status 200: it may be the data of one call, and any other
status would cost the warm container and the model in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import orjson

from gpfn.errors import error_document
from gpfn.json_exact import DIGITS, dumps, loads

__all__ = [
    "ALREADY_INITIALIZED",
    "BAD_ARGUMENT",
    "CANNOT_START",
    "COMMAND_EXITED",
    "MAX_RESULT",
    "NOT_A_DICTIONARY",
    "NO_ACTION",
    "NO_BINARY",
    "NO_CODE",
    "OK",
    "SHUTTING_DOWN",
    "Answer",
    "Init",
    "Refusal",
    "application_error",
    "failure",
    "parse_body",
    "result_answer",
    "text_answer",
]

ALREADY_INITIALIZED = "Cannot initialize the action more than once."
NO_CODE = "Missing main/no code to execute."
NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
CANNOT_START = "Cannot start action. Check logs for details."
NO_ACTION = "no action defined yet"
COMMAND_EXITED = "command exited"
NOT_A_DICTIONARY = "The action did not return a dictionary or array."
SHUTTING_DOWN = "the container is shutting down"
BAD_ARGUMENT = "The action did not receive a dictionary or array as an argument."


class Answer(NamedTuple):
    """A status and the JSON text of a reply."""

    status: int
    body: bytes


# What a NamedTuple's own constructor does, without the Python function around it.
_answer: Callable[..., Answer] = tuple.__new__


class Refusal(Exception):
    """A reply that ends the handling of a request; ``log`` goes to the activation's log.

    Most have none: the platform's tests want the streams empty but for the action's text.
    """

    def __init__(self, status: int, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.answer = failure(status, message)
        self.log = log


OK = Answer(200, b'{"ok":true}\n')


def failure(status: int, message: str) -> Answer:
    """Return ``{"error": message}`` with a status."""
    whole = message.encode("utf-8", "backslashreplace").decode()  # orjson has no lone surrogates
    return Answer(status, orjson.dumps({"error": whole}))


def application_error(error: BaseException) -> Answer:
    """Return an error document with 200: the caller sees it and the container lives."""
    return Answer(200, orjson.dumps(error_document(error)))


def parse_body(body: bytes | memoryview) -> Mapping[str, object]:
    """Return the body of /run as an object; empty and ``null`` count as ``{}``.

    Raises Refusal.
    """
    document = _parsed(body)
    if not isinstance(document, dict):
        raise Refusal(404, BAD_ARGUMENT)
    return document


def _parsed(body: bytes | memoryview) -> object:
    if not len(body):
        return {}
    try:
        document = loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"Error unmarshaling request: {error}") from None
    return {} if document is None else document


class Init(NamedTuple):
    """What /init asks for; ``code`` is empty when the image brings its own."""

    code: str = ""
    binary: bool = False
    main: str = "main"
    env: Mapping[str, str] = {}

    @classmethod
    def from_body(cls, body: bytes | memoryview) -> Init:
        """Read an /init body; absent, null and empty members have their defaults."""
        document = _parsed(body)
        if not isinstance(document, dict):
            raise _wrong("the body is not an object")
        value = document.get("value") or {}
        if not isinstance(value, dict):
            raise _wrong("value is not an object")
        env, code, main = (value.get(name) for name in ("env", "code", "main"))
        if not isinstance(env or {}, dict):
            raise _wrong("env is not an object")
        if not isinstance(code or "", str) or not isinstance(main or "", str):
            raise _wrong("code and main have to be text")
        return cls(code or "", bool(value.get("binary")), main or "main", _texts(env or {}))

    def decoded(self) -> bytes:
        """Return the code's bytes; raises Refusal when it is said to be base64 and is not."""
        if not self.binary:
            return self.code.encode()
        import binascii

        try:
            text = self.code.encode("ascii").translate(None, b"\r\n")
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise Refusal(400, f"cannot decode the request: {error}") from None


def _texts(env: Mapping[str, object]) -> dict[str, str]:
    """Return the variables as text, as the platform's proxy makes it: null is ``null``."""
    texts = {}
    for name, value in env.items():
        text = value if isinstance(value, str) else dumps(value).decode()
        if not name or "=" in name or "\0" in name + text:
            raise _wrong(f"env has an impossible name or value: {name!r:.80}")
        texts[name] = text
    return texts


def _wrong(what: str) -> Refusal:
    return Refusal(400, f"Error unmarshaling request: {what}")


MAX_RESULT = 1 << 20
"""The platform's own limit; a longer result arrives there cut and marked as an error."""

_DEPTH = 200
_RESULTS = (dict, list, tuple, type(None))
_STRICTLY = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def result_answer(result: object, max_bytes: int = MAX_RESULT) -> Answer:
    """Return the reply for what an action returned; raises Refusal for no dictionary."""
    if not isinstance(result, _RESULTS):
        raise Refusal(502, NOT_A_DICTIONARY)
    text = _json(result)
    if text is None:
        problem = next(_problems(result, "result", 0), "result refers to itself")
        return failure(200, f"The action's result is not JSON: {problem}.")
    return text_answer(text, max_bytes)


def text_answer(text: bytes, max_bytes: int = MAX_RESULT) -> Answer:
    """Return the reply for a result that is JSON text already."""
    if len(text) > max_bytes:
        return failure(
            200,
            "The action produced a response that exceeded the allowed length: "
            f"{len(text)} > {max_bytes} bytes.",
        )
    return _answer(Answer, (200, text))


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
    if isinstance(value, int):
        return "" if abs(value) < 10**DIGITS else f"is a number of more than {DIGITS} digits"
    return "" if value is None else f"is of type {type(value).__name__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
