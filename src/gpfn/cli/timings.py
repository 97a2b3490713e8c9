"""What calls and their parts took, as a tree: stages, hops, and what servers tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpfn.scope import Took

__all__ = ["CALL", "TimedPart", "TimingTree"]

CALL = "call"
"""The whole of a call, as its caller sees it; all other parts are in it."""

_TOTAL = "total"
"""What a server says of a request as a whole."""


class TimedPart(NamedTuple):
    """A part of the calls, and its times in seconds; ``name`` leads to it: ``prepare.compute``."""

    name: str
    calls: int
    whole: float
    longest: float

    @property
    def mean(self) -> float:
        """How long it took on average."""
        return self.whole / self.calls


class TimingTree:
    """The times of many calls, summed by part; safe for threads."""

    def __init__(self) -> None:
        self._parts: dict[str, TimedPart] = {}
        self._lock = Lock()

    def add(self, timings: Sequence[Took]) -> None:
        """Take the times of one call."""
        with self._lock:
            for name, seconds in timings:
                known = self._parts.get(name) or TimedPart(name, 0, 0.0, 0.0)
                longest = max(known.longest, seconds)
                whole = known.whole + seconds
                self._parts[name] = TimedPart(name, known.calls + 1, whole, longest)

    @property
    def parts(self) -> tuple[TimedPart, ...]:
        """All parts, the whole call first."""
        with self._lock:
            parts = [*self._parts.values()]
        return tuple(sorted(parts, key=lambda part: part.name != CALL))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the tree as rows of a table: a part, how often, and milliseconds.

        A server's total is not shown, but what is beside it: the hop there and back.
        """
        parts = {part.name: part for part in self.parts}
        whole = parts.pop(CALL, None)
        rows = [_row(CALL, whole)] if whole else []
        return rows + _branch(parts, "", whole, 1)


def _branch(
    parts: Mapping[str, TimedPart], path: str, above: TimedPart | None, depth: int
) -> list[tuple[str, str, str, str]]:
    """Return the rows under a part; ``path`` leads to them, with its dot."""
    rows, inset = [], "  " * depth
    total = parts.get(f"{path}{_TOTAL}")
    if total and above:
        hop = max(0.0, above.mean - total.mean)
        rows.append((f"{inset}hop", str(total.calls), f"{hop * 1000:.2f}", ""))
    inside = [name.removeprefix(path) for name in parts if name.startswith(path)]
    for word in dict.fromkeys(name.partition(".")[0] for name in inside):
        if word == _TOTAL:
            continue
        part = parts.get(f"{path}{word}")
        rows.append(_row(f"{inset}{word}", part))
        rows += _branch(parts, f"{path}{word}.", part, depth + 1)
    return rows


def _row(shown: str, part: TimedPart | None) -> tuple[str, str, str, str]:
    if part is None:
        return (shown, "", "", "")
    return (shown, str(part.calls), f"{part.mean * 1000:.2f}", f"{part.longest * 1000:.2f}")
