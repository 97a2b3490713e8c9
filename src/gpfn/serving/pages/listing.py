"""The list of models beside every page, the page of the list alone, and the trash."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from gpfn.serving.pages import plots
from gpfn.serving.pages.markup import (
    KINDS,
    PageSite,
    as_text,
    bytes_of,
    chip,
    code,
    current,
    document,
    empty,
    flash,
    hidden,
    icon,
    in_url,
    number,
    state_chip,
    until_of,
)
from gpfn.serving.pages.views import Flash, ModelLine, TrashedVersion

__all__ = ["PER_PAGE", "Listing", "list_page", "side", "trash_page"]

PER_PAGE = 50
_MOST_TAGS = 2
_ACCEPTED = ".tflite,.onnx,.pb,.zip,.tar,.gz,.tgz"


class Listing(NamedTuple):
    """The list as it is to be shown: what is looked for, where it begins, what is in the trash."""

    models: Sequence[ModelLine]
    find: str = ""
    start: int = 0
    trashed: int = 0

    @property
    def found(self) -> Sequence[ModelLine]:
        """The models whose name or tags have what is looked for in them."""
        wanted = self.find.casefold()
        return [
            model
            for model in self.models
            if wanted in model.name.casefold()
            or any(wanted in tag.casefold() for tag in model.tags)
        ]


def list_page(site: PageSite, listing: Listing, told: Flash | None = None) -> str:
    """Return the page at /models."""
    if not listing.models:
        body = (
            '<p class="muted">Upload a .tflite, .onnx or .pb file, or a SavedModel as .zip. It is '
            "served as soon as it is warm.</p>"
        ) + code("Shell", "command", f"gpfn models push model.tflite --to {site.base}")
        body = empty("No models yet", body)
    elif not listing.found:
        have = f"{number(len(listing.models))} models have other names."
        body = f'<p class="muted">{have} <a href="/models">Show all</a></p>'
        body = empty(f"No model matches “{as_text(listing.find)}”", body)
    else:
        body = (
            '<section class="panel"><div class="empty"><h2>Choose a model</h2><p class="muted">'
            "Its versions and tags, its inputs and outputs, and a form to try it.</p></div>"
            "</section>"
        )
    main = (
        f'<main class="split" id="swap">{side(site, listing, "", "h1")}'
        f'<div class="sheet stack">{flash(told)}{body}</div></main>'
    )
    view = "empty" if told or not listing.found else "list"
    return document(site, "Models · gpfn serve", main, view=view, path="/repository/models")


def side(site: PageSite, listing: Listing, here: str, heading: str = "h2") -> str:
    """Return the list of models; ``here`` is the name of the one that is shown."""
    found = listing.found
    wanted = next((at for at, one in enumerate(found) if one.name == here), listing.start)
    start = max(0, min(wanted, len(found) - 1)) // PER_PAGE * PER_PAGE
    shown = found[start : start + PER_PAGE]
    total = number(len(listing.models))
    count = f"{number(len(found))} of {total}" if listing.find else total
    main = ' id="main"' if heading == "h1" else ""
    items = "".join(f"<li>{_item(model, here)}</li>" for model in shown)
    nav = f'<nav aria-labelledby="models" data-live="models"><ul>{items}</ul></nav>'
    trash = f'<a href="/trash">Trash</a> <span class="muted">· {_versions(listing.trashed)}</span>'
    return (
        f'<section class="side" aria-labelledby="models"{main}>'
        f'<div class="pad row"><{heading} class="grow" id="models">Models '
        f'<span class="muted">{count}</span></{heading}></div>'
        f'<div class="pad stack tight">{_upload(site)}</div>{_search(listing)}{nav}'
        f"{_pager(listing, start, len(shown), len(found))}"
        f'<div class="pad"><p class="small row">{trash}</p></div></section>'
    )


def _upload(site: PageSite) -> str:
    room = f" up to {bytes_of(site.room)}" if site.room else ""
    return (
        '<form class="drop" action="/models" method="post" enctype="multipart/form-data" '
        f'data-drop data-room="{site.room}" aria-label="Upload models">'
        f'<span class="btn pick">{icon("up")}<span>Upload models…</span><input type="file" '
        f'name="file" required multiple accept="{_ACCEPTED}" aria-label="Model files to upload" '
        'aria-describedby="kinds"></span>'
        '<button class="btn nojs">Upload</button>'
        '<span class="small" id="kinds"><span class="js">or drop them: </span>'
        f".tflite .onnx .pb .zip .tar.gz{room}</span></form>"
        '<ul class="stack tight" id="jobs" aria-label="Uploads" hidden></ul>'
    )


def _search(listing: Listing) -> str:
    return (
        '<form class="pad row" role="search" action="/models"><label class="hide" for="find">Find '
        'a model by name or tag</label><input class="in grow" id="find" name="q" type="search" '
        f'maxlength="100" value="{escape(listing.find)}" placeholder="Find by name or tag"></form>'
    )


def _item(model: ModelLine, here: str) -> str:
    tags = "".join(chip(tag, "tag") for tag in sorted(model.tags)[:_MOST_TAGS])
    if len(model.tags) > _MOST_TAGS:
        tags += chip(f"+{len(model.tags) - _MOST_TAGS}")
    chips = tags if model.state == "ready" else state_chip(model.state)
    trend = plots.spark(model.trend)
    about = f"{KINDS.get(model.kind, model.kind)} · {bytes_of(model.size)}"
    if model.state == "failed" and model.reason:
        about = model.reason
    calls = f'{number(sum(model.trend))} <span class="hide">calls an </span>'
    calls += '<span aria-hidden="true">/</span> hour'
    return (
        f'<a class="item" href="/models/{in_url(model.name)}"{current(model.name == here)}>'
        f'<span class="name{"" if trend else " all"}"><span class="cut">{as_text(model.name)}'
        f'</span>{chips}</span>{trend}<span class="meta">v{model.version} · {as_text(about)}</span>'
        f'<span class="meta r">{calls}</span></a>'
    )


def _pager(listing: Listing, start: int, shown: int, found: int) -> str:
    if found <= PER_PAGE:
        return ""
    query = f"q={in_url(listing.find)}&amp;" if listing.find else ""

    def link(to: int, word: str) -> str:
        return f'<a class="btn tiny" href="/models?{query}from={to}">{word}</a>'

    before = link(start - PER_PAGE, f"Previous {PER_PAGE}") if start else ""
    rest = min(PER_PAGE, found - start - shown)
    after = link(start + PER_PAGE, f"Next {rest}") if rest > 0 else ""
    told = f"{start + 1} to {start + shown} of {number(found)}"
    return f'<div class="pad row small muted"><span class="grow">{told}</span>{before}{after}</div>'


def _versions(count: int) -> str:
    return "empty" if not count else "1 version" if count == 1 else f"{number(count)} versions"


def trash_page(
    site: PageSite, trash: Sequence[TrashedVersion], days: float, told: Flash | None = None
) -> str:
    """Return the page at /trash."""
    rows = "".join(_trashed(one) for one in trash[: 4 * PER_PAGE])
    head = "".join(
        f'<th scope="col"{kind}>{word}</th>'
        for word, kind in (
            ("Version", ""),
            ("Size", ' class="r opt"'),
            ("Deleted", ' class="opt-m"'),
            ("Kept until", ""),
            ('<span class="hide">Actions</span>', ""),
        )
    )
    table = (
        f'<section class="panel" aria-label="In the trash"><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
    kept = (
        f"What is deleted is kept for {days:g} days; then <code>gpfn models gc</code> removes it."
    )
    nothing = empty("The trash is empty", "<p>Nothing was deleted in that time.</p>")
    more = len(trash) - 4 * PER_PAGE
    left = f'<p class="small muted">{number(more)} more are not shown.</p>' if more > 0 else ""
    main = (
        f'<main class="sheet stack" id="swap">{flash(told)}<div id="main"><h1>Trash</h1>'
        f'<p class="muted">{kept}</p></div>{table if trash else nothing}{left}</main>'
    )
    return document(site, "Trash · gpfn serve", main, view="trash", tab="/trash")


def _trashed(one: TrashedVersion) -> str:
    action = f"/models/{in_url(one.name)}/restore"
    name = as_text(one.name)
    return (
        f'<tr><th scope="row">{name} {one.version}</th>'
        f'<td class="r opt nowrap">{bytes_of(one.size)}</td>'
        f'<td class="opt-m nowrap">{until_of(one.deleted)}</td>'
        f'<td class="nowrap">{until_of(one.until)}</td><td class="r">'
        f'<form method="post" action="{action}" data-swap>{hidden({"version": one.version})}'
        f'<button class="btn tiny" aria-label="Restore {name} {one.version}">Restore</button>'
        "</form></td></tr>"
    )
