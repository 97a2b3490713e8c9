"""A bridge that runs beside: its routes and dead letters, from the address of its metrics.

A bridge tells how it is at the ``listen`` of its configuration. It is asked now and then, in a
thread, while somebody looks at the console; pages show what it said last.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from gpfn.deadline import Deadline
from gpfn.errors import GpfnError
from gpfn.local.console.stages import figures_of
from gpfn.serving.pages.markup import as_text, chip, code, number

__all__ = ["BridgeFacts", "BridgeLook", "bridge_panel", "read_metrics"]

_EVERY_SECONDS = 2.0
_ANSWER_SECONDS = 3.0
_MOST_BYTES = 1 << 20
_MOST_ROUTES = 50
_LINE = re.compile(r'(gpfn_bridge_[a-z_]+)(?:\{([a-z]+)="((?:[^"\\]|\\.)*)"\})? ([0-9.e+-]+)')
_DEAD = ("refused", "exhausted", "unreadable", "unrouted", "looped", "no-reply")


class BridgeFacts(NamedTuple):
    """What a bridge says: a number for each name, and for routes and outcomes one for each.

    ``routes`` are calls and their seconds in all. ``problem`` says why there is nothing.
    """

    address: str
    problem: str = ""
    numbers: Mapping[str, float] = {}
    routes: Mapping[str, tuple[float, float]] = {}
    outcomes: Mapping[str, float] = {}


class BridgeLook:
    """Asks a bridge; all on the loop's thread but the asking itself."""

    def __init__(self, address: str) -> None:
        """``address`` is where its metrics are, such as ``http://127.0.0.1:9400``."""
        self._url = f"{address.rstrip('/')}/metrics"
        self._asked = -_EVERY_SECONDS
        self._task: asyncio.Task[None] | None = None
        self.facts = BridgeFacts(address.rstrip("/"), "It is being asked.")

    def look(self) -> BridgeFacts:
        """Return what it said last, and ask it again when that is a while ago."""
        idle = self._task is None or self._task.done()
        if idle and time.monotonic() - self._asked >= _EVERY_SECONDS:
            self._asked = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._ask())
        return self.facts

    async def _ask(self) -> None:
        address = self.facts.address
        try:
            text = await asyncio.to_thread(_fetched, self._url)
        except (GpfnError, OSError, ValueError) as error:
            self.facts = BridgeFacts(address, f"It does not answer: {error}")
        else:
            self.facts = read_metrics(address, text)


def _fetched(url: str) -> str:
    from gpfn.http.get import Waiting, open_url

    deadline = Deadline.after(_ANSWER_SECONDS)
    answer = open_url(url, (), Waiting(_ANSWER_SECONDS, _ANSWER_SECONDS, deadline), redirects=0)
    try:
        return bytes(answer.response.read(_MOST_BYTES)).decode("utf-8", "replace")
    finally:
        answer.connection.close()


def read_metrics(address: str, text: str) -> BridgeFacts:
    """Return the facts in Prometheus' text format."""
    numbers: dict[str, float] = {}
    routes: dict[str, list[float]] = {}
    outcomes: dict[str, float] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, label, value, told = found.groups()
        try:
            amount = float(told)
        except ValueError:  # it is no number: another bridge may tell more than this one knows
            continue
        if label == "outcome":
            outcomes[value] = amount
        elif label == "route" and len(routes) < _MOST_ROUTES:
            row = routes.setdefault(value, [0.0, 0.0])
            row[name.endswith("_sum")] = amount
        elif label is None:
            numbers[name.removeprefix("gpfn_bridge_")] = amount
    if not numbers:
        return BridgeFacts(address, "There are no figures of a bridge at this address.")
    pairs = {name: (row[0], row[1]) for name, row in routes.items()}
    return BridgeFacts(address, "", numbers, pairs, outcomes)


def bridge_panel(facts: BridgeFacts | None) -> str:
    """Return the panel of a bridge, nothing when none was named."""
    if facts is None:
        return ""
    head = (
        '<section class="panel" aria-labelledby="bridge" data-live="bridge"><div class="head">'
        f'<h2 id="bridge">Bridge</h2><span class="small muted mono cut">{as_text(facts.address)}'
        f"</span>"
    )
    if facts.problem:
        told = chip("not connected", "warn", "warn")
        return (
            f'{head}{told}</div><div class="body"><p class="cut">{as_text(facts.problem)}</p><p '
            'class="muted">A bridge says how it is at the <code>listen</code> of its '
            "configuration.</p></div></section>"
        )
    ready = facts.numbers.get("ready", 0) > 0
    state = chip("ready", "ok", "ok") if ready else chip("not ready", "warn", "wait")
    return (
        f'{head}{state}</div><div class="body stack"><dl class="facts">{_numbers(facts)}</dl>'
        f"{_routes(facts)}{_letters(facts)}</div></section>"
    )


def _numbers(facts: BridgeFacts) -> str:
    words = {
        "received_total": "received",
        "in_flight": "calls under way",
        "unfinished": "unfinished",
        "retries_total": "retries",
        "dead_letters_total": "dead letters",
        "circuits_open": "routes left alone",
    }
    return "".join(
        f"<div><dt>{word}</dt><dd>{number(facts.numbers[name])}</dd></div>"
        for name, word in words.items()
        if name in facts.numbers
    )


def _routes(facts: BridgeFacts) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="cut">{as_text(name)}</th><td class="r">{number(calls)}</td>'
        f'<td class="r nowrap">{figures_of(seconds / calls) if calls else "&ndash;"}</td></tr>'
        for name, (calls, seconds) in facts.routes.items()
    )
    return (
        '<table class="plain dense"><thead><tr><th scope="col">Route</th><th scope="col" '
        'class="r">Calls</th><th scope="col" class="r">Mean, ms</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _letters(facts: BridgeFacts) -> str:
    why = {name: facts.outcomes[name] for name in _DEAD if facts.outcomes.get(name)}
    if not why:
        return '<p class="small muted">No dead letters.</p>'
    told = ", ".join(f"{number(count)} {as_text(name)}" for name, count in why.items())
    shown = code("To see them", "command", "gpfn bridge dead list")
    return f'<p><span class="bad-text">Dead letters:</span> {told}.</p>{shown}'
