"""Tables, marked lines and bars: by rich on a terminal, plain text anywhere else.

Plain text has a row a line and its columns aligned, so that grep and awk can read it. Rich
is imported on a terminal only; images leave it out, and then a terminal has plain text too.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["STYLES", "print_marked", "print_table", "show_progress", "table_text"]

STYLES: Mapping[str, str] = {
    "fails": "bold red",
    "FAIL": "bold red",
    "warns": "yellow",
    "pass": "green",
    "n/a": "dim",
}
"""How a word that judges looks on a terminal."""

_GAP = "  "


def print_table(
    rows: Sequence[Sequence[str]],
    *,
    head: bool = False,
    right: Collection[int] = (),
    stream: TextIO | None = None,
) -> None:
    """Print rows of the same number of cells.

    ``head`` says that the first row is the columns' names, ``right`` which columns end at
    the same place. ``stream`` is stdout when None.
    """
    stream = stream or sys.stdout
    console = _console(stream)
    if console is None or not rows:
        stream.write("".join(f"{line}\n" for line in table_text(rows, right=right).splitlines()))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=head)
    for index, name in enumerate(rows[0]):
        table.add_column(Text(name if head else ""), justify="right" if index in right else "left")
    for row in rows[1:] if head else rows:
        table.add_row(*(Text(cell, STYLES.get(cell.strip(), "")) for cell in row))
    console.print(table)


def table_text(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return rows as plain text with aligned columns."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def print_marked(text: str) -> None:
    """Print a line on stdout at once; on a terminal its first word has the word's style."""
    console = _console(sys.stdout)
    if console is None:
        print(text, flush=True)
        return
    from rich.text import Text

    word = text.partition(" ")[0]
    marked = Text(text)
    marked.stylize(STYLES.get(word, ""), 0, len(word))
    console.print(marked)


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is told how many are done and how many there will be; a bar on a terminal."""
    console = _console(sys.stderr)
    if console is None:
        yield lambda _done, _all: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _console(stream: TextIO) -> "Console | None":
    """Return rich's console for a terminal; None for anything else, and without rich."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None  # plain text says the same
    return Console(file=stream, highlight=False)
