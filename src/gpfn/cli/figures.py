"""Figures made of characters: a bar for a share, columns for a series.

Pure text, of the width that is asked for. Each character is cut in eighths where the encoding
has the blocks of Unicode, else a whole ``#``.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["bar_text", "number_text", "plot_lines"]

_ACROSS = " ▏▎▍▌▋▊▉█"
_UP = " ▁▂▃▄▅▆▇█"
_PLAIN = " " * 5 + "#" * 4
"""Eighths that no half block is there for: less than half is nothing."""


def number_text(number: float) -> str:
    """Return a number with the digits that people read."""
    return f"{number:.6g}"


def bar_text(share: float, width: int, *, blocks: bool = True) -> str:
    """Return a bar for a share from 0 to 1; what lies outside is drawn as the nearest of them."""
    eighths = _ACROSS if blocks else _PLAIN
    if not math.isfinite(share):
        return ""
    filled = round(min(max(share, 0.0), 1.0) * width * 8)
    return (eighths[8] * (filled // 8) + eighths[filled % 8]).rstrip()


def plot_lines(
    values: Sequence[float], width: int, height: int, *, blocks: bool = True
) -> list[str]:
    """Return a series as columns, with the largest and the smallest value at the left.

    More values than columns are drawn as the means of neighbours. What is no number leaves
    its column empty. Without any number there are no lines.
    """
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return []
    low, high = min(known), max(known)
    labels = [number_text(high), *[""] * (height - 2), number_text(low)]
    margin = max(map(len, labels))
    columns = _columns(values, max(width - margin - 3, 1))
    eighths = _UP if blocks else _PLAIN
    # the smallest value has an eighth, so that it is seen
    levels = [_level(value, low, high, height * 8) for value in columns]
    lines = []
    for row, label in enumerate(labels):
        floor = (height - 1 - row) * 8
        drawn = "".join(eighths[min(max(level - floor, 0), 8)] for level in levels)
        lines.append(f"{label:>{margin}} | {drawn}".rstrip())
    return lines


def _columns(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        repeated = max(1, min(most // len(values), 4))
        return [value for value in values for _ in range(repeated)]
    edges = [len(values) * at // most for at in range(most + 1)]
    parts = [values[start:end] for start, end in pairwise(edges)]
    return [sum(part) / len(part) for part in parts]


def _level(value: float, low: float, high: float, most: int) -> int:
    if not math.isfinite(value):
        return 0
    span = high / 2 - low / 2  # the whole of it may be beyond a double
    return 1 + round((value / 2 - low / 2) / span * (most - 1)) if span > 0 else most // 2
