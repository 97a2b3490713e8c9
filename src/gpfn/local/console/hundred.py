"""Time and memory of a function's last hundred calls, as plots."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from gpfn.local.console.stages import figures_of
from gpfn.serving.pages.markup import as_text
from gpfn.serving.pages.plots import named_svg, round_ticks, scale_line, scale_lines

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord
    from gpfn.local.console.views import ShownFunction

__all__ = ["hundred_panel"]

_HEIGHT, _TOP, _BOTTOM = 176, 22, 154
_MIB = 1 << 20
_MARKS = {
    "warm": '<circle class="f-model" cx="6" cy="6" r="3"/>',
    "cold": '<path class="f-cold" d="M6 1l5 5-5 5-5-5z"/>',
    "failed": '<path class="ln s-forecast" d="m3 3 6 6m0-6-6 6"/>',
}


def hundred_panel(function: ShownFunction | None, calls: Sequence[CallRecord]) -> str:
    """Return the panel; ``calls`` are the function's, the oldest first."""
    if function is None:
        return ""
    head = (
        '<section class="panel" aria-labelledby="hundred" data-live="hundred"><div class="head">'
        f'<h2 id="hundred">Last hundred calls</h2><span class="small muted cut">of '
        f"{as_text(function.name)}</span></div>"
    )
    if not calls:
        return f'{head}<div class="body muted">Nobody has called it yet.</div></section>'
    plots = f"{_time(calls)}{_memory(function, calls)}"
    return f'{head}<div class="body two plots">{plots}</div></section>'


def _took(call: CallRecord) -> float:
    return 1e3 * sum(call.stages)


def _time(calls: Sequence[CallRecord]) -> str:
    warm = [_took(call) for call in calls if not call.cold and call.status < 400]
    ticks = round_ticks(max(warm, default=max(map(_took, calls))) * 1.05)
    most, body = ticks[-1], scale_lines(ticks, lambda value: _y(value, ticks[-1]))
    for at, call in enumerate(calls):
        x = 1 + 98 * at / max(1, len(calls) - 1)
        kind = "failed" if call.status >= 400 else "cold" if call.cold else "warm"
        if kind == "warm":
            y = _y(min(most, _took(call)), most)
            body += f'<circle class="f-model" cx="{x:.4g}%" cy="{y:.4g}" r="2.25"/>'
            continue
        y = 10 if _took(call) > most else _y(_took(call), most)
        shape = (
            '<path class="ln s-forecast" d="m-3-3 6 6m0-6-6 6"/>'
            if kind == "failed"
            else '<path class="f-cold" d="M0-5 5 0 0 5-5 0z"/>'
        )
        body += f'<svg x="{x:.4g}%" y="{y:.4g}" overflow="visible">{shape}</svg>'
    cold = [_took(call) for call in calls if call.cold]
    failed = sum(call.status >= 400 for call in calls)
    words = {"warm": "warm", "cold": "cold", "failed": "failed"}
    if cold:
        words["cold"] = f"cold: {figures_of(1e-3 * max(cold))}"
    legend = "".join(
        f'<li><svg aria-hidden="true">{_MARKS[kind]}</svg>{word}</li>'
        for kind, word in words.items()
        if kind != "failed" or failed
    )
    told = f"{len(calls)} calls; the median of those that were warm is "
    told += f"{figures_of(1e-3 * median(warm))} ms" if warm else "not known"
    told += f"; {len(cold)} cold starts, {failed} failed."
    plot = named_svg(
        "hundred-time", "Time of the last hundred calls", told, body + _ends(len(calls)),
        height=_HEIGHT,
    )  # fmt: skip
    return (
        f'<figure><div class="plot-head"><h3>Time, ms</h3><ul class="legend">{legend}</ul></div>'
        f"{plot}</figure>"
    )


def _memory(function: ShownFunction, calls: Sequence[CallRecord]) -> str:
    known = [(at, call.memory / _MIB) for at, call in enumerate(calls) if call.memory > 0]
    limit = float(function.memory_limit)
    most = max([limit, *(value for _, value in known)]) if known else limit
    top = most * 1.02
    body = "".join(
        scale_line(_y(value, top), f"{value:.0f}", "grid" if value else "axis")
        for value in (0, limit / 2)
    )
    points = "L".join(
        f"{1 + 98 * at / max(1, len(calls) - 1):.4g} {_y(value, top):.4g}" for at, value in known
    )
    if points:
        body += (
            f'<svg width="100%" height="{_HEIGHT}" viewBox="0 0 100 {_HEIGHT}" '
            f'preserveAspectRatio="none"><path class="ln s-actual" d="M{points}h.01"/></svg>'
        )
    y = _y(limit, top)
    body += (
        f'<line class="limit" x1="0" x2="100%" y1="{y:.4g}" y2="{y:.4g}"/>'
        f'<text class="strong" x="0" y="{y - 6:.4g}">limit {function.memory_limit} MiB</text>'
    )
    highest = max((value for _, value in known), default=0.0)
    said = f"{highest:.1f} at the most" if known else "not known"
    told = f"Resident memory is {said} MiB; the limit in func.yaml is {function.memory_limit} MiB."
    plot = named_svg(
        "hundred-memory", "Memory of the last hundred calls", told, body + _ends(len(calls)),
        height=_HEIGHT,
    )  # fmt: skip
    return (
        f'<figure><div class="plot-head"><h3>Memory, MiB</h3><span class="small muted">{said}'
        f"</span></div>{plot}</figure>"
    )


def _y(value: float, most: float) -> float:
    return _BOTTOM - value / (most or 1) * (_BOTTOM - _TOP)


def _ends(count: int) -> str:
    ago = f"{count - 1} calls ago" if count > 2 else ""
    return (
        f'<text x="0%" y="{_HEIGHT - 4}">{ago}</text>'
        f'<text x="100%" y="{_HEIGHT - 4}" text-anchor="end">now</text>'
    )
