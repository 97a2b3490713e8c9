"""The recorded calls of TFaaS: what was run, what was sent byte for byte, and the replies."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Answer", "Call", "Exchange", "read_calls"]

FILES = ("tfaas.jsonl", "tfaas2.jsonl")


class Answer(NamedTuple):
    """A reply; header names are in lower case. ``whole``: nothing of the body was left out."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True


class Exchange(NamedTuple):
    """A request as it was sent, and the reply; None where the connection was cut."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    answer: Answer | None


class Call(NamedTuple):
    """One line of the recordings.

    ``total`` requests were made, of which only the first ones are there when they were alike;
    the client could not read the reply to ``failed`` of them.
    """

    case: str
    command: str
    exchanges: tuple[Exchange, ...]
    total: int
    failed: int


def read_calls(folder: Path) -> list[Call]:
    """Read both files; those of the first have no names, and are called by number."""
    return [
        _call(json.loads(line), f"{name} {number}")
        for name in FILES
        for number, line in enumerate((folder / name).read_text("utf-8").splitlines(), 1)
    ]


def _call(line: dict[str, Any], number: str) -> Call:
    exchanges = tuple(map(_exchange, line["exchanges"]))
    total = line.get("exchanges_total", len(exchanges))
    failed = line.get("stderr", "").count("failed to parse input buffer")
    return Call(line.get("case", number), line["command"], exchanges, total, failed)


def _exchange(line: dict[str, Any]) -> Exchange:
    request, response = line["request"], line["response"]
    answer = None
    if response is not None:
        headers = _headers(response["headers"])
        body = _bytes(response["body"])
        answer = Answer(response["status"], headers, body, _is_whole(response, headers, body))
    sent = tuple((name, value) for name, value in request["headers"])
    return Exchange(request["method"], request["path"], sent, _bytes(request["body"]), answer)


def _is_whole(response: dict[str, Any], headers: dict[str, str], body: bytes) -> bool:
    """Say whether a body is as it came: none of it cut, and no path taken out of it."""
    length = response.get("body_length") or headers.get("content-length", len(body))
    return int(length) == len(body) and "…".encode() not in body


def _headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in pairs}


def _bytes(body: str | dict[str, str]) -> bytes:
    return body.encode() if isinstance(body, str) else base64.b64decode(body["base64"])
