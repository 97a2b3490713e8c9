"""What is told of ``gpfn dev``: its calls as rows, lines and JSON, and what to type next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from gpfn.errors import escaped
from gpfn.local.calls import CallRecord
from gpfn.local.folders import LocalFunction

__all__ = [
    "CALL_COLUMNS",
    "NextLine",
    "call_cells",
    "call_document",
    "call_trouble",
    "fitting_columns",
    "next_lines",
]

CALL_COLUMNS: Mapping[str, int] = {
    "time": 8,
    "function": 16,
    "caller": 8,
    "via": 24,
    "": 4,
    "wait": 7,
    "start": 7,
    "init": 7,
    "run": 7,
    "ms": 8,
    "status": 6,
}
"""The columns of a call, and how wide each is at least; times are in milliseconds."""

_GAP = 2
_LEFT_OUT = ("via", "init", "wait", "start", "run", "caller", "time")
"""Columns in the order in which a narrow terminal goes without them."""

_SAMPLE = "sample.json"
_MOST_LINES = 12
_FAILED = 500
_EVENT = "application/cloudevents+json"
_EVENT_BYTES = 64 << 10


class NextLine(NamedTuple):
    """A line to type next: with the platform's own program, and with gpfn alone."""

    with_program: str
    with_gpfn: str


def call_cells(record: CallRecord) -> tuple[str, ...]:
    """Return a call as the cells of `CALL_COLUMNS`."""
    clock = time.strftime("%H:%M:%S", time.localtime(record.began))
    stages = [_milliseconds(seconds) for seconds in record.stages]
    total = _milliseconds(sum(record.stages))
    start = "cold" if record.cold else "warm" if any(record.stages) else "-"
    status = str(record.status)
    who = map(escaped, (record.name, record.caller, record.via))  # a source may have a line end
    return (clock, *who, start, *stages, total, status)


def fitting_columns(width: int) -> list[str]:
    """Return the columns of a call that a terminal of some width has room for."""
    names = list(CALL_COLUMNS)
    for name in _LEFT_OUT:
        if sum(CALL_COLUMNS[each] + _GAP for each in names) - _GAP > width:
            names.remove(name)
    return names


def call_document(record: CallRecord) -> dict[str, Any]:
    """Return the same for machines; times are in milliseconds."""
    stages = {name: round(value * 1000, 3) for name, value in record.stages._asdict().items()}
    return {
        "event": "call",
        "time": round(record.began, 3),
        "id": record.id,
        "platform": record.platform,
        "function": record.name,
        "caller": record.caller,
        "via": record.via,
        "cold": record.cold,
        "ms": stages,
        "status": record.status,
        "failure": record.failure,
        "detail": record.detail,
        "memory": record.memory,
        "trouble": call_trouble(record),
    }


def call_trouble(record: CallRecord) -> list[str]:
    """Return what to show below a call: why it failed, with what the function wrote last.

    Below a call that went well stands what a hosted Fn would not take.
    """
    from gpfn.local.console.answers import failure_text, hosted_warning

    warned = [warning] if (warning := hosted_warning(record)) else []
    if not record.failure and record.status < _FAILED:
        return warned
    written = [text for _, _, text in record.log[-_MOST_LINES:]]
    return "\n".join([failure_text(record), *warned, *written]).split("\n")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds else "-"


def next_lines(
    functions: Sequence[LocalFunction], app: str, fn_url: str, whisk_url: str, key: str
) -> list[NextLine]:
    """Return three lines to type next for one of the functions; nothing without any."""
    function = _shown_first(functions)
    if function is None:
        return []
    name, sample = function.name, function.folder / _SAMPLE
    path = shlex.quote(_short(sample)) if sample.is_file() else ""
    given = f"cat {path} | " if path else "echo '{}' | "
    own = f"{given}gpfn invoke --at {fn_url} {app}/{name}"
    parameters = f" --param-file {path}" if path else ""
    whisk = f"wsk --apihost {whisk_url} --auth {key} action invoke {name} --result{parameters}"
    lines = [
        NextLine(f"{given}FN_API_URL={fn_url} fn invoke {app} {name}", own),
        NextLine(
            whisk,
            f"{given}gpfn invoke --at {whisk_url} --auth {key} --platform openwhisk {name}",
        ),
    ]
    if function.triggers:
        url = shlex.quote(fn_url + quote(f"/t/{app}{function.triggers[0].source}"))
        data = f"-H 'Content-Type: {_media_type(sample)}' --data-binary "
        curl = f"curl {url} {data}{f'@{path}' if path else repr('{}')}"
        lines.append(NextLine(curl, f"{given}gpfn invoke --at {url}"))
    return lines


def _shown_first(functions: Sequence[LocalFunction]) -> LocalFunction | None:
    """Return the function that says most: one with a trigger and a sample, if there is one."""
    ranked = [(bool(f.triggers) + (f.folder / _SAMPLE).is_file(), f) for f in functions]
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _media_type(sample: Path) -> str:
    """Return a sample's media type: that of an event where it begins as one."""
    if not sample.is_file():
        return "application/json"
    with sample.open("rb") as file:
        return _EVENT if b'"specversion"' in file.read(_EVENT_BYTES) else "application/json"


def _short(path: Path) -> str:
    """Return a path from here, if that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
