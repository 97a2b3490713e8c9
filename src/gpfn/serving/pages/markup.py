"""The words that all pages are written with: escaping, icons, the frame of a page."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from gpfn.public_text import public_text
from gpfn.serving.pages.views import Flash

__all__ = [
    "KINDS",
    "TABS",
    "PageFrame",
    "PageSite",
    "as_text",
    "bytes_of",
    "chip",
    "code",
    "current",
    "document",
    "empty",
    "flash",
    "hidden",
    "icon",
    "in_url",
    "milliseconds",
    "number",
    "problem",
    "shape_of",
    "state_chip",
    "turn",
    "until_of",
]

_LONGEST = 600
"""Characters of somebody's text that are shown at once."""

KINDS = {"litert": "LiteRT", "onnx": "ONNX", "tensorflow": "SavedModel", "graph": "Frozen graph"}

_ICONS = {
    "copy": '<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 3.5V3a.5.5 0 0 '
    '0-.5-.5H3a.5.5 0 0 0-.5.5v7a.5.5 0 0 0 .5.5h.5"/>',
    "up": '<path d="M8 10.5v-8M4.8 5.5 8 2.5l3.2 3M2.5 10.5v2a1 1 0 0 0 1 1h9a1 1 0 0 0 1-1v-2"/>',
    "down": '<path d="M8 2.5v8M4.8 7.5l3.2 3 3.2-3M2.5 10.5v2a1 1 0 0 0 1 1h9a1 1 0 0 0 1-1v-2"/>',
    "bin": '<path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9"/>',
    "play": '<path d="M4.5 3v10l8-5z"/>',
    "pause": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "ok": '<path d="m3 8.5 3.3 3.3L13 4.8"/>',
    "warn": '<path d="m8 2.5 6 10.8H2zM8 6.5v3.3M8 11.6v.1"/>',
    "bad": '<circle cx="8" cy="8" r="5.7"/><path d="M8 5v3.6M8 10.9v.1"/>',
    "turn": '<path d="M6 3.5 10.5 8 6 12.5"/>',
    "prev": '<path d="M10 3.5 5.5 8l4.5 4.5"/>',
    "undo": '<path d="m5.5 3-3 3 3 3M2.5 6h7a3.5 3.5 0 0 1 0 7H7"/>',
    "again": '<path d="M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3"/>',
    "wait": '<circle cx="8" cy="8" r="5.7"/><path d="M8 4.7V8l2.3 1.5"/>',
    "cold": '<path d="M8 2v12M2.8 5l10.4 6M13.2 5 2.8 11"/>',
    "same": '<path d="M3.5 6h9M3.5 10h9"/>',
    "differs": '<path d="M3.5 6h9M3.5 10h9M10.5 3l-5 10"/>',
}
_BRAND = (
    '<svg viewBox="0 0 22 22" aria-hidden="true"><path class="out" d="M3 7.5h14M13 3.5l4 4-4 4"/>'
    '<path class="in-a" d="M19 15H5M9 19l-4-4 4-4"/></svg>gpfn'
)
TABS = (("/models", "Models"), ("/trash", "Trash"), ("/metrics", "Metrics"))


class PageSite(NamedTuple):
    """What every page is told: where it is, who serves it, and the names of its assets.

    ``base`` is the server's address for commands, ``token`` whether they need one, ``room`` the
    most bytes of an upload, ``root`` what stands before all paths.
    """

    base: str
    version: str
    style: str
    script: str
    token: bool = False
    room: int = 0
    root: str = ""


class PageFrame(NamedTuple):
    """What is around every page of a program: its name, where its brand leads, its tabs.

    ``head`` are more elements of the page's head, ``data`` more attributes of its body.
    """

    word: str = "serve"
    home: str = "/models"
    tabs: tuple[tuple[str, str], ...] = TABS
    head: str = ""
    data: str = ""


_FRAME = PageFrame()


def as_text(text: object) -> str:
    """Return somebody's text for HTML: escaped, without folders of this machine, cut when long."""
    told = public_text(str(text))
    return escape(told if len(told) <= _LONGEST else told[:_LONGEST] + "…")


def in_url(name: str) -> str:
    """Return a name as a part of a path or a query."""
    return quote(name, safe="", errors="replace")


def icon(name: str) -> str:
    """Return an icon, which says nothing by itself."""
    return f'<svg class="ico" aria-hidden="true"><use href="#i-{name}"/></svg>'


def turn() -> str:
    """Return the arrow of what opens and closes."""
    return icon("turn").replace('"ico"', '"ico turn"')


def chip(word: object, kind: str = "", mark: str = "") -> str:
    """Return a word in a box."""
    drawn = icon(mark) if mark else ""
    return f'<span class="chip {kind}">{drawn}<span class="cut">{as_text(word)}</span></span>'


def state_chip(state: str) -> str:
    """Return a model's state, as a word with an icon."""
    kinds = {"ready": ("ok", "ok"), "loading": ("warn", "wait"), "failed": ("bad", "bad")}
    return chip(state, *kinds[state]) if state in kinds else chip("not loaded")


def hidden(fields: Mapping[str, object]) -> str:
    """Return the fields of a form that nobody sees."""
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(str(value))}">'
        for name, value in fields.items()
    )


