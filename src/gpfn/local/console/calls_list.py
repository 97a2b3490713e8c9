"""The list of calls, newest first: filters and pages are in its address."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from gpfn.local.console.asking import SHOWN, PageAsked
from gpfn.local.console.blame import call_parts
from gpfn.local.console.call_panel import clock_of, status_chips, way_of
from gpfn.local.console.stages import figures_of, mini_bar
from gpfn.serving.pages.markup import as_text, number

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord

__all__ = ["ListedCalls", "calls_panel"]

_MIB = 1 << 20
_FAR = 40
_LEGEND = (("model", "model"), ("yours", "your code"), ("wire", "wire"))


class ListedCalls(NamedTuple):
    """A page of calls; ``older`` is where the next one begins, 0 at the end."""

    calls: Sequence[CallRecord]
    older: int
    counted: int
    minutes: int


def calls_panel(listed: ListedCalls, asked: PageAsked, chosen: int) -> str:
    """Return the panel; the call ``chosen`` is marked."""
    calls = listed.calls
    parts = {call.number: call_parts(call)[1] for call in calls}
    most = _scale([sum(one.seconds for one in each) for each in parts.values()])
    rows = "".join(_row(call, asked, chosen, mini_bar(parts[call.number], most, cold=call.cold))
                   for call in calls)  # fmt: skip
    legend = "".join(
        f'<li><svg aria-hidden="true"><rect class="f-{kind}" width="12" height="12"/></svg>{word}'
        "</li>"
        for kind, word in _LEGEND
    )
    top = ' data-top="1"' if not asked.before else ""
    return (
        f'<section class="panel third" aria-labelledby="calls" data-live="calls"{top}>'
        f'<div class="head"><h2 id="calls">Calls</h2><span class="small muted">'
        f"{number(listed.counted)} in {listed.minutes} min</span>"
        '<button class="btn tiny js" type="button" id="more" hidden></button>'
        f'<ul class="legend">{legend}<li><svg aria-hidden="true"><rect class="f-cold" width="12" '
        'height="12"/><rect fill="url(#hatch)" width="12" height="12"/></svg>cold start, not to '
        f'scale</li></ul><div class="row">{_filters(asked)}</div></div>'
        f"{_table(rows) if rows else _nothing(asked)}{_foot(listed, asked)}</section>"
    )


def _scale(seconds: Sequence[float]) -> float:
    """Return the longest time that is drawn to scale; one far beyond the others is cut there."""
    if not seconds:
        return 0.0
    return max(one for one in seconds if one <= _FAR * median(seconds))


def _filters(asked: PageAsked) -> str:
    shown = "".join(
        _link(asked.address(only=only, before=0), word, here=asked.only == only)
        for only, word in SHOWN.items()
    )
    of = "".join(
        _link(asked.address(of=value, before=0), word, here=bool(asked.of) == bool(value))
        for value, word in (("", "All functions"), ("1", "This one"))
    )
    return f'<span class="seg">{of}</span><span class="seg">{shown}</span>'


def _link(place: str, word: str, *, here: bool) -> str:
    mark = ' aria-current="true"' if here else ""
    return f'<a href="{escape(place)}#calls"{mark}>{word}</a>'


def _table(rows: str) -> str:
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="calls">'
        '<table class="dense"><thead><tr><th scope="col">Time</th><th scope="col">Function</th>'
        '<th scope="col" class="opt-m">As</th><th scope="col">Status</th><th scope="col" '
        'class="r">Took</th><th scope="col" class="opt">Stages</th><th scope="col" '
        f'class="r opt-m">Memory</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _nothing(asked: PageAsked) -> str:
    told = "No call is like that." if asked.only or asked.of else "No calls yet."
    return f'<div class="empty"><p class="muted">{told}</p></div>'


def _row(call: CallRecord, asked: PageAsked, chosen: int, bar: str) -> str:
    clock, rest = clock_of(call.began)
    mark = ' aria-current="true"' if call.number == chosen else ""
    place = escape(asked.address(call=call.number, function=asked.function))
    way = as_text(way_of(call).partition(" /")[0])  # where a trigger is stands with the call
    memory = f'{call.memory / _MIB:.1f} <span class="unit">MiB</span>' if call.memory else "&ndash;"
    return (
        f'<tr{mark} data-number="{call.number}"><th scope="row" class="nowrap"><a class="goto" '
        f'href="{place}#call"><time>{clock}</time><span class="unit opt-m">{rest}</span></a></th>'
        f'<td class="cut called">{as_text(_name(call))}<span class="sub else-m">{way}</span></td>'
        f'<td class="opt-m muted cut">{way}</td>'
        f"<td>{status_chips(call)}</td>"
        f'<td class="r nowrap">{figures_of(sum(call.stages))} <span class="unit">ms</span></td>'
        f'<td class="opt bar">{bar}</td><td class="r opt-m nowrap">{memory}</td></tr>'
    )


def _name(call: CallRecord) -> str:
    """Return what the list of functions calls it: a function of Fn without its app."""
    return (call.platform == "fn" and call.name.partition("/")[2]) or call.name


def _foot(listed: ListedCalls, asked: PageAsked) -> str:
    newest = older = ""
    if asked.before:
        newest = (
            f'<a class="btn quiet tiny" href="{escape(asked.address(before=0))}#calls">Newest</a>'
        )
    if listed.older:
        place = escape(asked.address(before=listed.older))
        older = f'<a class="btn quiet tiny" href="{place}#calls">Older calls</a>'
    shown = number(len(listed.calls))
    return (
        f'<div class="head foot"><span class="small muted">{shown} shown</span>'
        f'<div class="row">{newest}{older}</div></div>'
    )
