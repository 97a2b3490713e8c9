"""The log of a started function: JSON lines among whatever it prints, and text made of them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gpfn.log import Head, format_text

__all__ = ["Record", "listening_url", "readable", "records", "start_seconds"]

Record = Mapping[str, Any]
"""One line's object; docs/settings.md tells its keys."""

_START = '{"time":'
_HEAD = ("time", "level", "where", "function", "call", "trace_id")
_MB = 1e6


def records(log: str) -> list[Record]:
    """Return the records of a log that was written with ``GPFN_LOG=json``, in order."""
    found = (_record(line) for line in log.splitlines())
    return [record for record in found if record is not None]


def listening_url(log: str) -> str:
    """Return where a server says that it listens, "" as long as it does not."""
    return next((record["url"] for record in records(log) if "url" in record), "")


def start_seconds(log: str) -> dict[str, float]:
    """Return what the last start was made of: import, load, warm-up in seconds."""
    found = [record["seconds"] for record in records(log) if "seconds" in record]
    return dict(found[-1]) if found else {}


def readable(log: str, form: str = "text") -> str:
    """Return a log as a person wants it: ``text``, ``json`` as it is, ``quiet`` for failures.

    Lines that are no records stay as they are.
    """
    if form == "json":
        return log
    return "".join(_shown(log.splitlines(keepends=True), quiet=form == "quiet"))


def _shown(lines: Iterable[str], *, quiet: bool) -> Iterable[str]:
    for line in lines:
        record = _record(line)
        if record is None:
            yield line
        elif not quiet or record.get("level") == "error":
            head = _head(record)
            yield from (format_text(head, text).decode() for text in _texts(record))


def _record(line: str) -> Record | None:
    if not line.startswith(_START):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # half a line, as a process leaves it that is killed
        return None
    return record if isinstance(record, dict) and _is_ours(record) else None


def _is_ours(record: Record) -> bool:
    """Say whether it has what a record of ours has: a function may print JSON of its own."""
    seconds = record.get("seconds", {})
    try:
        _texts(record)
        numbers = isinstance(seconds, dict) and all(float(spent) >= 0 for spent in seconds.values())
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False
    return numbers and all(isinstance(record.get(name, ""), str) for name in (*_HEAD, "url"))


def _head(record: Record) -> Head:
    time, level, where, function, call, trace = (record.get(name, "") for name in _HEAD)
    return time, level, where, function, call, trace


def _texts(record: Record) -> list[str]:
    if "trace" in record:
        return str(record["trace"]).split("\n")
    return [_call(record) if "status" in record else str(record["message"])]


def _call(record: Record) -> str:
    """Return what :func:`gpfn.log.call_text` says of the same call."""
    error = f" {record['error']};" if "error" in record else ""
    stages = ", ".join(f"{name} {spent:.3f}" for name, spent in record["stages_ms"].items())
    stages = f" ({stages})" if stages else ""
    return (
        f"{record['status']}{error} {record['ms']:.3f} ms{stages}"
        f" {record['bytes_in']} B in {record['bytes_out']} B out"
        f" rss {record['rss'] / _MB:.1f} MB {record['rss_change'] / _MB:+.1f}"
    )