def code(title: str, what: str, text: str, *, wrap: bool = False) -> str:
    """Return a block of text that can be copied; ``what`` names it for who does not see it."""
    return (
        f'<div class="code{" wrap" if wrap else ""}"><div class="cap small muted">{escape(title)}'
        f'<button class="btn quiet tiny js" type="button" data-copy '
        f'aria-label="Copy the {escape(what)}">{icon("copy")}Copy</button></div>'
        f'<pre tabindex="0" aria-label="{escape(title)}">{escape(text)}</pre></div>'
    )


def flash(told: Flash | None) -> str:
    """Return what just happened, with a way back where there is one."""
    if told is None:
        return ""
    undo = ""
    if told.undo:
        undo = (
            f'<form class="row" method="post" action="{escape(told.undo)}" data-swap>'
            f'{hidden(told.fields)}<button class="btn tiny">{icon("undo")}Undo</button></form>'
        )
    mark = {"ok": "ok", "warn": "warn"}.get(told.kind, "bad")
    role = "alert" if told.kind == "bad" else "status"
    return (
        f'<div class="flash {told.kind} full" role="{role}">{icon(mark)}'
        f"<span>{as_text(told.text)}</span>{undo}</div>"
    )


def problem(error: Mapping[str, object] | None) -> str:
    """Return an error document as people read it: status, title, detail."""
    if error is None:
        return ""
    field = f"<code>{as_text(error['field'])}</code>: " if error.get("field") else ""
    kind, mark = ("warn", "wait") if error["status"] == 503 else ("bad", "bad")
    return (
        f'<div class="flash {kind}" role="alert" id="problem">{icon(mark)}'
        f"<span><b>{as_text(error['status'])} {as_text(error['title'])}.</b> "
        f"{field}{as_text(error['detail'])}</span></div>"
    )


def empty(title: str, body: str) -> str:
    """Return a panel that says why there is nothing in it."""
    return f'<section class="panel"><div class="empty"><h2>{title}</h2>{body}</div></section>'


def document(
    site: PageSite,
    title: str,
    body: str,
    *,
    view: str,
    path: str = "",
    tab: str = "/models",
    frame: PageFrame = _FRAME,
) -> str:
    """Return a whole page around ``body``, which has its ``main``.

    ``path`` is where the same is to be had as JSON.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{as_text(title)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><link rel="stylesheet" href="{site.style}">'
        f'<script src="{site.script}" defer></script>{frame.head}</head>'
        f'<body data-view="{view}" data-root="{escape(site.root)}"{frame.data}>'
        f'<svg class="defs" aria-hidden="true">{_symbols()}</svg>'
        '<a class="skip" href="#main">Skip to the content</a>'
        f"{_top(frame, tab)}{body}{_foot(site, path)}</body></html>"
    )


def _symbols() -> str:
    return "".join(
        f'<symbol id="i-{name}" viewBox="0 0 16 16">{path}</symbol>'
        for name, path in _ICONS.items()
    )


def _top(frame: PageFrame, tab: str) -> str:
    now = time.strftime("%H:%M:%S", time.gmtime())
    links = "".join(
        f'<a href="{path}"{current(path == tab)}>{word}</a>' for path, word in frame.tabs
    )
    brand = f'<a class="brand" href="{frame.home}">{_BRAND} <span>{frame.word}</span></a>'
    return (
        f'<header class="top">{brand}<nav class="tabs" aria-label="Pages">{links}</nav>'
        '<div class="top-end"><span class="live js" role="status" id="live"><span class="dot">'
        "</span><span>Live</span></span>"
        f'<button class="btn tiny js" type="button" aria-pressed="false" id="pause">'
        f"{icon('pause')}Pause</button>"
        f'<span class="live nojs">As of {now} UTC</span>'
        f'<a class="btn tiny nojs" href="">{icon("again")}Reload</a></div></header>'
        '<p class="hide" role="status" id="said"></p>'
    )


def current(here: bool) -> str:
    """Return the attribute of a link to where the reader is."""
    return ' aria-current="page"' if here else ""


def _foot(site: PageSite, path: str) -> str:
    json = f'<a href="{escape(path)}">This page as JSON</a>' if path else ""
    return (
        f"<footer><span>gpfn {as_text(site.version)}</span>"
        f'<span class="mono">{as_text(site.base.partition("://")[2])}</span>{json}'
        '<span class="nojs">Live figures, progress and copying need JavaScript; everything else '
        "works without.</span></footer>"
    )


# figures


def number(value: float) -> str:
    """Return a count."""
    return f"{value:,.0f}"


def milliseconds(seconds: float | None) -> str:
    """Return a time, its unit beside it; a dash where there is none."""
    if seconds is None or not math.isfinite(seconds):
        return "&ndash;"
    value = 1e3 * seconds
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f'{value:,.{digits}f} <span class="unit">ms</span>'


def bytes_of(size: float) -> str:
    """Return a size in the unit that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.{0 if unit == 'B' or size >= 100 else 1}f} {unit}"


def shape_of(shape: Sequence[int | None] | None) -> str:
    """Return a shape as it is written: (n, 20, 1)."""
    if shape is None:
        return "any"
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"


def until_of(when: str) -> str:
    """Return an RFC 3339 time as people read it, as it is when it is none."""
    try:
        told = time.strptime(when[:16], "%Y-%m-%dT%H:%M")
    except ValueError:
        return as_text(when)
    return f'<time datetime="{escape(when)}">{time.strftime("%d %b %Y, %H:%M", told)}</time>'
