"""The versions of a model, its tags and how they were moved, with the forms that change them."""

from __future__ import annotations

import time
from html import escape

from gpfn.serving.pages.markup import (
    as_text,
    chip,
    hidden,
    icon,
    in_url,
    milliseconds,
    number,
    state_chip,
    turn,
    until_of,
)
from gpfn.serving.pages.views import ShownModel, ShownVersion

__all__ = ["asks_first", "moves_panel", "versions_panel"]

_MOST_VERSIONS = 40
_MOST_MOVES = 12
_DAY = 24 * 3600.0
_TAG = r"[A-Za-z0-9_.\-]{1,100}"


def asks_first(model: ShownModel, version: int | None) -> bool:
    """Say whether a deletion is asked about: what is tagged, or was called within a day."""
    gone = [one for one in model.versions if version in (None, one.number)]
    tagged = any(model.tags_of(one.number) for one in gone)
    return tagged or any(time.time() - one.last < _DAY for one in gone)


def versions_panel(model: ShownModel, *, old: bool) -> str:
    """Return the table of versions; the newest alone unless ``old`` ones are asked for."""
    every = sorted(model.versions, key=lambda version: -version.number)
    shown = every if old else every[:_MOST_VERSIONS]
    rows = "".join(_version(model, version) for version in shown)
    more = ""
    if len(shown) < len(every):
        place = f"/models/{in_url(model.name)}?old=1#versions"
        more = f'<p class="foot small"><a href="{place}">All {len(every)} versions</a></p>'
    head = (
        '<th scope="col">Version</th><th scope="col">File, SHA-256</th>'
        '<th scope="col" class="opt-m">Added</th><th scope="col" class="r opt">Calls</th>'
        '<th scope="col" class="r opt-m">Median</th>'
        '<th scope="col"><span class="hide">Actions</span></th>'
    )
    return (
        '<section class="panel" aria-labelledby="versions"><div class="head">'
        f'<h2 id="versions">Versions</h2>{_back(model)}</div><div class="scroll">'
        f'<table class="dense"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{more}{_tagging(model)}</section>"
    )


def _version(model: ShownModel, version: ShownVersion) -> str:
    place, here = f"/models/{in_url(model.name)}", version.number == model.chosen.number
    tags = "".join(chip(tag, "tag") for tag in model.tags_of(version.number))
    tags += chip("latest") if version.number == model.latest else ""
    if asks_first(model, version.number):
        delete = (
            f'<a class="btn quiet tiny danger" href="{place}/delete?version={version.number}" '
            f'aria-label="Delete version {version.number}…">Delete…</a>'
        )
    else:
        delete = (
            f'<form method="post" action="{place}/delete" data-swap>'
            f'{hidden({"version": version.number})}<button class="btn quiet tiny danger" '
            f'aria-label="Delete version {version.number}">Delete</button></form>'
        )
    state = "" if version.state == "ready" else state_chip(version.state)
    mark = ' aria-current="true"' if here else ""
    who = f'<span class="sub">{as_text(version.who)}</span>' if version.who else ""
    return (
        f'<tr{mark}><th scope="row">'
        f'<a class="goto" href="{place}?version={version.number}">{version.number}</a> '
        f'<span class="chips wrap">{tags}{state}</span></th>'
        f'<td><span class="mono cut">{as_text(version.model)}</span><span class="sub mono nowrap">'
        f"{escape(version.digest[:8])}…{escape(version.digest[-4:])}</span></td>"
        f'<td class="opt-m nowrap">{until_of(version.when)}{who}</td>'
        f'<td class="r opt">{number(version.calls)}</td>'
        f'<td class="r opt-m nowrap">{milliseconds(version.median)}</td>'
        f'<td class="r nowrap">{delete}</td></tr>'
    )


def _back(model: ShownModel) -> str:
    """Return the way back of the tag that was moved last, to where it was before."""
    for at in range(len(model.history) - 1, -1, -1):
        move = model.history[at]
        if move.version is None or model.tags.get(move.tag) != move.version:
            continue
        was = next((m.version for m in reversed(model.history[:at]) if m.tag == move.tag), None)
        told = f"{move.tag} is {move.version} since {move.when[:10]}"
        if was is None or was == move.version:
            return f'<span class="small muted">{as_text(told)}</span>'
        told += f", was {was}"
        known = was in [version.number for version in model.versions]
        button = ""
        if known:
            button = (
                f'<form class="row" method="post" action="/models/{in_url(model.name)}/tags" '
                f'data-swap>{hidden({"tag": move.tag, "version": was})}<button class="btn tiny">'
                f'{icon("undo")}<span class="cut">Move {as_text(move.tag)} back to {was}</span>'
                "</button></form>"
            )
        return f'<span class="small muted">{as_text(told)}</span>{button}'
    return ""


def _tagging(model: ShownModel) -> str:
    options = "".join(
        f'<option value="{version.number}"'
        f"{' selected' if version.number == model.chosen.number else ''}>{version.number}</option>"
        for version in sorted(model.versions, key=lambda version: -version.number)
    )
    names = "".join(f'<option value="{escape(tag)}">' for tag in sorted(model.tags))
    return (
        f'<form class="foot row" method="post" action="/models/{in_url(model.name)}/tags" '
        'data-swap id="tagging"><label for="tag">Tag</label>'
        f'<input class="in short" id="tag" name="tag" required maxlength="100" pattern="{_TAG}" '
        'list="tags" placeholder="stable" autocomplete="off"><datalist id="tags">'
        f'{names}</datalist><label for="to">is version</label>'
        f'<select class="auto" id="to" name="version">{options}<option value="">none: take it '
        'away</option></select><button class="btn">Move</button></form>'
    )


def moves_panel(model: ShownModel) -> str:
    """Return the changes of tags, the latest first."""
    if not model.history:
        return ""
    moves = [*reversed(model.history)][:_MOST_MOVES]
    lines = "".join(
        f'<li><span>{until_of(move.when)}</span> <span class="cut">{chip(move.tag, "tag")} '
        f"{'taken away' if move.version is None else f'to {move.version}'}"
        f"{f' by {as_text(move.who)}' if move.who else ''}</span></li>"
        for move in moves
    )
    return (
        f'<details class="panel"><summary class="head">{turn()}<h2>Tags, what was moved</h2>'
        f'<span class="small muted">{number(len(model.history))} changes</span></summary>'
        f'<ol class="moves">{lines}</ol></details>'
    )
