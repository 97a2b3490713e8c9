"""What ``gpfn pipeline up`` prints: a log with a table below it, a log alone, or JSON lines.

The table is drawn again when something in it has changed, and only on a terminal.
"""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from gpfn.cli.table import terminal_console
from gpfn.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gpfn.pipelines.asking import StageFigures
    from gpfn.pipelines.processes import Note, StageState

__all__ = ["Row", "Screen", "make_screen"]

_HEADER = ("stage", "address", "state", "calls", "failed", "ms", "RSS", "restarts")
_RIGHT = range(3, 8)
_STYLES = {
    "ready": "green",
    "down": "bold red",
    "port taken": "bold red",
    "starting": "yellow",
    "ending": "yellow",
}
_FIGURES_SECONDS = 5.0


class Row(NamedTuple):
    """A stage, what it has counted if it tells, and the mean time of its last calls."""

    stage: "StageState"
    figures: "StageFigures | None"
    milliseconds: float | None

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows of it."""
        from gpfn.cli.progress import size_text

        stage, figures = self.stage, self.figures
        counted = (
            (str(figures.calls), str(figures.failed), _milliseconds(self.milliseconds))
            if figures
            else ("-", "-", "-")
        )
        rss = size_text(figures.rss) if figures else "-"
        address = stage.launch.listen
        return (stage.launch.name, address, stage.state, *counted, rss, str(stage.restarts))

    def document(self) -> dict[str, Any]:
        """Return the same for machines."""
        stage, figures = self.stage, self.figures
        return {
            "stage": stage.launch.name,
            "url": stage.launch.url,
            "state": stage.state,
            "pid": stage.pid,
            "restarts": stage.restarts,
            **(figures._asdict() if figures else {}),
            "ms": None if self.milliseconds is None else round(self.milliseconds, 3),
        }


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


class Screen(Protocol):
    """Where it is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Show a line that is of no stage."""

    def notes(self, notes: "Sequence[Note]") -> None:
        """Show lines of stages, and what became of them."""

    def draw(self, rows: Sequence[Row]) -> None:
        """Show how the stages are."""


def make_screen(names: Sequence[str], *, log_only: bool, as_json: bool) -> Screen:
    """Return where ``gpfn pipeline up`` shows the stages of those names."""
    if as_json:
        return _JsonLines()
    console = None if log_only else terminal_console(sys.stdout)
    width = max(map(len, names))
    return _Log(width) if console is None else _Live(width, console)


class _JsonLines:
    """A JSON object a line: ``event`` is said, log, state or figures."""

    def __init__(self) -> None:
        self._due = 0.0
        self._states: Sequence[str] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    def say(self, text: str) -> None:
        self._print(event="said", text=text)

    def notes(self, notes: "Sequence[Note]") -> None:
        for stage, text, state in notes:
            if state is None:
                self._print(event="log", stage=stage, line=text)
            else:
                self._print(event="state", stage=stage, state=state, text=text)

    def draw(self, rows: Sequence[Row]) -> None:
        states = [row.stage.state for row in rows]
        if time.monotonic() >= self._due or states != self._states:
            self._states = states
            self._due = time.monotonic() + _FIGURES_SECONDS
            self._print(event="figures", stages=[row.document() for row in rows])

    def _print(self, **record: object) -> None:
        import json

        print(json.dumps({"time": time.time(), **record}, ensure_ascii=False), flush=True)


class _Log:
    """One log, with the stage's name on each line; what became of a stage is marked by a star."""

    def __init__(self, width: int) -> None:
        self._width = width

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    def say(self, text: str) -> None:
        self._print(text)

    def notes(self, notes: "Sequence[Note]") -> None:
        if notes:
            self._print("\n".join(map(self._line, notes)))

    def _line(self, note: "Note") -> str:
        mark = "|" if note.state is None else "*"
        return f"{note.stage:{self._width}} {mark} {note.text}"

    def draw(self, rows: Sequence[Row]) -> None:
        """Show nothing: a log has no table."""

    def _print(self, text: str) -> None:
        print(text, flush=True)


class _Live(_Log):
    """The same above a table, on a terminal."""

    def __init__(self, width: int, console: "Console") -> None:
        from rich.live import Live

        super().__init__(width)
        self._console = console
        self._shown: list[tuple[str, ...]] = []
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self, rows: Sequence[Row]) -> None:
        cells = [row.cells() for row in rows]
        if cells != self._shown:
            self._shown = cells
            self._live.update(_table(cells), refresh=True)

    def _print(self, text: str) -> None:
        from rich.text import Text

        shown = "\n".join(map(escaped, text.split("\n")))
        self._console.print(Text(shown), soft_wrap=True)


def _table(rows: Sequence[Sequence[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(_HEADER):
        table.add_column(title, justify="right" if index in _RIGHT else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(escaped(cell), _STYLES.get(cell, "")) for cell in row))
    return table
