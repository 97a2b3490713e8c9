"""A call as it is kept: what is known of it, how long it may be, and its row in the state."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from gpfn.local.calling import CallFailure, CallStages

__all__ = [
    "ADD_LOG",
    "ALL_COLUMNS",
    "CALL_TABLES",
    "COUNT_QUERY",
    "HEAD_COLUMNS",
    "INSERT_CALL",
    "MARK_QUERY",
    "MOST_BODY_BYTES",
    "MOST_LOG_BYTES",
    "CallBody",
    "CallCount",
    "CallMark",
    "CallRecord",
    "LogLine",
    "RunningCall",
    "bounded",
    "caller_of",
    "from_row",
    "line_of",
    "log_and_size",
    "to_row",
]

MOST_BODY_BYTES = 64 << 10
MOST_LOG_BYTES = 1 << 20

LogLine = tuple[float, str, str]
"""Seconds since the epoch, the stream (``stdout`` or ``stderr``), the text."""

CALL_TABLES = (
    """CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    platform TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    caller TEXT NOT NULL,
    via TEXT NOT NULL,
    began REAL NOT NULL,
    status INTEGER NOT NULL,
    wait REAL NOT NULL,
    start REAL NOT NULL,
    init REAL NOT NULL,
    run REAL NOT NULL,
    cold INTEGER NOT NULL,
    failure TEXT NOT NULL,
    detail TEXT NOT NULL,
    memory INTEGER NOT NULL,
    size INTEGER NOT NULL,
    request_type TEXT NOT NULL,
    request_length INTEGER NOT NULL,
    reply_type TEXT NOT NULL,
    reply_length INTEGER NOT NULL,
    line TEXT NOT NULL,
    request BLOB NOT NULL,
    reply BLOB NOT NULL,
    log BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS calls_of_key ON calls (key, number)",
    "CREATE INDEX IF NOT EXISTS calls_by_id ON calls (id)",
    "CREATE INDEX IF NOT EXISTS calls_counted ON calls (began, key, status, cold)",
)
HEAD_COLUMNS = (
    "id, platform, key, name, caller, via, began, status, number, wait, start, init, run, cold,"
    " failure, detail, memory, request_type, request_length, reply_type, reply_length,"
    " line"
)
"""The columns of a record without its bodies and log, in the order of `from_row`."""
ALL_COLUMNS = f"{HEAD_COLUMNS}, request, reply, log"
INSERT_CALL = (
    "INSERT INTO calls (number, id, platform, key, name, caller, via, began, status, wait, start,"
    " init, run, cold, failure, detail, memory, size, request_type, request_length, reply_type,"
    " reply_length, line, request, reply, log)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
MARK_QUERY = "SELECT number, key, name, began, status, cold, wait + start + init + run FROM calls"
COUNT_QUERY = (
    "SELECT key, CAST((began - ?) / ? AS INTEGER) AS slice, count(*), sum(status >= 400),"
    " sum(cold) FROM calls WHERE began >= ? GROUP BY key, slice"
)
ADD_LOG = "UPDATE calls SET log = ?, size = size + ? WHERE number = ?"
_ROW_BYTES = 400  # what a row has beside its bodies and its log
_MOST_DETAIL = 2000
_MOST_TEXT = 300
_MOST_LINE = 2048
_CUT = "[the log is longer; the rest is left out]"

_AGENTS = {
    "go-http-client": "fn",  # what fn says, and only it of those that come here
    "openwhisk-cli": "wsk",
    "openwhisk-client-js": "openwhisk (npm)",
    "mozilla": "browser",
    "python-urllib": "python",
}


class CallBody(NamedTuple):
    """A body as it went over the wire: its media type, its begin, and its whole length."""

    media_type: str = ""
    data: bytes = b""
    length: int = 0

    @classmethod
    def of(cls, media_type: str, data: bytes | memoryview) -> CallBody:
        """Return a body's begin with its length."""
        return cls(media_type, bytes(data[:MOST_BODY_BYTES]), len(data))


class RunningCall(NamedTuple):
    """A call that has begun and not ended; ``began`` is in seconds since the epoch.

    ``key`` is `Deployed.key`, ``name`` what people call the function, ``caller`` the program that
    asked (see `caller_of`), ``via`` how: ``invoke``, ``trigger /t/app/source``, ``web``, ``rule``.
    """

    id: str
    platform: str
    key: str
    name: str
    caller: str
    via: str
    began: float


class CallRecord(NamedTuple):
    """A call that has ended.

    ``id`` is Fn's call id or OpenWhisk's activation id; ``number`` is given by `Calls.add`.
    ``status`` is what the caller got over HTTP, ``failure`` and ``detail`` are
    `CallOutcome`'s, ``memory`` is in bytes. ``log`` has a line as (seconds, stream, text).
    ``line`` is `line_of` a call whose method and address are the caller's to choose: of a trigger
    or a web action.
    """

    id: str
    platform: str
    key: str
    name: str
    caller: str
    via: str
    began: float
    status: int
    number: int = 0
    stages: CallStages = CallStages()
    cold: bool = False
    failure: CallFailure = ""
    detail: str = ""
    memory: int = 0
    request: CallBody = CallBody()
    reply: CallBody = CallBody()
    log: tuple[LogLine, ...] = ()
    line: str = ""


class CallMark(NamedTuple):
    """The little of a call that a picture of many needs; ``seconds`` is all of its stages."""

    number: int
    key: str
    name: str
    began: float
    status: int
    cold: int
    seconds: float


class CallCount(NamedTuple):
    """How many calls of a key there are in a slice of time, and how many of them went how."""

    key: str
    slice: int
    calls: int
    failed: int
    cold: int


def caller_of(user_agent: str) -> str:
    """Return the program behind a User-Agent: fn, wsk, curl, browser, or its first word."""
    product = user_agent.split("/", 1)[0].split(" ", 1)[0].strip()
    name = "".join(letter for letter in product if letter.isprintable())[:40]
    return _AGENTS.get(name.lower(), name) or "unknown"


def line_of(method: str, target: str) -> str:
    """Return the method and the target of a request; nothing when it is too long to be kept.

    A part of it would be another address.
    """
    line = f"{method} {target}"
    return line if len(line) <= _MOST_LINE else ""


def bounded(record: CallRecord) -> CallRecord:
    """Return a record no part of which is longer than it may be."""
    request, reply = record.request, record.reply
    texts = len(record.name) + len(record.caller) + len(record.via) + len(record.detail)
    bodies = max(len(request.data), len(reply.data))
    if texts <= _MOST_TEXT and bodies <= MOST_BODY_BYTES and _is_short(record.log):
        return record  # as most are
    return record._replace(
        name=record.name[:_MOST_TEXT],
        caller=record.caller[:_MOST_TEXT],
        via=record.via[:_MOST_TEXT],
        detail=record.detail[:_MOST_DETAIL],
        request=request._replace(data=bytes(request.data[:MOST_BODY_BYTES])),
        reply=reply._replace(data=bytes(reply.data[:MOST_BODY_BYTES])),
        log=_bounded_log(record.log),
    )


def _is_short(log: tuple[LogLine, ...]) -> bool:
    size = len(log)
    for _, _, text in log:
        size += len(text)
    return size <= MOST_LOG_BYTES


def _bounded_log(log: tuple[LogLine, ...]) -> tuple[LogLine, ...]:
    left = MOST_LOG_BYTES
    for at, (seconds, _, text) in enumerate(log):
        left -= len(text) + 1
        if left < 0:
            return (*log[:at], (seconds, "stderr", _CUT))
    return log


def to_row(record: CallRecord) -> tuple[tuple[Any, ...], int]:
    """Return the values of a row, and the bytes that it counts for."""
    request, reply = record.request, record.reply
    log = _log_bytes(record)
    size = _ROW_BYTES + len(request.data) + len(reply.data) + len(log) + len(record.line)
    return (
        (
            record.number,
            *map(_text, record[:6]),
            record.began,
            record.status,
            *record.stages,
            record.cold,
            record.failure,
            _text(record.detail),
            record.memory,
            size,
            _text(request.media_type[:_MOST_TEXT]),
            request.length or len(request.data),
            _text(reply.media_type[:_MOST_TEXT]),
            reply.length or len(reply.data),
            _text(record.line),
            request.data,
            reply.data,
            log,
        ),
        size,
    )


def log_and_size(record: CallRecord, before: CallRecord) -> tuple[bytes, int]:
    """Return a longer log as it is kept, and by how many bytes it is longer than ``before``."""
    log = _log_bytes(record)
    return log, len(log) - len(_log_bytes(before))


def _log_bytes(record: CallRecord) -> bytes:
    try:
        return orjson.dumps(record.log) if record.log else b"[]"
    except orjson.JSONEncodeError:  # what is no UTF-8 is not JSON
        return orjson.dumps([(at, stream, _text(text)) for at, stream, text in record.log])


def _text(text: str) -> str:
    """Return text that UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def from_row(row: tuple[Any, ...]) -> CallRecord:
    """Return the record of a row of `HEAD_COLUMNS` or `ALL_COLUMNS`."""
    request, reply, log = row[22:25] if len(row) > 22 else (b"", b"", b"[]")
    return CallRecord._make(
        (
            *row[:9],
            CallStages(*row[9:13]),
            bool(row[13]),
            *row[14:17],
            CallBody(row[17], request, row[18]),
            CallBody(row[19], reply, row[20]),
            tuple((at, stream, text) for at, stream, text in orjson.loads(log)),
            row[21],
        )
    )
