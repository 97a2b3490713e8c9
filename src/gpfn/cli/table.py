"""Tables, marked lines and bars: by rich on a terminal, plain text anywhere else.

Plain text has a row a line and its columns aligned, so that grep and awk can read it. Rich
is imported on a terminal only; images leave it out, and then a terminal has plain text too.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from gpfn.cli.output import terminal_of
from gpfn.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "STYLES",
    "print_marked",
    "print_table",
    "show_progress",
    "table_text",
    "terminal_console",
]

STYLES: Mapping[str, str] = {
    "fails": "bold red",
    "FAIL": "bold red",
    "warns": "yellow",
    "more": "yellow",
    "pass": "green",
    "n/a": "dim",
}
"""How a word that judges looks on a terminal."""

_GAP = "  "
_WIDE = 100_000  # columns that no row has: nothing is folded


def print_table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    *,
    right: Collection[int] = (),
    indent: int = 0,
    stream: TextIO | None = None,
) -> None:
    """Print rows of cells in columns, each row ``indent`` characters from the left.

    ``right`` are the columns that end at the same place. Under a ``header``, cells are
    folded to a terminal's width; without one, rows are facts such as paths, which stay
    whole to be copied. ``stream`` is stdout when None.
    """
    stream = stream or sys.stdout
    console = terminal_console(stream, _WIDE if not header else None)
    every = [header, *rows] if header else rows
    if console is None or not rows:
        lines = table_text(every, right=right).splitlines()
        stream.write("".join(f"{' ' * indent}{line}\n" for line in lines))
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(header))
    for index, title in enumerate(every[0]):
        side: Literal["left", "right"] = "right" if index in right else "left"
        table.add_column(Text(title), overflow="fold", justify=side)
    for row in rows:
        table.add_row(*(Text(escaped(cell), STYLES.get(cell.strip(), "")) for cell in row))
    console.print(Padding(table, (0, 0, 0, indent), expand=False))


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
    console = terminal_console(sys.stdout)
    if console is None:
        print(text, flush=True)
        return
    from rich.text import Text

    word = text.partition(" ")[0]
    marked = Text(escaped(text))
    marked.stylize(STYLES.get(word, ""), 0, len(word))
    console.print(marked)


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is told how many are done and how many there will be; a bar on a terminal."""
    console = terminal_console(sys.stderr)
    if console is None:
        yield lambda _done, _all: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def terminal_console(stream: TextIO, width: int | None = None) -> "Console | None":
    """Return rich's console for a terminal; None for anything else, and without rich.

    ``width`` is the columns to fold at, the terminal's own when None.
    """
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None  # plain text says the same
    return Console(file=terminal_of(stream), highlight=False, width=width)
