"""The page at / for people: which models are served, how they do, and how to ask them.

It has no script and loads nothing; its style is in it, and the policy names the style's hash.
Every name and reason is somebody else's text, and is escaped where it is put in.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from gpfn.http.loop.exchange import Response
from gpfn.public_text import public_text
from gpfn.serving.commands import commands
from gpfn.serving.statistics import Totals
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES

if TYPE_CHECKING:
    from gpfn.oip.documents import ModelIndex
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion
    from gpfn.tensors.spec import TensorSpec

__all__ = ["front_page"]

_DETAILED = 24
"""Models whose inputs and commands are on one page; of more, those that are asked for."""
_LONGEST_REASON = 400
_NONE = "&ndash;"
_SHORT = ' class="short"'
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_ICONS = {
    "ok": '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2 6.5 5 9.5 10 3"/></svg>',
    "warn": '<svg viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6" r="4.5"/>'
    '<path d="M6 3.5V6l1.5 1"/></svg>',
    "bad": '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 6 6m0-6-6 6"/></svg>',
    "": "",
}
_BRAND = (
    '<span class="brand"><svg viewBox="0 0 22 22" aria-hidden="true">'
    '<path class="out" d="M3 7.5h14M13 3.5l4 4-4 4"/>'
    '<path class="in" d="M19 14.5H5M9 10.5l-4 4 4 4"/></svg>gpfn <span>serve</span></span>'
)
_LINKS = (
    ("/metrics", "Metrics for Prometheus"),
    ("/v2", "This server over v2"),
    ("/v1/models", "Models over V1"),
    ("/control/is_ready", "Is it ready?"),
)


class _Row(NamedTuple):
    """A version that is known, and what is served of it."""

    entry: ModelIndex
    served: ServedVersion | None
    totals: Totals | None


def front_page(service: Service, host: str, wanted: str = "") -> Response:
    """Return the page: HTML, UTF-8.

    ``host`` is the request's Host header, by which the server is called on the page, and
    ``wanted`` a model that is to be shown although there are many.
    """
    rows = [_row(service, entry) for entry in service.library.index()]
    names = [*dict.fromkeys(row.entry.name for row in rows)]
    detailed = [wanted] if wanted in names else names[:_DETAILED]
    base = _base(service, host)
    main = [
        f"<main><h1>Models</h1>{_facts(rows, names)}{_list(rows, detailed)}",
        *[_details(service, name, index, base) for index, name in enumerate(detailed)],
        "</main>",
    ]
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>gpfn serve</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{_style()}</style></head><body>{_top(service)}{''.join(main)}{_foot(service)}"
        "</body></html>"
    )
    return Response(200, _headers(), (text.encode("utf-8", "replace"),))


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


@cache
def _headers() -> tuple[tuple[str, str], ...]:
    digest = base64.b64encode(sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("vary", "accept"),
    )


def _base(service: Service, host: str) -> str:
    """Return the server's address: as the browser has it, when that can be one."""
    scheme = "https" if service.settings.certificate else "http"
    if not _HOST.fullmatch(host):
        host = f"{service.settings.host}:{service.settings.port}"
    return f"{scheme}://{host}"


def _row(service: Service, entry: ModelIndex) -> _Row:
    served = service.library.open.get(entry.name, {}).get(entry.version)
    return _Row(entry, served, served.statistics.totals() if served else None)


# pieces; each returns HTML


def _top(service: Service) -> str:
    state = _chip("ok", "ready") if service.ready else _chip("warn", "not ready")
    return f"<header>{_BRAND}{state}</header>"


def _foot(service: Service) -> str:
    links = "".join(f'<a href="{path}">{told}</a>' for path, told in _LINKS)
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return (
        f'<footer><nav aria-label="Elsewhere">{links}</nav>'
        f"<span>gpfn {escape(service.version)} · as of <time>{now}</time></span></footer>"
    )


def _chip(kind: str, word: str) -> str:
    return f'<span class="chip {kind}">{_ICONS[kind]}{escape(word)}</span>'


def _facts(rows: Sequence[_Row], names: Sequence[str]) -> str:
    totals = [row.totals for row in rows if row.totals]
    ready = sum(row.served is not None for row in rows)
    answered, failed = sum(t.success for t in totals), sum(t.failures for t in totals)
    facts = (
        ("Models", _number(len(names))),
        ("Versions served", f'{_number(ready)} <span class="unit">of {_number(len(rows))}</span>'),
        ("Requests", _number(answered + failed)),
        ("Failed", _number(failed)),
        ("Mean duration", _mean(totals)),
    )
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<section class="panel"><div class="body"><dl class="facts">{told}</dl></div></section>'


