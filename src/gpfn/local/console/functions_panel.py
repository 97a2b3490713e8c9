"""The list of functions, and the form that sends something to the chosen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from gpfn.local.console.answers import local_text
from gpfn.local.console.asking import PageAsked
from gpfn.local.console.stages import figures_of
from gpfn.local.console.views import WAYS, ShownFunction
from gpfn.serving.pages.markup import as_text, chip, current, hidden, icon
from gpfn.serving.pages.plots import spark

if TYPE_CHECKING:
    from gpfn.local.call_record import CallMark

__all__ = ["SendForm", "functions_panel", "send_panel"]

_MIB = 1 << 20
_TREND = 12
_STATES = {
    "warm": ("warm", "ok", "ok"),
    "busy": ("busy", "ok", "play"),
    "cold": ("cold", "warn", "cold"),
    "failed": ("failed", "bad", "bad"),
}
_IMAGES = "image/jpeg,image/png,image/webp,image/gif"


class SendForm(NamedTuple):
    """What stands in the form: an event's text, which sample it is, and what is wrong with it."""

    event: str = ""
    sample: str = ""
    way: str = ""
    problem: str = ""
    cold: bool = False


def functions_panel(
    functions: Sequence[ShownFunction],
    recent: Mapping[str, Sequence[CallMark]],
    chosen: ShownFunction | None,
    asked: PageAsked,
) -> str:
    """Return the list; ``recent`` are the calls of each by its key, the oldest first."""
    head = (
        '<section class="panel" aria-labelledby="fns" data-live="functions"><div class="head">'
        '<h2 id="fns">Functions</h2><span class="small muted">watched for changes</span></div>'
    )
    if not functions:
        return (
            f'{head}<div class="empty"><p>There is no function here yet.</p><p class="muted">'
            "<code>gpfn init NAME</code> makes one in this folder; it is deployed at once.</p>"
            "</div></section>"
        )
    items = "".join(
        _item(one, recent.get(one.key, ()), asked, here=one is chosen) for one in functions
    )
    return f'{head}<nav aria-label="Functions"><ul class="items">{items}</ul></nav></section>'


def _item(one: ShownFunction, calls: Sequence[CallMark], asked: PageAsked, *, here: bool) -> str:
    warm = [call.seconds for call in calls if not call.cold and call.status < 400]
    took = f'<span class="hide">median </span>{figures_of(median(warm))} ms' if warm else "&ndash;"
    place = asked.address(function=one.key, call=0, before=0, sample="", way="")
    told = one.reason or f"{one.memory / _MIB:.0f} of {one.memory_limit} MiB{_several(one)}"
    line = spark([call.seconds for call in calls][-_TREND:])
    return (
        f'<li><a class="item" href="{escape(place)}"{current(here)}><span class="name"><span '
        f'class="cut">{as_text(one.name)}</span>{chip(*_STATES.get(one.state, (one.state,)))}'
        f'</span>{line or "<span></span>"}<span class="meta">{as_text(told)}</span>'
        f'<span class="meta r">{took}</span></a></li>'
    )


def _several(one: ShownFunction) -> str:
    return f", {one.processes} processes" if one.processes > 1 else ""


def send_panel(function: ShownFunction | None, form: SendForm, asked: PageAsked) -> str:
    """Return the form; without a script another sample is another page."""
    if function is None:
        return ""
    ways = [way for way in WAYS if way in function.ways] or ["fn"]
    kind = ' enctype="multipart/form-data"' if function.image else ""
    wrong = ' aria-invalid="true" aria-describedby="event-problem"' if form.problem else ""
    problem = (
        f'<span class="err" id="event-problem">{icon("bad")}<span class="cut">'
        f"{local_text(form.problem)}</span></span>"
        if form.problem
        else ""
    )
    return (
        '<section class="panel" aria-labelledby="send"><div class="head"><h2 id="send">Send to '
        f'<span class="cut">{as_text(function.name)}</span></h2></div>'
        f'{_picker(function, form, asked)}<form class="body stack tight" id="sending" '
        f'method="post" action="/send"{kind} data-swap data-wait="Sending">'
        f"{hidden({'function': function.key, 'sample': form.sample})}"
        f'<div class="field"><label for="way">As</label><select id="way" name="way">'
        f"{_options(ways, form.way, WAYS)}</select></div>"
        f'<div class="field"><label for="event">Event</label><textarea id="event" name="event" '
        f'rows="13" spellcheck="false" data-fill{wrong}>\n{escape(form.event)}</textarea>{problem}'
        '<span class="hint js">Drop a .json file here to fill it.</span></div>'
        f"{_image(function)}"
        '<div class="row"><label class="check"><input type="checkbox" name="cold" value="1"'
        f'{" checked" if form.cold else ""}>Start cold</label><span class="grow"></span>'
        '<label for="times">Times</label><input class="in times" id="times" name="times" '
        'inputmode="numeric" value="1" autocomplete="off"></div>'
        f'<div class="row"><button class="btn main grow">{icon("play")}<span>Send event</span>'
        '</button><button class="btn js" type="button" data-stop hidden>Cancel</button>'
        '<span class="hint js"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div></form></section>'
    )


def _picker(function: ShownFunction, form: SendForm, asked: PageAsked) -> str:
    """Return the list of samples: a form of its own that asks for the page with another one."""
    if not function.samples:
        return ""
    kept = {"function": function.key, "span": asked.span, "way": form.way}
    names = {name: name for name in function.samples}
    return (
        f'<form class="body pick-sample" method="get" action="/" id="picking">{hidden(kept)}'
        '<div class="field grow"><label for="sample">Sample</label><select id="sample" '
        f'name="sample">{_options(function.samples, form.sample, names)}</select></div>'
        '<button class="btn nojs">Fill in</button></form>'
    )


def _options(values: Sequence[str], chosen: str, names: Mapping[str, str]) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{as_text(names.get(value, value))}</option>"
        for value in values
    )


def _image(function: ShownFunction) -> str:
    if not function.image:
        return ""
    return (
        '<div class="field drop" data-image><label for="image">Or an image, in place of the '
        f'event</label><input type="file" id="image" name="image" accept="{_IMAGES}">'
        '<img class="shot" alt="" hidden></div>'
    )
