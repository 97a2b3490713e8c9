"""Tables on stdout: with a header they are fitted to a terminal, else a row is a line.

Apart from the commands because several of them print one; rich is loaded when it is used.
"""

import sys
from collections.abc import Sequence

__all__ = ["print_table"]

_WIDE = 100_000
"""Columns that no row has: in a pipe nothing is folded or cut."""


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: int = 0) -> None:
    """Print rows of cells in columns, each row ``indent`` characters from the left.

    Under a ``header``, cells are folded to a terminal's width; without one, rows are facts
    such as paths, which stay whole to be copied.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(header))
    for title in header or rows[0]:
        table.add_column(Text(title), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    padded = Padding(table, (0, 0, 0, indent), expand=False)
    if header and sys.stdout.isatty():
        Console(highlight=False).print(padded)
        return
    console = Console(highlight=False, width=_WIDE, color_system=None)
    with console.capture() as capture:
        console.print(padded)
    for line in capture.get().splitlines():
        print(line.rstrip())
