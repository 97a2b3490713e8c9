"""What ``gpfn bridge run`` shows: a table that is drawn again on a terminal, lines elsewhere.

Nothing is shown of a bridge that has not begun: one that cannot begin has an error to tell, and
no figures.
"""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from gpfn.cli.table import terminal_console
from gpfn.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gpfn.bridge.engine import Bridge

__all__ = ["BridgeScreen", "document_of", "make_screen"]

_LINE_SECONDS = 5.0


class BridgeScreen(Protocol):
    """Where a bridge is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def draw(self) -> None:
        """Show how it is now."""


def make_screen(bridge: "Bridge", *, as_json: bool, quiet: bool) -> BridgeScreen:
    """Return where a bridge is shown; on stderr where stdout is ``quiet``."""
    stream = sys.stderr if quiet else sys.stdout
    if as_json:
        return _Lines(bridge, stream, as_json=True)
    console = terminal_console(stream)
    return _Lines(bridge, stream) if console is None else _Live(bridge, console)


def document_of(bridge: "Bridge") -> dict[str, Any]:
    """Return how a bridge is, for machines."""
    return {
        "time": round(time.time(), 3),
        **bridge.figures.document(),
        "in_flight": sum(caller.active for caller in bridge.callers),
        "unfinished": bridge.intake.counted(),
        "lag": sum(bridge.figures.lag.values()),
        "open_circuits": [c.spec.name for c in bridge.callers if c.circuit.is_open],
    }


class _Lines:
    """A line now and then, and one at the end."""

    def __init__(self, bridge: "Bridge", stream: Any, *, as_json: bool = False) -> None:
        self._bridge = bridge
        self._stream = stream
        self._as_json = as_json
        self._due = time.monotonic() + _LINE_SECONDS
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._print()

    def draw(self) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LINE_SECONDS
            self._print()

    def _print(self) -> None:
        if not self._bridge.begun:
            return
        if self._as_json:
            import json

            line = json.dumps(document_of(self._bridge))
        else:
            line = "  ".join(f"{name} {value}" for name, value in _facts(self._bridge))
        if self._as_json or line != self._last:  # nothing new is no news to people
            self._last = line
            print(line, file=self._stream, flush=True)


class _Live:
    """The table on a terminal; the last one stays."""

    def __init__(self, bridge: "Bridge", console: "Console") -> None:
        from rich.live import Live

        self._bridge = bridge
        self._live = Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        self._live.stop()

    def draw(self) -> None:
        if not self._bridge.begun:
            return
        self._live.start()  # which does nothing when it was started
        self._live.update(_table(_facts(self._bridge), _routes(self._bridge)), refresh=True)


def _facts(bridge: "Bridge") -> list[tuple[str, str]]:
    """Return what is told of the whole bridge: names and values."""
    figures, times = bridge.figures, bridge.figures.document()
    facts = [
        ("received", str(figures.totals["received"])),
        ("lag", str(sum(figures.lag.values()))),
        ("in flight", str(sum(caller.active for caller in bridge.callers))),
        *((name, str(count)) for name, count in figures.counts.items() if count),
        ("retries", str(figures.totals["retries"])),
        ("dead letters", str(figures.totals["dead"])),
    ]
    if times["p50_ms"] is not None:
        facts += [("p50", f"{times['p50_ms']:.1f} ms"), ("p99", f"{times['p99_ms']:.1f} ms")]
    left_alone = [caller.spec.name for caller in bridge.callers if caller.circuit.is_open]
    return facts + ([("left alone", ", ".join(left_alone))] if left_alone else [])


def _routes(bridge: "Bridge") -> list[tuple[str, ...]]:
    """Return a row a route."""
    rows: list[tuple[str, ...]] = []
    for caller in bridge.callers:
        times = caller.figures.seconds.quantiles()
        p50, p99 = ("-", "-") if times is None else (f"{t * 1000:.1f}" for t in times)
        state = "left alone" if caller.circuit.is_open else "calls"
        waiting = str(caller.lanes.waiting)
        shown = caller.destination.shown
        rows.append((caller.spec.name, shown, state, str(caller.active), waiting, p50, p99))
    return rows


def _table(facts: Sequence[tuple[str, str]], routes: Sequence[Sequence[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 0))
    line = Text("  ".join(f"{escaped(name)} {escaped(value)}" for name, value in facts))
    table.add_row(line)
    inner = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for n, title in enumerate(("route", "calls", "state", "in flight", "waiting", "p50 ms", "p99")):
        inner.add_column(title, justify="right" if n > 2 else "left", no_wrap=True)
    for row in routes:
        style = "bold red" if row[2] == "left alone" else ""
        inner.add_row(*(Text(escaped(cell), style if n == 2 else "") for n, cell in enumerate(row)))
    table.add_row(inner)
    return table
