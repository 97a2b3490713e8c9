"""How far one partition is done, and what beyond that is: without any queue.

A queue with offsets can only be told one number, the offset from which records come again.
Records are finished in any order, so that number is the lowest unfinished one, and what was
finished beyond it would come once more after a restart. Kafka keeps a text of up to 4,096
characters beside the number, which holds those as runs, with the calls that failed so far:

    gpfn1:BASE64    of base-128 numbers: the offset itself, then for each run in ascending order
                    how many offsets are skipped, and 2 * length of a finished run, or
                    2 * attempts + 1 of one record that was tried

What does not fit is left out, the highest first: those records come once more, as after a
crash. Offsets may have gaps, for a log is compacted and holds what a client never sees: only
records that came count, and a run may reach over offsets that never do.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["METADATA_LIMIT", "Beyond", "Watermark", "parse_beyond"]

METADATA_LIMIT = 4096
"""Characters that a broker keeps beside an offset (``offset.metadata.max.bytes``)."""

_MARK = "gpfn1:"
_MOST_BITS = 63


class Beyond(NamedTuple):
    """What is known beyond an offset: finished runs as (first, after the last), and attempts."""

    runs: tuple[tuple[int, int], ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()


class Watermark:
    """The records of one partition since it was assigned: begun, finished, tried."""

    __slots__ = ("_attempts", "_begun", "_known", "_last", "_next", "_open")

    def __init__(self, committed: int | None = None, beyond: Beyond | None = None) -> None:
        """``committed`` is the offset that the queue knows; None when it knows none."""
        runs, attempts = beyond or Beyond()
        self._next = committed
        self._last = -1 if committed is None else committed - 1
        self._begun: deque[int] = deque()  # all from the lowest unfinished on, ascending
        self._open: set[int] = set()  # those of them that are not finished
        self._known = deque(runs)  # finished earlier, and not come again so far
        self._attempts = dict(attempts)

    def rewinds(self, offset: int) -> bool:
        """Say whether a record is from before what is committable: its partition began anew."""
        return self._next is not None and offset < self._next

    def begin(self, offset: int) -> bool:
        """Count a record that came; say whether it is to be worked on.

        It is not when it was finished before the partition was assigned, nor when it came
        already. Raises ValueError for one that `rewinds`, which needs another watermark.
        """
        if self._next is None:
            self._next = offset
        elif offset < self._next:
            raise ValueError(f"offset {offset} came after all below {self._next} were done")
        if offset <= self._last:
            return False
        self._last = offset
        if self._known and self._was_finished(offset):
            self._begun.append(offset)
            self._attempts.pop(offset, None)
            self._advance()
            return False
        self._begun.append(offset)
        self._open.add(offset)
        return True

    def finish(self, offset: int) -> bool:
        """Count a record as done for good; say whether it was one that had begun."""
        if offset not in self._open:
            return False
        self._open.remove(offset)
        if self._attempts:
            self._attempts.pop(offset, None)
        if self._begun[0] == offset:
            self._advance()
        return True

    def tried(self, offset: int, attempts: int) -> bool:
        """Remember how many calls were made for a record; say whether it had begun."""
        if offset not in self._open or attempts < 1:
            return False
        self._attempts[offset] = attempts
        return True

    def attempts(self, offset: int) -> int:
        """Return how many calls were made for a record, before the restart too."""
        return self._attempts.get(offset, 0)

    def committable(self) -> int | None:
        """Return the offset from which records are to come again, or None when none came yet."""
        return self._next

    def gap(self) -> int:
        """Return how many records are finished beyond the lowest unfinished one."""
        return len(self._begun) - len(self._open)

    def unfinished(self) -> int:
        """Return how many records have begun and are not finished."""
        return len(self._open)

    def behind(self, end: int, earliest: int = 0) -> int:
        """Return how many records are not done when the next one written gets the offset ``end``.

        Offsets at which there is no record count as well, for nobody knows of them; without
        a record or a commit so far all count from the ``earliest`` on.
        """
        came = self._last + 1 if self._next is not None else earliest
        return max(0, end - max(came, earliest)) + len(self._open)

    def text(self, limit: int = METADATA_LIMIT) -> str:
        """Return what a restart must know besides `committable`, at most ``limit`` characters."""
        if self._next is None or not (self._known or self._attempts or self.gap()):
            return ""
        room = (limit - len(_MARK)) // 4 * 3
        written = bytearray(_number(self._next))
        empty = len(written)
        for token in self._tokens(self._next):
            if len(written) + len(token) > room:
                break
            written += token
        if len(written) == empty:
            return ""
        return _MARK + urlsafe_b64encode(written).decode()

    def _advance(self) -> None:
        begun, unfinished = self._begun, self._open
        while begun and begun[0] not in unfinished:
            self._next = begun.popleft() + 1

    def _was_finished(self, offset: int) -> bool:
        known = self._known
        while known and known[0][1] <= offset:
            known.popleft()
        return bool(known) and known[0][0] <= offset

    def _tokens(self, base: int) -> Iterator[bytes]:
        """Yield the runs and attempts in ascending order, each from where the last ended."""
        at = base
        for first, after, attempts in self._entries():
            value = 2 * attempts + 1 if attempts else 2 * (after - first)
            yield _number(first - at) + _number(value)
            at = after

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first, after the last, attempts), where a finished run has no attempts."""
        first = -1
        for offset in self._begun:
            if offset not in self._open:
                first = offset if first < 0 else first
                after = offset + 1
                continue
            if first >= 0:
                yield first, after, 0
                first = -1
            if offset in self._attempts:
                yield offset, offset + 1, self._attempts[offset]
        if first >= 0:
            yield first, after, 0
        yield from self._to_come()

    def _to_come(self) -> Iterator[tuple[int, int, int]]:
        """Yield what was known at the assignment about records that have not come again yet."""
        last = self._last
        runs = [
            (max(first, last + 1), after, 0) for first, after in self._known if after > last + 1
        ]
        tried = [(at, at + 1, count) for at, count in self._attempts.items() if at > last]
        yield from sorted(runs + tried)


def parse_beyond(committed: int, text: str) -> Beyond:
    """Return what `Watermark.text` wrote beside the offset ``committed``.

    Raises ValueError for any other text, and for one that was written beside another offset.
    """
    if not text:
        return Beyond()
    if not text.startswith(_MARK) or len(text) > METADATA_LIMIT:
        raise ValueError("not written by gpfn")
    numbers = _numbers(urlsafe_b64decode(text[len(_MARK) :].encode("ascii")))
    if next(numbers, -1) != committed:
        raise ValueError("written beside another offset")
    return _read_runs(committed, numbers)


def _read_runs(at: int, numbers: Iterator[int]) -> Beyond:
    runs, attempts = [], []
    for skipped in numbers:
        value = next(numbers, 0)
        if value < 2:
            raise ValueError("a run of nothing")
        first, length = at + skipped, 1 if value & 1 else value >> 1
        at = first + length
        if at >> _MOST_BITS:
            raise ValueError("beyond every offset")
        if value & 1:
            attempts.append((first, value >> 1))
        else:
            runs.append((first, at))
    return Beyond(tuple(runs), tuple(attempts))


def _number(value: int) -> bytes:
    """Write a number in base 128, the lowest digit first, each but the last with its top bit."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _numbers(data: Iterable[int]) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > _MOST_BITS:
            raise ValueError("a number of more than 63 bits")
        if byte < 0x80:
            yield value
            value = shift = 0
    if shift:
        raise ValueError("cut off")