def _list(rows: Sequence[_Row], detailed: Sequence[str]) -> str:
    if not rows:
        return '<section class="panel"><p class="empty muted">No model is known here.</p></section>'
    head = "".join(
        f'<th scope="col"{side}>{name}</th>'
        for name, side in (("Model", ""), ("Version", ""), ("State", ""), *_RIGHT)
    )
    body = "".join(_line(row, detailed) for row in rows)
    return (
        '<section class="panel" aria-label="All versions"><table class="list">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


_RIGHT = tuple((name, ' class="r"') for name in ("Requests", "Failed", "Mean duration"))


def _line(row: _Row, detailed: Sequence[str]) -> str:
    name = row.entry.name
    totals = row.totals
    called = escape(name)
    if row.served is not None:
        here = name in detailed
        place = f"#model-{detailed.index(name)}" if here else f"/?model={_in_url(name)}"
        called = f'<a href="{place}">{called}</a>'
    requests = _number(totals.success + totals.failures) if totals else _NONE
    cells = (
        ("Requests", requests),
        ("Failed", _number(totals.failures) if totals else _NONE),
        ("Mean duration", _mean([totals] if totals else [])),
    )
    numbers = "".join(f'<td class="r" data-is="{told}">{value}</td>' for told, value in cells)
    return (
        f'<tr><th scope="row">{called}{_reason(row)}</th>'
        f'<td data-is="Version">{escape(row.entry.version)}</td>'
        f'<td data-is="State">{_state(row)}</td>{numbers}</tr>'
    )


def _state(row: _Row) -> str:
    if row.entry.state == "READY":
        return _chip("ok", "ready")
    if row.served is not None:
        return _chip("warn", "old files served")
    if row.entry.state == "LOADING":
        return _chip("warn", "loading")
    return _chip("", "unloaded") if row.entry.reason == "unloaded" else _chip("bad", "failed")


def _reason(row: _Row) -> str:
    reason = row.entry.reason
    if not reason or reason == "unloaded":
        return ""
    told = public_text(reason)
    cut = told[:_LONGEST_REASON] + "…" if len(told) > _LONGEST_REASON else told
    return f'<span class="sub bad">{escape(cut)}</span>'


def _details(service: Service, name: str, index: int, base: str) -> str:
    versions = service.library.open.get(name)
    if not versions:
        return ""
    served = next(iter(versions.values()))
    ends = [*_ends("in", served.model.inputs), *_ends("out", served.model.outputs)]
    head = "".join(f'<th scope="col">{told}</th>' for told in ("Name", "Datatype", "Shape"))
    body = "".join(ends) or '<tr><td colspan="3" class="muted">It does not tell.</td></tr>'
    batch = (
        f"up to {served.max_batch} rows a call" if served.max_batch > 1 else "one request a call"
    )
    place = f"/v2/models/{_in_url(name)}"
    return (
        f'<section class="panel" id="model-{index}" aria-labelledby="name-{index}">'
        f'<div class="head"><h2 id="name-{index}">{escape(name)}</h2>'
        f"{_chip('', f'version {served.version}')}{_chip('', served.backend)}{_chip('', batch)}"
        f'<span class="more"><a href="{place}">Metadata</a></span></div>'
        f'<div class="body two"><div><h3>Inputs and outputs</h3><table class="ends">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<div>{_commands(service, served, base)}</div></div></section>"
    )


def _ends(side: str, specs: Iterable[TensorSpec]) -> Iterator[str]:
    for spec in specs:
        shape = _shape(spec.shape)
        yield (
            f'<tr><td><span class="chip">{side}</span> <code>{escape(spec.name)}</code></td>'
            f"<td><code>{OPEN_INFERENCE_NAMES[spec.dtype]}</code></td>"
            f"<td{_SHORT if len(shape) < 24 else ''}><code>{shape}</code></td></tr>"
        )


def _commands(service: Service, served: ServedVersion, base: str) -> str:
    found = commands(served, base, token=not service.gate.open_to_all)
    return "".join(
        f'<div class="ask"><h3>{escape(one.protocol)}</h3><pre>{escape(one.text)}</pre></div>'
        for one in found
    )


# texts


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "any"
    return "[" + ", ".join("n" if size is None else str(size) for size in shape) + "]"


def _in_url(name: str) -> str:
    return quote(name, safe="", errors="replace")


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _mean(totals: Sequence[Totals]) -> str:
    count = sum(one.duration[0] for one in totals)
    if not count:
        return _NONE
    milliseconds = 1e3 * sum(one.duration[1] for one in totals) / count
    digits = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f'{milliseconds:,.{digits}f} <span class="unit">ms</span>'
