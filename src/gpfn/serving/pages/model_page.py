"""The page of one model: facts, the form to try it, use, ends, versions with tags, the graph."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from gpfn.serving.pages import plots
from gpfn.serving.pages.listing import Listing, side
from gpfn.serving.pages.markup import (
    KINDS,
    PageSite,
    as_text,
    bytes_of,
    chip,
    document,
    flash,
    hidden,
    icon,
    in_url,
    milliseconds,
    number,
    shape_of,
    state_chip,
    turn,
)
from gpfn.serving.pages.trying import try_panel
from gpfn.serving.pages.versions import moves_panel, versions_panel
from gpfn.serving.pages.views import Flash, ShownModel, Trial

__all__ = ["Extras", "delete_page", "model_page"]

_MOST_ENDS = 64
_SOME = 5


class Extras(NamedTuple):
    """What a page has besides its model: the way to its graph, what was tried, what was done."""

    graph: str = ""
    trial: Trial = Trial()
    flash: Flash | None = None
    old: bool = False
    """Whether all versions are shown, and not the newest alone."""


def model_page(site: PageSite, listing: Listing, model: ShownModel, extras: Extras) -> str:
    """Return the page at /models/NAME."""
    beside = (
        f'<div class="stack">{_use(model)}{_ends(model)}{versions_panel(model, old=extras.old)}'
        f"{moves_panel(model)}{_graph(model, extras.graph)}</div>"
    )
    main = (
        f'<main class="split" id="swap">{side(site, listing, model.name)}'
        f'<div class="sheet stack wide" id="main">{flash(extras.flash)}{_title(model)}'
        f"{_facts(model)}{try_panel(site, model, extras.trial)}{beside}</div></main>"
    )
    path = f"/repository/models/{in_url(model.name)}"
    return document(site, f"{model.name} · models · gpfn serve", main, view="model", path=path)


def delete_page(site: PageSite, model: ShownModel, version: int | None) -> str:
    """Return the page that asks before a version, or the whole model, goes to the trash."""
    gone = [one for one in model.versions if version in (None, one.number)]
    tags = [tag for one in gone for tag in model.tags_of(one.number)]
    calls = sum(one.calls for one in gone)
    what = "all versions of " if version is None else f"version {version} of "
    told = f"<p>It answered {number(calls)} calls since this server began.</p>" if calls else ""
    if tags:
        chips = " ".join(chip(tag, "tag") for tag in tags[:20])
        told += f"<p>Tagged {chips}: calls by such a tag fail with 404 until it is moved.</p>"
    place = f"/models/{in_url(model.name)}"
    fields = {"sure": "1"} if version is None else {"sure": "1", "version": str(version)}
    main = (
        '<main class="sheet stack" id="swap"><section class="panel dialog" id="main">'
        f"<h1>Delete {what}{as_text(model.name)}?</h1>{told}"
        '<p class="muted">It can be restored from the trash.</p>'
        f'<div class="row end"><a class="btn" href="{place}" autofocus>Keep it</a>'
        f'<form method="post" action="{place}/delete" data-swap>{hidden(fields)}'
        f'<button class="btn danger">{icon("bin")}Move to trash</button></form></div>'
        "</section></main>"
    )
    return document(site, f"Delete {model.name}? · gpfn serve", main, view="ask")


# panels


def _title(model: ShownModel) -> str:
    version = model.chosen
    chips = "".join(chip(tag, "tag") for tag in model.tags_of(version.number)[:4])
    place = in_url(model.name)
    files = version.files or (version.model,)
    file = version.model if version.model in files else files[0]
    download = f"/repository/models/{place}/versions/{version.number}/files/"
    download += "/".join(in_url(part) for part in file.split("/"))
    about = "".join(f'<p class="muted">{as_text(told)}</p>' for told in version.notes[:4])
    reason = f'<p class="bad-text">{as_text(version.reason)}</p>' if version.reason else ""
    return (
        '<div class="title full"><div class="grow"><a class="up small" href="/models">'
        f'{icon("prev")}All models</a><div class="row"><h1>{as_text(model.name)}</h1>'
        f"{chip(f'version {version.number}')}{chips}{state_chip(version.state)}</div>"
        f'{reason}{about}</div><div class="row">'
        f'<a class="btn" href="{download}" download>{icon("down")}Download</a>'
        f'<a class="btn danger" href="/models/{place}/delete">{icon("bin")}Delete…</a></div></div>'
    )


def _facts(model: ShownModel) -> str:
    minutes, version = model.minutes, model.chosen
    calls, failed = (sum(m.calls for m in minutes), sum(m.failed for m in minutes))
    share = f'<span class="unit">{100 * failed / (calls + failed):.1f} %</span>' if failed else ""
    last = next((m for m in reversed(minutes) if m.p99 is not None), None)
    size, unit = bytes_of(version.size).rsplit(" ", 1)
    facts = (
        ("Calls, last hour", number(calls + failed)),
        ("Failed", f"{number(failed)} {share}"),
        ("Median", milliseconds(last.p50 if last else version.median)),
        ("99 %", milliseconds(last.p99 if last else None)),
        ("Size", f'{size} <span class="unit">{unit}</span>'),
        ("Kind", as_text(KINDS.get(version.kind, version.kind))),
    )
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return (
        '<section class="panel full" aria-label="Facts"><div class="body">'
        f'<dl class="facts" data-live="facts">{told}</dl></div></section>'
    )


def _use(model: ShownModel) -> str:
    failed = number(sum(minute.failed for minute in model.minutes))
    bars = (
        '<li><svg aria-hidden="true"><rect class="f-model" width="12" height="12"/></svg>answered'
        '</li><li><svg aria-hidden="true"><rect class="f-error" width="12" height="12"/></svg>'
        f"failed: {failed}</li>"
    )
    lines = (
        '<li><svg aria-hidden="true"><path class="ln s-actual" d="M0 6H12"/></svg>median</li>'
        '<li><svg aria-hidden="true"><path class="ln s-second" d="M0 6H12" '
        'stroke-dasharray="5 3"/></svg>99 %</li>'
    )
    figures = "".join(
        f'<figure><div class="plot-head"><h3>{title}</h3><ul class="legend">{legend}</ul></div>'
        f"{plot}</figure>"
        for title, legend, plot in (
            ("Calls per minute", bars, plots.calls(model.minutes)),
            ("Latency, ms", lines, plots.latency(model.minutes)),
        )
    )
    return (
        '<section class="panel" aria-labelledby="use"><div class="head"><h2 id="use">Use</h2>'
        '<span class="small muted">the last hour, all versions</span></div>'
        f'<div class="body two plots" data-live="use">{figures}</div></section>'
    )


def _ends(model: ShownModel) -> str:
    rows = "".join(
        f'<tr><th scope="row"><span class="chips wrap">{chip(way)} <span class="mono">'
        f'{as_text(spec.name)}</span></span></th><td class="mono">{as_text(spec.dtype)}</td>'
        f'<td class="mono">{shape_of(spec.shape)}</td></tr>'
        for way, specs in (("in", model.inputs), ("out", model.outputs))
        for spec in specs[:_MOST_ENDS]
    )
    rows = rows or '<tr><td colspan="3" class="muted">It does not tell.</td></tr>'
    labels = ""
    if model.labels:
        some = " · ".join([as_text(label) for label in model.labels[:_SOME]])
        more = " · …" if len(model.labels) > _SOME else ""
        count = number(len(model.labels))
        labels = f'<p class="foot small muted cut">{count} classes: {some}{more}</p>'
    return (
        '<section class="panel" aria-labelledby="ends"><div class="head"><h2 id="ends">Inputs and '
        'outputs</h2></div><table class="dense"><thead><tr><th scope="col">Name</th>'
        '<th scope="col">Type</th><th scope="col">Shape</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{labels}</section>"
    )


def _graph(model: ShownModel, address: str) -> str:
    if not address:
        return ""
    name = as_text(model.name)
    return (
        f'<details class="panel" id="graph"><summary class="head">{turn()}<h2>Graph</h2>'
        '<span class="small muted">Netron, in a frame of its own that reaches nothing but this '
        f'model</span></summary><iframe class="frame" src="{escape(address)}" loading="lazy" '
        'sandbox="allow-scripts" referrerpolicy="no-referrer" '
        f'title="Graph of {name}, version {model.chosen.number}, in Netron"></iframe></details>'
    )
