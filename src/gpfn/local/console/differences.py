"""What differs from production: the rows of what is emulated, of one platform at a time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from gpfn.local.console.answers import local_text
from gpfn.serving.pages.markup import icon, turn

if TYPE_CHECKING:
    from gpfn.local.console.asking import PageAsked
    from gpfn.local.supervisor.emulated import EmulatedRow

__all__ = ["differences_panel"]

_PLATFORMS = {"fn": "Fn", "openwhisk": "OpenWhisk"}


def differences_panel(rows: Sequence[EmulatedRow], asked: PageAsked) -> str:
    """Return the panel: what differs, and what is the same to be opened below."""
    differing, same = ([row for row in rows if row.same is how] for how in (False, True))
    fold = ""
    if same:
        fold = (
            f'<details class="fold"><summary>{turn()}{len(same)} are as in production</summary>'
            f"{_table(same, asked.production, 'same')}</details>"
        )
    links = "".join(_link(asked, name, word) for name, word in _PLATFORMS.items())
    return (
        '<section class="panel" aria-labelledby="diff"><div class="head"><h2 id="diff">Different '
        f'from production</h2><span class="small muted">{len(differing)} of {len(rows)} differ'
        f'</span><div class="row"><span class="seg">{links}</span></div></div>'
        f"{_table(differing, asked.production, 'different')}{fold}</section>"
    )


def _table(rows: Sequence[EmulatedRow], platform: str, name: str) -> str:
    body = "".join(_row(row, platform) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="What is {name}"><table '
        'class="dense top-align"><thead><tr><th scope="col">What</th><th scope="col">Here</th>'
        f'<th scope="col">In production</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _link(asked: PageAsked, name: str, word: str) -> str:
    mark = ' aria-current="true"' if name == asked.production else ""
    return f'<a href="{escape(asked.address(production=name))}#diff"{mark}>{word}</a>'


def _row(row: EmulatedRow, platform: str) -> str:
    kind, mark, word = ("ok", "same", "same") if row.same else ("warn", "differs", "differs")
    there = row.fn if platform == "fn" else row.openwhisk
    why = f'<span class="sub">{local_text(row.reason)}</span>' if row.reason else ""
    return (
        f'<tr><th scope="row"><span class="verdict {kind}">{icon(mark)}<span class="hide">{word}: '
        f"</span>{local_text(row.what)}</span></th><td>{local_text(row.here)}{why}</td>"
        f"<td>{local_text(there)}</td></tr>"
    )
