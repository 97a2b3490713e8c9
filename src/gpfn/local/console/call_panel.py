"""The chosen call: its stages, its answer, what failed, its log, what went in and out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from gpfn.local.console.answers import (
    drawn_answer,
    failure_text,
    hosted_warning,
    local_text,
    shown_body,
)
from gpfn.local.console.asking import PageAsked
from gpfn.local.console.blame import call_parts
from gpfn.local.console.shell import ServerAddresses, file_needed, shell_commands
from gpfn.local.console.stages import figures_of, stage_bars, stage_table
from gpfn.serving.pages.markup import as_text, bytes_of, chip, code, hidden, icon, turn

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord
    from gpfn.local.console.views import ShownFunction

__all__ = ["CallAround", "call_panel", "clock_of", "status_chips", "way_of"]

_MOST_LINES = 200


class CallAround(NamedTuple):
    """What a chosen call stands in: its function, if that is there, and the calls beside it."""

    function: ShownFunction | None
    older: int
    newer: int
    servers: ServerAddresses


def clock_of(seconds: float) -> tuple[str, str]:
    """Return a time of day in UTC, and its milliseconds."""
    milliseconds = int(seconds * 1000)
    clock = time.strftime("%H:%M:%S", time.gmtime(milliseconds // 1000))
    return clock, f".{milliseconds % 1000:03}"


def way_of(record: CallRecord) -> str:
    """Return how a call came, as people say it."""
    platform = {"fn": "Fn", "openwhisk": "OpenWhisk"}.get(record.platform, record.platform)
    return f"{platform} {record.via}".strip()


def status_chips(record: CallRecord) -> str:
    """Return a call's status, and whether it started cold."""
    well = record.status < 400
    told = chip(record.status, "ok" if well else "bad", "" if well else "bad")
    cold = chip("cold", "warn", "cold") if record.cold else ""
    return f'<span class="chips wrap">{told}{cold}</span>'


def call_panel(record: CallRecord | None, asked: PageAsked, around: CallAround) -> str:
    """Return the panel of a call, or what to do when there is none."""
    if record is None:
        gone = asked.call > 0
        told = "This call is not kept any more." if gone else "No calls yet."
        hint = (
            "Choose another one below."
            if gone
            else "Send a sample with the form, or type one of the lines that <code>gpfn dev</code> "
            "has printed."
        )
        return (
            '<section class="panel" id="call" aria-labelledby="callh" data-live="call">'
            f'<div class="empty"><h2 id="callh">{told}</h2><p class="muted">{hint}</p></div>'
            "</section>"
        )
    cold, parts = call_parts(record)
    drawn = drawn_answer(record)
    failed = failure_text(record)
    answer = drawn or shown_body("Answer", "answer", record.reply)
    wrong = ""
    if failed and (record.status >= 400 or record.failure):
        wrong = (
            f'<div class="flash bad" id="failure">{icon("bad")}<span><b>'
            f"{record.status}</b> {local_text(failed)}</span></div>"
        )
    if warning := hosted_warning(record):
        wrong += f'<div class="flash warn">{icon("warn")}<span>{warning}</span></div>'
    return (
        f'<section class="panel" id="call" aria-labelledby="callh" data-call="{record.number}">'
        f'{_head(record, asked, around)}<div class="body stack">{wrong}'
        f"<figure>{stage_bars(cold, parts)}</figure>"
        f'<div class="call"><div>{stage_table(cold, parts)}</div><div class="stack tight">'
        f"{answer}</div></div></div>{_log(record)}{_in_and_out(record, drawn=bool(drawn))}"
        f"{_shell(record, around)}</section>"
    )


def _head(record: CallRecord, asked: PageAsked, around: CallAround) -> str:
    clock, rest = clock_of(record.began)
    took = figures_of(sum(record.stages))
    older = _beside(asked, around.older, "prev", "Older")
    newer = _beside(asked, around.newer, "turn", "Newer")
    again = ""
    if around.function is not None:
        again = (
            '<form method="post" action="/again" data-swap>'
            f"{hidden({'call': record.number})}<button class='btn tiny'>{icon('again')}"
            "Send again</button></form>"
        ).replace("'", '"')
    return (
        f'<div class="head"><h2 id="callh">Call <time class="num">{clock}{rest}</time></h2>'
        f'{status_chips(record)}<span class="small muted cut">{as_text(record.name)}, '
        f"{as_text(way_of(record))} by {as_text(record.caller)}, {took} ms</span>"
        f'<div class="row">{older}{newer}{again}</div></div>'
    )


def _beside(asked: PageAsked, number: int, mark: str, word: str) -> str:
    if not number:
        return ""
    place = escape(asked.address(call=number))
    return f'<a class="btn tiny" href="{place}#call">{icon(mark)}{word}</a>'


def _log(record: CallRecord) -> str:
    lines = record.log[:_MOST_LINES]
    if not lines:
        return (
            '<div class="head sub-head"><h3>Log of this call</h3><span class="small muted">'
            "It wrote nothing.</span></div>"
        )
    rows = "".join(_line(*line) for line in lines)
    left = len(record.log) - len(lines)
    more = f'<span class="small muted">{left:,} more lines are in the JSON</span>' if left else ""
    return (
        f'<div class="head sub-head"><h3>Log of this call</h3>{more}</div>'
        f'<ol class="log" tabindex="0" aria-label="Log of this call">{rows}</ol>'
    )


def _line(at: float, stream: str, text: str) -> str:
    clock, rest = clock_of(at)
    kind = ' class="bad"' if " error " in text[:80] or text.startswith("Traceback") else ""
    return (
        f'<li><time>{clock}{rest}</time><span class="src">{as_text(stream)}</span>'
        f"<span{kind}>{local_text(text)}</span></li>"
    )


def _in_and_out(record: CallRecord, *, drawn: bool) -> str:
    came, went = (body.length or len(body.data) for body in (record.request, record.reply))
    out = shown_body("Event out", "answer", record.reply) if drawn else ""
    return (
        f'<details class="fold"><summary>{turn()}Event in and out<span class="small muted">'
        f"{bytes_of(came)} in, {bytes_of(went)} out</span></summary>"
        f'<div class="body stack tight">{shown_body("Event in", "event", record.request)}{out}'
        "</div></details>"
    )


def _shell(record: CallRecord, around: CallAround) -> str:
    if around.function is None:
        return ""
    commands: Sequence[tuple[str, str]] = shell_commands(around.function, record, around.servers)
    blocks = "".join(
        code(program, f"command for {program}", command, wrap=True) for program, command in commands
    )
    file = file_needed(record)
    put = (
        f'<p class="hint">Only the first 64 kB of the event were kept: put it in '
        f"<code>{escape(file)}</code> before.</p>"
        if file
        else ""
    )
    return (
        f'<details class="fold"><summary>{turn()}The same from a shell</summary>'
        f'<div class="body stack tight">{put}{blocks}</div></details>'
    )
