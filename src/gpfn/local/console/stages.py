"""A call as a bar to scale; its cold start is hatched, and below it the call itself enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gpfn.local.console.blame import CallPart
from gpfn.serving.pages.markup import as_text
from gpfn.serving.pages.plots import named_svg

__all__ = ["figures_of", "mini_bar", "stage_bars", "stage_table"]

_HIGH, _LENS, _WHOLE = 30, 34, 94
_LABEL_PERCENT = 5.0
_LETTER_PERCENT = 1.6


def figures_of(seconds: float) -> str:
    """Return a time in milliseconds, as exact as people want it."""
    value = 1e3 * seconds
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def stage_bars(cold: Sequence[CallPart], call: Sequence[CallPart]) -> str:
    """Return the picture of a call."""
    ours, before = sum(one.seconds for one in call), sum(one.seconds for one in cold)
    told = f"The call took {figures_of(ours)} ms: {_listed(call)}."
    if before <= 0:
        body = _segments(call, 0, _HIGH)
        return named_svg("stages", "Stages of this call", told, body, height=_HIGH, kind="plot")
    whole = before + ours
    told = f"The cold start took {figures_of(before)} of {figures_of(whole)} ms: "
    told += f"{_listed(cold)}. The call took {figures_of(ours)} ms: {_listed(call)}."
    left = 100 * before / whole
    body = _segments(cold, 0, _HIGH, left)
    body += f'<rect class="f-model" x="{left:.2f}%" width="{100 - left:.2f}%" height="{_HIGH}"/>'
    body += _gap(left, 0, _HIGH)
    body += (
        f'<svg y="{_HIGH + 2}" width="100%" height="{_LENS - 4}" viewBox="0 0 100 {_LENS - 4}" '
        f'preserveAspectRatio="none"><path class="lens" d="M{left:.2f} 0H100V{_LENS - 4}H0z"/>'
        f'</svg><text x="100%" dx="-8" y="{_HIGH + 21}" text-anchor="end">the call itself, '
        f"{figures_of(ours)} ms, enlarged</text>"
    )
    body += _segments(call, _WHOLE - _HIGH, _HIGH)
    return named_svg("stages", "Stages of this call", told, body, height=_WHOLE, kind="plot")


def mini_bar(parts: Sequence[CallPart], most: float, *, cold: bool) -> str:
    """Return a call in a table, to the scale of the column; a cold start is a mark beside it."""
    total = sum(one.seconds for one in parts)
    share = min(100.0, max(1.5, 100 * total / most)) if most > 0 else 1.5
    mark = ""
    if cold:
        mark = "".join(
            f'<rect {fill} x="-15" width="12" y="2" height="10"/>'
            for fill in ('class="f-cold"', 'fill="url(#hatch)"')
        )
    bars = _segments(parts, 2, 10, share, named=False)
    return f'<svg class="plot mini" height="14" aria-hidden="true">{mark}{bars}</svg>'


def stage_table(cold: Sequence[CallPart], call: Sequence[CallPart]) -> str:
    """Return the same in numbers."""
    rows = ""
    for title, parts in (("Cold start", cold), ("Call", call)):
        if not parts:
            continue
        total = figures_of(sum(one.seconds for one in parts))
        rows += f'<tr><th scope="row"><b>{title}</b></th><td class="r"><b>{total}</b></td></tr>'
        for one in parts:
            hatch = (
                '<rect fill="url(#hatch)" width="12" height="12"/>' if one.kind == "cold" else ""
            )
            rows += (
                f'<tr><th scope="row"><svg class="sw" aria-hidden="true"><rect '
                f'class="f-{one.kind}" width="12" height="12"/>{hatch}</svg>'
                f"{as_text(one.name)}</th>"
                f'<td class="r">{figures_of(one.seconds)}</td></tr>'
            )
    return (
        '<table class="plain dense"><thead><tr><th scope="col">Stage</th>'
        f'<th scope="col" class="r">ms</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _listed(parts: Sequence[CallPart]) -> str:
    return ", ".join(f"{one.name} {figures_of(one.seconds)}" for one in parts) or "nothing"


def _segments(
    parts: Sequence[CallPart], y: int, height: int, width: float = 100.0, *, named: bool = True
) -> str:
    """Return parts side by side; gaps keep neighbours apart, and names stand where they fit."""
    total = sum(one.seconds for one in parts) or 1.0
    body, x = "", 0.0
    for at, one in enumerate(parts):
        wide = one.seconds / total * width
        place = f'x="{x:.2f}%" width="{wide:.2f}%" y="{y}" height="{height}"'
        body += f'<rect class="f-{one.kind}" {place}/>'
        if one.kind == "cold":
            body += f'<rect fill="url(#hatch)" {place}/>'
        if at:
            body += _gap(x, y, height)
        if named and wide >= _LABEL_PERCENT + _LETTER_PERCENT * len(one.name):
            kind = "on-cold" if one.kind == "cold" else "on"
            body += (
                f'<text class="{kind}" x="{x + wide / 2:.2f}%" y="{y + height / 2 + 4:g}" '
                f'text-anchor="middle">{escape(one.name)}</text>'
            )
        x += wide
    return body


def _gap(x: float, y: int, height: int) -> str:
    return (
        f'<svg x="{x:.2f}%" overflow="visible"><rect class="f-gap" x="-1" width="2" y="{y}" '
        f'height="{height}"/></svg>'
    )
