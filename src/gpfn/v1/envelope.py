"""The text of a request to its members, and what they say besides the data.

Errors have the words of TF Serving where it has some, which name the member themselves.

orjson reads it. NaN and Infinity are no JSON: with ``nan_words`` Python's own reader takes a
text that has them, as TF Serving does; else the error says how to have them read.

Of two members of one name orjson keeps the last. Each member has one colon, so that a loss
can be counted; only a text whose count differs is read again to find the name.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Literal, cast

import orjson

from gpfn.errors import InvalidRequest, InvalidTensor
from gpfn.events.json_text import colons
from gpfn.json_exact import UnreadableNumber, loads_loosely, path_of, settle, without_mark
from gpfn.json_words import has_words, loads_words
from gpfn.tensors.shapes import shown, what

__all__ = [
    "SIGNATURE",
    "Form",
    "check_signature",
    "form_of",
    "parse",
    "parsed_bytes",
    "refuse_twins",
    "settled",
]

Form = Literal["instances", "inputs"]
"""The member that has the data: by rows, or by inputs."""

SIGNATURE = "serving_default"
"""The one signature of every model here."""


def _loads(body: bytes, *, nan_words: bool) -> object:
    try:
        return loads_loosely(body)
    except orjson.JSONDecodeError:
        if not (nan_words and has_words(body)):
            raise
    return loads_words(without_mark(body))


def parsed_bytes(body: bytes) -> int:
    """Return about how much memory the values take that a body spells, at most.

    A list of one number takes 115 bytes and four of the text, an object of one 245; each
    character of a string one, or four when there is any that is not of Latin-1.
    """
    wide = 4 if b"\\" in body or not body.isascii() else 1
    values = 120 * body.count(b"[") + 260 * body.count(b"{") + 64 * body.count(b",")
    return values + wide * len(body)


def parse(body: bytes, *, nan_words: bool = False) -> dict[str, object]:
    """Return the members of a request; whole numbers beyond 64 bits may be floats.

    Raises InvalidRequest for what is no JSON object, InvalidTensor with the place of a
    number that has no value.
    """
    try:
        value = _loads(body, nan_words=nan_words)
    except UnreadableNumber as error:
        raise InvalidTensor(error.detail, field=path_of("", error.steps)) from None
    except orjson.JSONDecodeError as error:
        raise _unreadable(body, error.msg, error.pos) from None
    if type(value) is not dict:
        raise InvalidRequest(f"JSON Value: {what(value)} Not an object")
    return value


def settled(members: dict[str, object], body: bytes) -> dict[str, object]:
    """Return the members of a body that :func:`parse` has read, every whole number exact."""
    try:
        return cast("dict[str, object]", settle(members, body))
    except orjson.JSONDecodeError as error:
        raise _unreadable(body, error.msg, error.pos) from None


def form_of(members: dict[str, object]) -> Form:
    """Return which member has the data; raises InvalidRequest for both and for none."""
    if "instances" in members:
        if "inputs" in members:
            told = "expecting only one of 'inputs' or 'instances' keys to exist"
            raise InvalidRequest(f"Not formatted correctly {told}")
        return "instances"
    if "inputs" in members:
        return "inputs"
    raise InvalidRequest("Missing 'inputs' or 'instances' key")


def check_signature(members: dict[str, object]) -> None:
    """Raise InvalidRequest for a signature that is not the default one, which may be named."""
    name = members.get("signature_name", "")
    if type(name) is not str:
        told = f"'signature_name' key must be a string value, got {what(name)}"
        raise InvalidRequest(told)
    if name not in ("", SIGNATURE):
        told = f'Serving signature name: "{shown(name)[1:-1]}" not found in signature def'
        raise InvalidRequest(told)


def refuse_twins(body: bytes, members: dict[str, object]) -> None:
    """Raise InvalidRequest when an object in the body has two members of one name."""
    if body.count(b":") == _plain_members(members):
        return
    try:
        kept = orjson.dumps(members).count(b":")
    except orjson.JSONEncodeError:  # nested deeper than it writes, or a number of other size
        kept = -1
    if colons(body) == kept:
        return
    try:
        json.loads(without_mark(body), object_pairs_hook=_unique)
    except RecursionError:
        raise _unreadable(body, "Recursion limit reached", 0) from None


def _plain_members(members: dict[str, object]) -> int:
    """Return how many members there are in a request, its rows or its inputs: mostly all."""
    count = len(members)
    for value in members.values():
        if type(value) is dict:
            count += len(value)
        elif type(value) is list and value and type(value[0]) is dict:
            count += sum([len(row) for row in value if type(row) is dict])
    return count


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        count = Counter([name for name, _ in pairs])
        name = next(name for name, times in count.items() if times > 1)
        raise InvalidRequest("the member occurs twice", field=shown(name)[1:-1])
    return members


def _unreadable(body: bytes, detail: str, offset: int) -> InvalidRequest:
    if not body:
        detail = "The document is empty."
    hint = ""
    if has_words(body):
        hint = "; NaN and Infinity are no JSON, and are read with --nan-words"
    return InvalidRequest(f"JSON Parse error: {detail} at offset: {offset}{hint}")
