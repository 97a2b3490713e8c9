"""Every call of a function, while it runs and after: who asked, how long it took, what it wrote.

Records are bounded by their count, their age and their bytes; the oldest go first. Their
numbers only ever grow, also over restarts, so that who follows them can say how far it has come.

A write of its own for each call would cost as much as all the rest of it. So on a running loop
those of 20 ms are written together. What anybody was shown of a call has been written before: who
follows is told then, and who reads has everything written first. That is also the time that a
runner has to write of a call which it has answered already; of those that were read sooner, the
rest of the log is written later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from time import monotonic

from gpfn.errors import GpfnError
from gpfn.local.bounded_rows import BoundedRows, RowBounds
from gpfn.local.call_record import (
    ADD_LOG,
    ALL_COLUMNS,
    CALL_TABLES,
    COUNT_QUERY,
    HEAD_COLUMNS,
    INSERT_CALL,
    MARK_QUERY,
    MOST_BODY_BYTES,
    MOST_LOG_BYTES,
    CallBody,
    CallCount,
    CallMark,
    CallRecord,
    LogLine,
    RunningCall,
    bounded,
    caller_of,
    from_row,
    line_of,
    log_and_size,
    to_row,
)
from gpfn.local.calling import RestOfLog
from gpfn.local.state import State
from gpfn.local.waiting_call import WaitingCall
from gpfn.log import write_stderr

__all__ = [
    "MOST_BODY_BYTES",
    "MOST_LOG_BYTES",
    "CallBody",
    "CallRecord",
    "Calls",
    "Follower",
    "LogLine",
    "RunningCall",
    "caller_of",
    "line_of",
]

_NUMBERS_END = 1 << 62
_ONLY = {"": "", "failed": " AND status >= 400", "cold": " AND cold"}
_SLACK = 16  # records over a bound are removed so many at a time
_TOGETHER_SECONDS, _AGE_LOOK_SECONDS = 0.02, 60.0
_MOST_WAITING, _MOST_WAITING_BYTES = 256, 8 << 20

Follower = Callable[["RunningCall | CallRecord"], object]


class Calls:
    """The calls of a state."""

    def __init__(
        self,
        state: State,
        *,
        most: int = 10_000,
        most_bytes: int = 256 << 20,
        age_seconds: float = 7 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep at most ``most`` records of ``most_bytes``, none older than ``age_seconds``."""
        state.create(CALL_TABLES)
        self._state = state
        self._rows = BoundedRows(
            state, RowBounds("calls", "size", "began", most, most_bytes, _SLACK)
        )
        self._age_seconds = age_seconds
        self._clock = clock
        self._running: dict[str, RunningCall] = {}
        self._followers: list[Follower] = []
        self._looked = 0.0
        self._waiting: list[WaitingCall] = []
        self._unsettled: list[tuple[WaitingCall, CallRecord]] = []
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._number = _last_number(state)
        self._shorten()
        state.before_close(self.flush)

    @property
    def running(self) -> Sequence[RunningCall]:
        """The calls that have begun and not ended, in the order they began."""
        return tuple(self._running.values())

    def begin(self, call: RunningCall) -> None:
        """Note that a call has begun, and tell who follows; `add` of its id ends it."""
        self._running[call.id] = call
        self._tell(call)

    def add(self, record: CallRecord, rest: RestOfLog | None = None) -> CallRecord:
        """Keep a call that has ended, and tell who follows; returns it as kept, with its number.

        Bodies are cut to `MOST_BODY_BYTES`, the log to `MOST_LOG_BYTES`. It is written soon, with
        the ``rest`` of the log; that it cannot be, when the disk is full, is told in the log, and
        calls go on.
        """
        self._running.pop(record.id, None)
        self._number += 1
        record = bounded(record)._replace(number=self._number)
        self._waiting.append(one := WaitingCall(record, rest, monotonic()))
        self._waiting_bytes += one.size
        many = len(self._waiting) >= _MOST_WAITING or self._waiting_bytes >= _MOST_WAITING_BYTES
        if many or _running_loop() is None:
            self.flush()
        self._look_again()
        return record

    def _flush_settled(self) -> None:
        """Write those of which no more is to come, and look again after the others."""
        self._timer = None
        self._settle()
        now, waiting = monotonic(), self._waiting
        count = next((at for at, one in enumerate(waiting) if not one.settled(now)), len(waiting))
        self._waiting = waiting[count:]
        self._waiting_bytes = sum(one.size for one in self._waiting)
        self._write(waiting[:count])
        self._look_again()

    def _look_again(self) -> None:
        loop = _running_loop()
        if self._timer is None and loop is not None and (self._waiting or self._unsettled):
            self._timer = loop.call_later(_TOGETHER_SECONDS, self._flush_settled)

    def flush(self) -> None:
        """Write what waits to be written, and tell who follows."""
        self._settle()
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        pairs = zip(waiting, self._write(waiting), strict=True)
        self._unsettled += [(one, record) for one, record in pairs if one.rest is not None]
        self._look_again()

    def _write(self, waiting: Sequence[WaitingCall]) -> list[CallRecord]:
        """Write them, and tell who follows; returns them as they were then."""
        if not waiting:
            return []
        records = [one.whole() for one in waiting]
        rows = [to_row(record) for record in records]
        try:
            with self._state.transaction() as connection:
                connection.executemany(INSERT_CALL, [values for values, _ in rows])
            self._rows.added(len(rows), sum(size for _, size in rows))
            self._shorten()
        except GpfnError as error:
            write_stderr(f"{len(waiting)} calls are not kept: {error}\n".encode(), True)
        for record in records:
            self._tell(record)
        return records

    def _settle(self) -> None:
        """Write what has come of the logs since their calls were written."""
        now, before, self._unsettled = monotonic(), self._unsettled, []
        pairs = [(one, one.whole(), old) for one, old in before]
        self._unsettled = [(one, whole) for one, whole, _ in pairs if not one.settled(now)]
        grown = [(whole, old) for _, whole, old in pairs if whole.log != old.log]
        try:
            for whole, old in grown:
                log, more = log_and_size(whole, old)
                with self._state.transaction() as connection:
                    connection.execute(ADD_LOG, (log, more, whole.number))
                self._rows.added(0, more)
        except GpfnError as error:
            write_stderr(f"the rest of a call's log is not kept: {error}\n".encode(), True)

    def recent(
        self, limit: int = 100, *, before: int = 0, key: str = "", only: str = ""
    ) -> list[CallRecord]:
        """Return the newest first, without bodies and log: those before a number, of one key.

        ``only`` is one of "", ``failed`` and ``cold``.
        """
        self.flush()
        where = f"number < ?{' AND key = ?' if key else ''}{_ONLY[only]}"
        query = f"SELECT {HEAD_COLUMNS} FROM calls WHERE {where} ORDER BY number DESC LIMIT ?"  # noqa: S608
        values = (before or _NUMBERS_END, *((key,) if key else ()), limit)
        return [from_row(row) for row in self._state.connection.execute(query, values)]

    def marks_of(self, key: str, limit: int) -> list[CallMark]:
        """Return the newest of a key first, with the little that a picture needs."""
        self.flush()
        query = f"{MARK_QUERY} WHERE key = ? ORDER BY number DESC LIMIT ?"
        return [CallMark._make(row) for row in self._state.connection.execute(query, (key, limit))]

    def marks_since(self, begin: float, limit: int) -> list[CallMark]:
        """Return those that began since a moment, the earliest first."""
        self.flush()
        query = f"{MARK_QUERY} WHERE began >= ? ORDER BY began LIMIT ?"
        values = (begin, limit)
        return [CallMark._make(row) for row in self._state.connection.execute(query, values)]

    def counted(self, begin: float, slice_seconds: float) -> list[CallCount]:
        """Return how many began since a moment, for each key and slice of the time since then."""
        self.flush()
        rows = self._state.connection.execute(COUNT_QUERY, (begin, slice_seconds, begin))
        return [CallCount._make(row) for row in rows]

    def since(self, number: int, limit: int = 100) -> list[CallRecord]:
        """Return those after ``number``, the oldest first, without bodies and log."""
        self.flush()
        query = f"SELECT {HEAD_COLUMNS} FROM calls WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608
        rows = self._state.connection.execute(query, (number, limit))
        return [from_row(row) for row in rows]

    def get(self, number: int) -> CallRecord | None:
        """Return all of one, None when it is not there, or no more."""
        return self._one("number = ?", number)

    def find(self, identifier: str) -> CallRecord | None:
        """Return all of the one with an id, None when it is not there, or no more."""
        return self._one("id = ?", identifier)

    def subscribe(self, follower: Follower) -> Callable[[], None]:
        """Call ``follower`` for every call that begins or ends; returns what ends that.

        It is called on the loop's thread and must be quick; what it raises ends it, not the call.
        """
        self._followers.append(follower)

        def end() -> None:
            if follower in self._followers:
                self._followers.remove(follower)

        return end

    def _one(self, where: str, value: object) -> CallRecord | None:
        self.flush()
        query = f"SELECT {ALL_COLUMNS} FROM calls WHERE {where} ORDER BY number DESC LIMIT 1"  # noqa: S608
        row = self._state.connection.execute(query, (value,)).fetchone()
        return None if row is None else from_row(row)

    def _tell(self, call: RunningCall | CallRecord) -> None:
        for follower in tuple(self._followers):
            try:
                follower(call)
            except Exception as error:  # noqa: BLE001 - who looks on must not break the call
                write_stderr(f"who follows the calls failed: {error!r}\n".encode(), True)
                self._followers.remove(follower)

    def _shorten(self) -> None:
        """Remove the oldest, as far as there are too many, too large or too old ones."""
        now = self._clock()
        self._rows.shorten()
        if now - self._looked >= _AGE_LOOK_SECONDS:
            self._looked = now
            self._rows.remove_before(now - self._age_seconds)


def _last_number(state: State) -> int:
    """Return the last number that was given, also if that call is not kept any more."""
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'calls'"
    row = state.connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
