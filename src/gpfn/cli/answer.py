"""A model's outputs for people: classes as bars, series as plots, rows as a table.

On a terminal there are figures; anywhere else the same as plain text, a line a row, columns
aligned. JSON is for machines, and has every number.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.figures import bar_text, number_text, plot_lines
from gpfn.cli.table import print_table

if TYPE_CHECKING:
    import numpy as np

    _Array = np.ndarray[Any, Any]

__all__ = ["has_blocks", "print_answer"]

_BEST = 5
_MOST_ACROSS = 8
"""Values of a row that are columns of the table; more are a series."""
_MOST_PLOTS = 4
_MOST_ROWS = 200
"""Of a table on a terminal."""
_PLOT_HEIGHT = 8
_BAR = 24


class _Screen(NamedTuple):
    """Where it is printed: whether figures help there, how wide it is, whether it has blocks."""

    figures: bool
    width: int
    blocks: bool


def print_answer(
    outputs: Mapping[str, _Array], classes: Mapping[str, Sequence[object]], *, best: int = _BEST
) -> None:
    """Print outputs on stdout; ``classes`` are names for the values of an output's last axis.

    Of classes the ``best`` are told, highest first, for a single row; of each of several rows
    the best one.
    """
    screen = _screen()
    columns: dict[str, list[str]] = {}
    below: list[tuple[str, _Array]] = []
    scores: list[tuple[str, _Array]] = []
    for name, array in outputs.items():
        rows = array.reshape(len(array), -1) if array.ndim and len(array) else array.reshape(1, -1)
        if _has_classes(rows, classes.get(name, ())):
            if len(rows) == 1:
                scores.append((name, rows[0]))
            else:
                columns |= _best_of_rows(name, rows, classes[name])
        elif 0 < rows.shape[1] <= _MOST_ACROSS:
            columns |= _columns_of(name, rows)
        else:
            below.append((name, array))
    _print_columns(columns, figures=screen.figures)
    for name, row in scores:
        _print_classes(name, row, classes[name], best, screen)
    for name, array in below:
        _print_series(name, array, screen)


def _screen() -> _Screen:
    return _Screen(sys.stdout.isatty(), shutil.get_terminal_size().columns, has_blocks())


def has_blocks() -> bool:
    """Say whether stdout's encoding has the blocks that bars are made of."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")


def _has_classes(rows: _Array, names: Sequence[object]) -> bool:
    return bool(names) and rows.shape[1] == len(names) and rows.dtype.kind in "fiu"


def _best_of_rows(name: str, rows: _Array, names: Sequence[object]) -> dict[str, list[str]]:
    best = rows.argmax(1)
    chosen = [number_text(row[at]) for row, at in zip(rows, best, strict=True)]
    return {name: [str(names[at]) for at in best], f"its {_title(rows)}": chosen}


def _columns_of(name: str, rows: _Array) -> dict[str, list[str]]:
    titles = [name] if rows.shape[1] == 1 else [f"{name}[{at}]" for at in range(rows.shape[1])]
    return {
        title: [_cell(value) for value in rows[:, at].tolist()] for at, title in enumerate(titles)
    }


def _cell(value: object) -> str:
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _print_columns(columns: Mapping[str, list[str]], *, figures: bool) -> None:
    """Print values side by side; outputs of other numbers of rows have a table of their own."""
    for count in dict.fromkeys(map(len, columns.values())):
        shown = {title: cells for title, cells in columns.items() if len(cells) == count}
        rows = list(zip(*shown.values(), strict=True))
        most = _MOST_ROWS if figures else count  # a file or a pipe has all of them
        print_table(rows[:most], list(shown))
        if count > most:
            print(f"and {count - most} rows more; --json or --output has them all")


def _title(scores: _Array) -> str:
    """Return what scores are called: shares of a whole are probabilities."""
    low, high = scores.min(), scores.max()
    return "probability" if scores.dtype.kind == "f" and low >= 0 and high <= 1 else "score"


def _print_classes(
    name: str, row: _Array, names: Sequence[object], best: int, screen: _Screen
) -> None:
    title = _title(row)
    low, high = (0.0, 1.0) if title == "probability" else (float(row.min()), float(row.max()))
    rows = []
    for at in (-row.astype("float64")).argsort(kind="stable")[:best].tolist():
        value = float(row[at])
        cells = [str(names[at]), number_text(round(value, 6))]
        if screen.figures:
            share = (value - low) / (high - low) if high > low else 0.0
            cells.append(bar_text(share, min(_BAR, screen.width // 3), blocks=screen.blocks))
        rows.append(cells)
    print_table(rows, [name, title, *([""] if screen.figures else [])], right=(1,))


def _print_series(name: str, array: _Array, screen: _Screen) -> None:
    """Print a few series as plots; of anything else what it is, and between which values."""
    from gpfn.tensors.cast import dtype_name
    from gpfn.tensors.shapes import shape_text

    about = f"{name}  {dtype_name(array)} {shape_text(array.shape)}"
    series = _series_of(array) if array.size else []
    if array.dtype.kind not in "fiub" or not array.size:
        print(f"{about}; --json has the values")
    elif not series or not screen.figures:
        low, high = number_text(float(array.min())), number_text(float(array.max()))
        print(f"{about} from {low} to {high}; --json has the values")
    else:
        for number, values in enumerate(series):
            print(f"{about}, row {number}" if len(series) > 1 else about)
            lines = plot_lines(values, screen.width, _PLOT_HEIGHT, blocks=screen.blocks)
            print("".join(f"{line}\n" for line in lines), end="")


def _series_of(array: _Array) -> list[list[float]]:
    """Return the rows of an array that has one long axis besides the first, if they are few."""
    long = [size for size in array.shape[1:] if size != 1]
    if array.ndim == 1:
        return [array.astype("float64").tolist()]
    if len(long) != 1 or len(array) > _MOST_PLOTS:
        return []
    rows: list[list[float]] = array.reshape(len(array), -1).astype("float64").tolist()
    return rows
