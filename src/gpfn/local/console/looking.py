"""What a page shows, gathered: functions, the calls of some minutes, one call, a page of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gpfn.local.console.asking import PageAsked
from gpfn.local.console.calls_list import ListedCalls
from gpfn.local.console.timeline import MOST_LANES, MOST_TICKS, SLICES, Lane

if TYPE_CHECKING:
    from gpfn.local.call_record import CallCount, CallMark, CallRecord
    from gpfn.local.calls import Calls
    from gpfn.local.console.views import ShownFunction

__all__ = ["Looked", "look"]

_PAGE = 20
_TREND = 24
"""Calls of a function that its median and its line in the list are of."""
_HUNDRED = 100


class Looked(NamedTuple):
    """What a page shows. ``recent`` are the last calls of each function, the oldest first."""

    asked: PageAsked
    now: float
    functions: Sequence[ShownFunction]
    function: ShownFunction | None
    call: CallRecord | None
    older: int
    newer: int
    lanes: Sequence[Lane]
    recent: dict[str, list[CallMark]]
    hundred: Sequence[CallRecord]
    listed: ListedCalls
    last: int


def look(
    calls: Calls,
    functions: Sequence[ShownFunction],
    asked: PageAsked,
    clock: Callable[[], float] = time.time,
) -> Looked:
    """Gather what is asked for; the chosen call is the function's newest when none is named."""
    now = clock()
    newest = calls.recent(1)
    call = calls.get(asked.call) if asked.call else None
    function = _chosen(functions, asked, call, newest)
    if call is None and not asked.call:
        latest = _of(calls, function, 1)
        call = calls.get(latest[0].number) if latest else None
    lanes, counted = _lanes(calls, functions, now, asked.span)
    lanes = _drawn_first(lanes, function)
    recent = {one.key: _latest(calls, one) for one in functions}
    hundred = _of(calls, function, _HUNDRED)[::-1]
    older, newer = _beside(calls, call)
    listed = _listed(calls, function, asked, counted)
    last = newest[0].number if newest else 0
    return Looked(
        asked, now, functions, function, call, older, newer, lanes, recent, hundred, listed, last
    )


def _chosen(
    functions: Sequence[ShownFunction],
    asked: PageAsked,
    call: CallRecord | None,
    newest: Sequence[CallRecord],
) -> ShownFunction | None:
    """Return the function that is named, else that of the call, of the newest one, or any."""
    by_key = {key: one for one in functions for key in (*one.keys, one.key)}
    wanted = [asked.function, call.key if call else "", *(one.key for one in newest)]
    found = (by_key.get(key) for key in wanted)
    return next((one for one in found if one), functions[0] if functions else None)


def _of(calls: Calls, function: ShownFunction | None, limit: int) -> list[CallRecord]:
    """Return the newest calls of a function, under all keys that it has."""
    if function is None:
        return []
    return _newest(calls, limit, function.keys or (function.key,))


def _newest(
    calls: Calls, limit: int, keys: Iterable[str], before: int = 0, only: str = ""
) -> list[CallRecord]:
    found = [one for key in keys for one in calls.recent(limit, before=before, key=key, only=only)]
    return sorted(found, key=lambda one: -one.number)[:limit]


def _latest(calls: Calls, function: ShownFunction) -> list[CallMark]:
    keys = function.keys or (function.key,)
    found = [one for key in keys for one in calls.marks_of(key, _TREND)]
    return sorted(found, key=lambda one: one.number)[-_TREND:]


def _lanes(
    calls: Calls, functions: Sequence[ShownFunction], now: float, minutes: int
) -> tuple[list[Lane], int]:
    """Return a lane for each function and for what is none any more, and the calls in all.

    Many calls are counted where they are kept; only few are fetched one by one.
    """
    begin, wide = now - 60 * minutes, 60 * minutes / SLICES
    own = {key: one.key for one in functions for key in (*one.keys, one.key)}
    slices: dict[str, dict[int, CallCount]] = {one.key: {} for one in functions}
    total = 0
    for count in calls.counted(begin, wide):
        _add(slices.setdefault(own.get(count.key, count.key), {}), count)
        total += count.calls
    marks: dict[str, list[CallMark]] = {}
    for mark in calls.marks_since(begin, MOST_TICKS) if total <= MOST_TICKS else ():
        marks.setdefault(own.get(mark.key, mark.key), []).append(mark)
    known = {one.key: one for one in functions}
    lanes = [
        _lane(calls, key, known.get(key), each, marks.get(key, ())) for key, each in slices.items()
    ]
    return lanes, total


def _drawn_first(lanes: Sequence[Lane], function: ShownFunction | None) -> list[Lane]:
    """Return lanes by name, but first those that are drawn when there are more than that."""
    own = function.key if function else ""
    by_calls = sorted(lanes, key=lambda lane: (own not in lane.keys, -lane.total(), lane.name))
    first = sorted(by_calls[:MOST_LANES], key=lambda lane: (not lane.slices, lane.name))
    return [*first, *by_calls[MOST_LANES:]]


def _add(slices: dict[int, CallCount], count: CallCount) -> None:
    at = min(count.slice, SLICES - 1)
    same = slices.get(at, count._replace(calls=0, failed=0, cold=0))
    slices[at] = same._replace(
        calls=same.calls + count.calls,
        failed=same.failed + count.failed,
        cold=same.cold + count.cold,
    )


def _lane(
    calls: Calls,
    key: str,
    function: ShownFunction | None,
    slices: Mapping[int, CallCount],
    marks: Sequence[CallMark],
) -> Lane:
    if function is not None:
        keys = (*function.keys, function.key)
        return Lane(function.name, keys, slices, marks, function.saved)
    named = calls.marks_of(key, 1)
    return Lane(named[0].name if named else key, (key,), slices, marks)


def _beside(calls: Calls, call: CallRecord | None) -> tuple[int, int]:
    """Return the numbers of the calls before and after one, of all functions; 0 for none."""
    if call is None:
        return 0, 0
    older, newer = calls.recent(1, before=call.number), calls.since(call.number, 1)
    return (older[0].number if older else 0), (newer[0].number if newer else 0)


def _listed(
    calls: Calls, function: ShownFunction | None, asked: PageAsked, counted: int
) -> ListedCalls:
    """Return a page of calls that are like what is asked for."""
    keys = function.keys or (function.key,) if asked.of and function else ("",)
    found = _newest(calls, _PAGE + 1, keys, asked.before, asked.only)
    older = found[_PAGE - 1].number if len(found) > _PAGE else 0
    return ListedCalls(found[:_PAGE], older, counted, asked.span)
