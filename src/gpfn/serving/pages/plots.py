"""Small plots, drawn by the server as SVG: positions in per cent, sizes in pixels.

A plot that says more than the numbers beside it has a name and a description.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from gpfn.serving.pages.history import Minute

__all__ = [
    "bar",
    "calls",
    "even_ticks",
    "latency",
    "named_svg",
    "round_ticks",
    "scale_line",
    "scale_lines",
    "spark",
    "values",
]

_HEIGHT = 132
_TOP, _BOTTOM = 8, 110
_MOST_POINTS = 200
_SIDE = ' text-anchor="end"'


def spark(trend: Sequence[float]) -> str:
    """Return the hour of a model in the list: a line, its end marked."""
    most = max(trend, default=0)
    if not most or len(trend) < 2:
        return ""
    places = [
        (2 + 66 * at / (len(trend) - 1), 19 - 16 * value / most) for at, value in enumerate(trend)
    ]
    line = "L".join(f"{x:.3g} {y:.3g}" for x, y in places)
    x, y = places[-1]
    return (
        f'<svg class="spark" width="72" height="22" aria-hidden="true">'
        f'<path class="ln s-second" d="M{line}"/>'
        f'<circle class="f-second" cx="{x:.3g}" cy="{y:.3g}" r="2.5"/></svg>'
    )


def calls(minutes: Sequence[Minute]) -> str:
    """Return bars of the calls of each minute; those that failed stand on top."""
    most = max((minute.calls + minute.failed for minute in minutes), default=0)
    ticks = round_ticks(most)
    place = _scale(ticks[-1])
    width = 100 / max(1, len(minutes))
    body = scale_lines(ticks, place)
    for at, minute in enumerate(minutes):
        x, up = f"{at * width + width * 0.1:.4g}%", place(minute.calls)
        if minute.calls:
            body += _rect("f-model", x, width * 0.8, up, _BOTTOM - up)
        if minute.failed:
            top = place(minute.calls + minute.failed)
            body += _rect("f-error", x, width * 0.8, top - 1, max(3, up - top))
    total, failed = sum(m.calls for m in minutes), sum(m.failed for m in minutes)
    told = f"{total + failed:,.0f} calls in an hour, at most {most:,.0f} in a minute; "
    return named_svg("calls", "Calls per minute", f"{told}{failed:,.0f} failed.", body + _times())


def latency(minutes: Sequence[Minute]) -> str:
    """Return lines of the median and the 99th percentile of each minute, in milliseconds."""
    known = [minute.p99 for minute in minutes if minute.p99 is not None]
    ticks = round_ticks(1e3 * max(known, default=0))
    place = _scale(ticks[-1])
    body = scale_lines(ticks, place)
    body += _paths([minute.p99 for minute in minutes], place, "s-second", dashed=True)
    body += _paths([minute.p50 for minute in minutes], place, "s-actual")
    medians = [1e3 * minute.p50 for minute in minutes if minute.p50 is not None]
    told = "No call was answered in this hour."
    if medians:
        told = f"The median was between {min(medians):.3g} and {max(medians):.3g} ms, "
        told += f"the 99th percentile at most {1e3 * max(known):.3g} ms."
    return named_svg("latency", "Latency in milliseconds", told, body + _times())


def values(given: Sequence[float], got: Sequence[float], name: str, at: int) -> str:
    """Return an answer of numbers as points; ``given`` is an input of the same size, or empty."""
    got, given = [*got][:_MOST_POINTS], [*given][:_MOST_POINTS]
    finite = [value for value in (*given, *got) if math.isfinite(value)]
    if len(got) < 2 or not finite or not all(math.isfinite(value) for value in got):
        return ""
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 1, high + 1
    body = ""
    for value in (low, (low + high) / 2, high):
        y = _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)
        body += scale_line(y, f"{value:.4g}", "axis" if value == low else "grid")
    for style, size, numbers in (("f-actual", 4, given), ("f-forecast", 3, got)):
        for index, value in enumerate(numbers):
            if math.isfinite(value):
                x = 1 + 98 * index / max(1, len(got) - 1)
                y = _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)
                body += f'<circle class="{style}" cx="{x:.4g}%" cy="{y:.4g}" r="{size}"/>'
    body += f'<text x="1%" y="{_HEIGHT - 4}">1</text>'
    body += f'<text x="99%" y="{_HEIGHT - 4}" text-anchor="end">{len(got)}</text>'
    told = f"{len(got)} values from {min(got):.4g} to {max(got):.4g}."
    return named_svg(f"values{at}", f"Values of {name}", told, body)


def bar(share: float, *, first: bool = False) -> str:
    """Return the bar of a class, in a table whose next cell has the number."""
    kind = "f-model" if first else "f-second"
    return (
        '<svg class="plot" height="12" aria-hidden="true">'
        f'<rect class="{kind}" width="{max(0.4, min(100, share * 100)):.4g}%" height="12"/></svg>'
    )


def named_svg(
    ident: str, title: str, told: str, body: str, *, height: int = _HEIGHT, kind: str = "plot gut"
) -> str:
    """Return a picture with a name and, in words, what it shows."""
    return (
        f'<svg class="{kind}" height="{height}" role="img" aria-labelledby="{ident}-t '
        f'{ident}-d"><title id="{ident}-t">{escape(title)}</title>'
        f'<desc id="{ident}-d">{escape(told)}</desc>{body}</svg>'
    )


def round_ticks(most: float) -> list[float]:
    """Return nought and up to three round values, the last at or above ``most``."""
    if most <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(most))
    for factor in (0.5, 1, 2, 2.5, 5, 10):
        if most <= 3 * step * factor:
            step *= factor
            break
    return [step * index for index in range(math.ceil(most / step - 1e-9) + 1)]


def even_ticks(low: float, high: float) -> list[float]:
    """Return three to six round values, the first at or below ``low``, the last above ``high``.

    Both are between -1e300 and 1e300. Those that are hardly apart are on a scale of their size.
    """
    apart = high - low
    if apart <= 1e-9 * max(abs(low), abs(high), 1e-290):
        half = 0.5 * abs(high) or 1.0
        low, high, apart = low - half, high + half, 2 * half
    size = 10.0 ** math.floor(math.log10(apart / 3))
    scales = []
    for step in (size * factor for factor in (0.5, 1, 2, 2.5, 4, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if 2 <= last - first <= 5:
            scales.append(((last - first) * step, last - first, step, first))
    _, count, step, first = min(scales)
    return [step * (first + at) for at in range(count + 1)]


def _scale(most: float) -> Callable[[float], float]:
    return lambda value: _BOTTOM - value / most * (_BOTTOM - _TOP)


def scale_lines(ticks: Sequence[float], place: Callable[[float], float]) -> str:
    """Return a line for each value of a scale, the lowest as the axis."""
    return "".join(
        scale_line(place(tick), f"{tick:,.10g}", "axis" if tick == ticks[0] else "grid")
        for tick in ticks
    )


def scale_line(y: float, told: str, kind: str) -> str:
    """Return a line across, with what it stands for at its left."""
    return (
        f'<line class="{kind}" x1="0" x2="100%" y1="{y:.4g}" y2="{y:.4g}"/>'
        f'<text x="-8" y="{y + 4:.4g}"{_SIDE}>{told}</text>'
    )


def _rect(kind: str, x: str, width: float, y: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x}" width="{width:.4g}%" y="{y:.4g}" height="{height:.4g}"/>'


def _paths(
    seconds: Sequence[float | None],
    place: Callable[[float], float],
    style: str,
    *,
    dashed: bool = False,
) -> str:
    """Return a line through what is known; a minute without a value is a gap, one alone a dot."""
    text, drawing = "", False
    for at, value in enumerate(seconds):
        if value is not None:
            x, y = 100 * at / max(1, len(seconds) - 1), place(1e3 * value)
            text += f"{'L' if drawing else 'M'}{x:.4g} {y:.4g}" + ("" if drawing else "h.01")
        drawing = value is not None
    if not text:
        return ""
    dashes = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<svg width="100%" height="{_HEIGHT}" viewBox="0 0 100 {_HEIGHT}" '
        f'preserveAspectRatio="none"><path class="ln {style}" d="{text}"{dashes}/></svg>'
    )


def _times() -> str:
    places = ((0, "start", "60 min ago"), (50, "middle", "30"), (100, "end", "now"))
    return "".join(
        f'<text x="{x}%" y="{_HEIGHT - 4}" text-anchor="{anchor}">{told}</text>'
        for x, anchor, told in places
    )
