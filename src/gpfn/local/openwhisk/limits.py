"""What an action may ask for, and how large what is stored may be.

Ranges and messages are those of a platform with its default configuration (application.conf;
TimeLimit.scala and its siblings; WhiskEntity.scala for the sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gpfn import json_exact
from gpfn.local.openwhisk.records import ActionLimits, WhiskParameters
from gpfn.local.openwhisk.refusing import WhiskRefusal, malformed

__all__ = [
    "CONCURRENT",
    "LIMIT_RANGES",
    "MOST_CODE_BYTES",
    "MOST_COMPONENTS",
    "MOST_PARAMETER_BYTES",
    "check_code_size",
    "check_parameter_size",
    "read_limits",
    "with_limits",
]

MOST_CODE_BYTES = 48 << 20
MOST_PARAMETER_BYTES = 1 << 20
MOST_COMPONENTS = 50
CONCURRENT = 30
"""Calls of a namespace at one time, as the standalone platform has it."""


class _Range(NamedTuple):
    least: int
    most: int
    word: str
    above: str
    below: str


_MEGABYTES = (
    "{word} size {value} MB exceeds allowed threshold of {most} MB",
    "{word} size {value} MB below allowed threshold of {least} MB",
)
LIMIT_RANGES = {
    "memory": _Range(128, 512, "memory", *_MEGABYTES),
    "timeout": _Range(
        100,
        300_000,
        "time",
        "duration {value} milliseconds exceeds allowed threshold of {most} milliseconds",
        "duration {value} milliseconds below allowed threshold of {least} milliseconds",
    ),
    "logs": _Range(0, 10, "log", *_MEGABYTES),
    "concurrency": _Range(
        1,
        1,
        "intra concurrency",
        "concurrency {value} exceeds allowed threshold of {most}",
        "concurrency {value} below allowed threshold of {least}",
    ),
}
"""The least and the most of each limit, in the order in which they are checked."""

_MALFORMED = {"concurrency": "concurrency"}


def read_limits(value: Any) -> dict[str, int] | None:
    """Return the limits that a client gives, of those that there are. Raises WhiskRefusal."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise malformed("Object expected in field 'timeout'")
    given = {
        name: _whole(value[name], name)
        for name in (*LIMIT_RANGES, "instances")
        if value.get(name) is not None
    }
    for name, limit in LIMIT_RANGES.items():
        if name in given:
            _check_range(given[name], limit)
    if given.get("instances", 0) > CONCURRENT:
        most = f"your namespace concurrency of {CONCURRENT}"
        raise WhiskRefusal(400, f"Max action instance concurrency must not exceed {most}.")
    return given


def _whole(value: Any, name: str) -> int:
    word = LIMIT_RANGES[name].word if name in LIMIT_RANGES else "instance concurrency"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(f"{_MALFORMED.get(name, word)} limit malformed")
    if value != int(value):
        raise malformed(f"requirement failed: {word} limit must be whole number")
    if value < 0 and name in ("memory", "logs"):
        raise malformed("requirement failed: a negative size of an object is not allowed.")
    if value < 0 and name == "instances":
        least = "Action container concurrency must be greater than or equal to 0."
        raise malformed(f"requirement failed: {least}")
    return int(value)


def _check_range(value: int, limit: _Range) -> None:
    text = limit.above if value > limit.most else limit.below if value < limit.least else ""
    if text:
        said = text.format(word=limit.word, value=value, most=limit.most, least=limit.least)
        raise WhiskRefusal(400, f"requirement failed: {said}")


def with_limits(limits: ActionLimits, given: Mapping[str, int] | None) -> ActionLimits:
    """Return limits with those that are given; the others stay as they are."""
    return limits._replace(**(given or {}))


def check_code_size(code: str, more: str) -> None:
    """Raise WhiskRefusal (413) for too much code; ``more`` counts too: its main and its image."""
    size = len(code.encode()) + len(more.encode())
    _check_size("exec", size, MOST_CODE_BYTES)


def check_parameter_size(name: str, parameters: WhiskParameters) -> None:
    """Raise WhiskRefusal (413) for parameters or annotations that are too large together."""
    size = sum(len(each.key.encode()) + len(json_exact.dumps(each.value)) for each in parameters)
    _check_size(name, size, MOST_PARAMETER_BYTES)


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise WhiskRefusal(413, f"{name} larger than allowed: {size} > {most} bytes.")
