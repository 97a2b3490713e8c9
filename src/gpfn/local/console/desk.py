"""The page: its panels side by side, and what is around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from gpfn.local.console.asking import SPANS, PageAsked
from gpfn.local.console.bridge import bridge_panel
from gpfn.local.console.call_panel import CallAround, call_panel
from gpfn.local.console.calls_list import calls_panel
from gpfn.local.console.differences import differences_panel
from gpfn.local.console.functions_panel import SendForm, functions_panel, send_panel
from gpfn.local.console.hundred import hundred_panel
from gpfn.local.console.timeline import MOST_LANES, timeline
from gpfn.serving.pages.markup import PageFrame, problem

if TYPE_CHECKING:
    from gpfn.local.console.bridge import BridgeFacts
    from gpfn.local.console.looking import Looked
    from gpfn.local.console.shell import ServerAddresses
    from gpfn.local.supervisor.emulated import EmulatedRow
    from gpfn.serving.pages.assets import PageAssets

__all__ = ["desk", "frame_of"]

_HATCH = (
    '<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" '
    'd="M1.5 0V6"/></pattern></defs></svg>'
)
_LEGEND = (
    ('<rect class="f-model" x="4.5" width="3" height="12"/>', "call"),
    ('<path class="f-cold" d="M6 1l5 5-5 5-5-5z"/>', "cold start"),
    ('<path class="ln s-forecast" d="m2 2 8 8m0-8-8 8"/>', "failed"),
    ('<path class="saved" d="M6 0v12"/>', "saved"),
)


def frame_of(assets: PageAssets, last: int) -> PageFrame:
    """Return what is around the console; ``last`` is the newest call that its page knows."""
    head = (
        f'<link rel="stylesheet" href="{assets.address_of("console.css")}">'
        f'<script src="{assets.address_of("console.js")}" defer></script>'
    )
    data = f' data-events="/ui/events" data-last="{last}"'
    return PageFrame("dev", "/", (("/", "Console"),), head, data)


def desk(
    looked: Looked,
    form: SendForm,
    rows: Sequence[EmulatedRow],
    bridge: BridgeFacts | None,
    servers: ServerAddresses,
    *,
    wrong: Mapping[str, object] | None = None,
) -> str:
    """Return the page's main part; ``wrong`` is what was wrong with what was sent."""
    asked, function, call = looked.asked, looked.function, looked.call
    chosen = call.number if call else 0
    own = next((one for one in looked.functions if call and call.key in (*one.keys, one.key)), None)
    around = CallAround(own, looked.older, looked.newer, servers)
    return (
        f'{_HATCH}<main class="desk" id="swap"><h1 class="hide" id="main" tabindex="-1">Console of '
        f'gpfn dev</h1><div class="stack">'
        f"{functions_panel(looked.functions, looked.recent, function, asked)}"
        f"{problem(wrong)}{send_panel(function, form, asked)}</div>"
        f'<div class="stack">{_timeline(looked)}{call_panel(call, asked, around)}</div>'
        f'<div class="stack last">{calls_panel(looked.listed, asked, chosen)}'
        f"{hundred_panel(function, looked.hundred)}{differences_panel(rows, asked)}"
        f"{bridge_panel(bridge)}</div></main>"
    )


def _timeline(looked: Looked) -> str:
    asked = looked.asked
    legend = "".join(
        f'<li><svg aria-hidden="true">{drawn}</svg>{word}</li>' for drawn, word in _LEGEND
    )
    links = "".join(_span(asked, minutes, word) for minutes, word in SPANS.items())
    left = len(looked.lanes) - MOST_LANES
    more = f'<p class="small muted">{left} more are not drawn.</p>' if left > 0 else ""
    drawn = timeline(looked.lanes, looked.now, asked.span, looked.call) if looked.lanes else ""
    nothing = '<p class="muted">Calls are drawn here when there are any.</p>'
    return (
        '<section class="panel" aria-labelledby="tl" data-live="timeline"><div class="head">'
        f'<h2 id="tl">Timeline</h2><span class="small muted">UTC</span><ul class="legend">{legend}'
        f'</ul><div class="row"><span class="seg">{links}</span></div></div>'
        f'<div class="body">{drawn or nothing}{more}</div></section>'
    )


def _span(asked: PageAsked, minutes: int, word: str) -> str:
    mark = ' aria-current="true"' if minutes == asked.span else ""
    return f'<a href="{escape(asked.address(span=minutes))}"{mark}>{word}</a>'
