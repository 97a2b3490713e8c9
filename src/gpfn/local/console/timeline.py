"""The calls of some minutes: a lane for each function, a tick for each call; many as bars."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from gpfn.serving.pages.markup import number
from gpfn.serving.pages.plots import named_svg

if TYPE_CHECKING:
    from gpfn.local.call_record import CallCount, CallMark, CallRecord

__all__ = ["MOST_LANES", "MOST_TICKS", "SLICES", "Lane", "timeline"]

MOST_LANES = 12
MOST_TICKS = 300
"""Calls that have a tick each; more are bars, so that the page stays small."""

SLICES = 60
"""Bars of a lane at most."""

_LANE, _TOP, _FOOT = 34, 14, 20
_LONGEST_NAME = 10
_COLD = '<rect class="f-cold" x="-1.5" y="-20" width="3" height="20"/>'
_COLD += '<path class="f-cold" d="M0-27 4.5-22.5 0-18-4.5-22.5z"/>'
_FAILED = '<rect class="f-error" x="-1.5" y="-15" width="3" height="15"/>'
_FAILED += '<path class="ln s-forecast" d="m-3.5-25 7 7m0-7-7 7"/>'
_WELL = '<rect class="f-model" x="-1.5" y="-15" width="3" height="15"/>'
_HALO = '<rect class="halo" x="-7.5" y="-31" width="15" height="35" rx="4"/>'


class Lane(NamedTuple):
    """A function's calls, and when its files were saved, in seconds since 1970.

    ``slices`` has what there was in each of `SLICES` by its number. ``calls`` are the calls one by
    one; there are none when all lanes together have more than `MOST_TICKS`. ``keys`` are those
    that the function's calls are kept under.
    """

    name: str
    keys: Sequence[str]
    slices: Mapping[int, CallCount]
    calls: Sequence[CallMark] = ()
    saved: Sequence[float] = ()

    def total(self) -> int:
        """Return how many calls there were."""
        return sum(one.calls for one in self.slices.values())


def timeline(lanes: Sequence[Lane], now: float, minutes: int, chosen: CallRecord | None) -> str:
    """Return the picture of the last minutes; the call ``chosen`` has a ring."""
    many = sum(lane.total() for lane in lanes) > MOST_TICKS
    lanes = lanes[:MOST_LANES]
    begin, seconds = now - 60 * minutes, 60.0 * minutes
    height = _TOP + _LANE * len(lanes) + _FOOT
    body = "".join(
        f'<line class="saved" x1="{x:.2f}%" x2="{x:.2f}%" y1="2" y2="{height - _FOOT}"/>'
        for x in sorted({_place(at, begin, seconds) for one in lanes for at in one.saved})
        if 0 <= x <= 100
    )
    most = max((one.calls for lane in lanes for one in lane.slices.values()), default=1) ** 0.5
    for row, lane in enumerate(lanes):
        base = _TOP + _LANE * (row + 1)
        body += f'<line class="grid" x1="0" x2="100%" y1="{base}" y2="{base}"/>'
        body += _name(lane.name, base)
        if many:
            ring = -1
            if chosen is not None and chosen.key in lane.keys:
                ring = int(SLICES * (chosen.began - begin) / seconds)
            body += _bars(lane.slices, base, most, ring)
        else:
            body += _ticks(lane.calls, base, begin, seconds, chosen.number if chosen else 0)
    for x, anchor in ((0, "start"), (50, "middle"), (100, "end")):
        told = time.strftime("%H:%M", time.gmtime(begin + seconds * x / 100))
        body += f'<text x="{x}%" y="{height - 3}" text-anchor="{anchor}">{told}</text>'
    spoken = _told(lanes, minutes)
    title = f"Calls of the last {minutes} minutes" if minutes > 1 else "Calls of the last minute"
    return named_svg("lanes", title, spoken, body, height=height, kind="plot gut lanes")


def _place(at: float, begin: float, seconds: float) -> float:
    return round(100 * (at - begin) / seconds, 2)


def _name(name: str, base: int) -> str:
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:5]}…{name[-4:]}"
    return f'<text class="strong" x="-8" y="{base - 10}" text-anchor="end">{escape(shown)}</text>'


def _ticks(calls: Sequence[CallMark], base: int, begin: float, seconds: float, chosen: int) -> str:
    body = ""
    for call in calls:
        mark = _FAILED if call.status >= 400 else _COLD if call.cold else _WELL
        ring = _HALO if call.number == chosen else ""
        x = min(100.0, max(0.0, _place(call.began, begin, seconds)))
        body += f'<svg x="{x:g}%" y="{base}" overflow="visible">{mark}{ring}</svg>'
    return body


def _bars(slices: Mapping[int, CallCount], base: int, most: float, ring: int) -> str:
    """Return a bar for each slice of time, as high as the root of its calls: few stay visible."""
    body, path, width = "", "", 100 / SLICES
    for at, found in sorted(slices.items()):
        x, high = at * width, max(2.0, found.calls**0.5 / most * 22)
        path += f"M{at} {_LANE}v-{high:.3g}h.8v{high:.3g}z"
        marks = ""
        if found.failed:
            marks = '<path class="ln s-forecast" d="m-3-3 6 6m0-6-6 6"/>'
        elif found.cold:
            marks = '<path class="f-cold" d="M0-3.5 3.5 0 0 3.5-3.5 0z"/>'
        if at == ring:
            marks += '<rect class="halo" x="-6" y="-6" width="12" height="36" rx="4"/>'
        if marks:
            body += (
                f'<svg x="{x + width / 2:.2f}%" y="{base - 27}" overflow="visible">{marks}</svg>'
            )
    bars = (  # one shape, for a page of very many stays small
        f'<svg y="{base - _LANE}" width="100%" height="{_LANE}" viewBox="0 0 {SLICES} {_LANE}" '
        f'preserveAspectRatio="none"><path class="f-model" d="{path}"/></svg>'
    )
    return (bars if path else "") + body


def _told(lanes: Sequence[Lane], minutes: int) -> str:
    each = ", ".join(f"{lane.name[:40]} {number(lane.total())}" for lane in lanes if lane.slices)
    counts = [one for lane in lanes for one in lane.slices.values()]
    total, cold = sum(one.calls for one in counts), sum(one.cold for one in counts)
    failed = sum(one.failed for one in counts)
    if not total:
        return f"No calls in {minutes} min."
    return (
        f"{number(total)} calls in {minutes} min: {each}; {number(cold)} cold starts, "
        f"{number(failed)} failed. The table of calls has each."
    )
