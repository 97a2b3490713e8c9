"""A function's reply for people on a terminal: classes as bars, arrays and rows as tables.

What has none of these forms is printed as it came. Of an event the data are shown.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from gpfn.cli.answer import print_answer
from gpfn.cli.figures import bar_text, number_text
from gpfn.cli.table import print_table

__all__ = ["print_reply"]

_BAR = 24
_MOST_COLUMNS = 12
_SHARE = "probability"


def print_reply(body: bytes) -> None:
    """Print a reply's body on stdout, in the form that suits what it says."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and "specversion" in value:
        value = value.get("data")
    rows = _rows_of(value)
    if rows:
        _print_rows(rows)
        return
    arrays = _arrays_of(value)
    if arrays:
        print_answer(arrays, {})
        return
    text = body.decode("utf-8", "backslashreplace")
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _rows_of(value: object) -> list[dict[str, Any]]:
    """Return a list of flat objects with the same keys; an only member that is one counts too."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return []
    keys = list(value[0])
    flat = not any(isinstance(cell, list | dict) for row in value for cell in row.values())
    alike = all(set(row) == set(keys) for row in value)
    return value if flat and alike and 0 < len(keys) <= _MOST_COLUMNS else []


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from gpfn.cli.answer import has_blocks

    keys = list(rows[0])
    barred = all(_is_share(row.get(_SHARE)) for row in rows)
    cells = []
    for row in rows:
        line = [number_text(row[k]) if isinstance(row[k], float) else str(row[k]) for k in keys]
        bar = [bar_text(row[_SHARE], _BAR, blocks=has_blocks())] if barred else []
        cells.append([*line, *bar])
    print_table(cells, [*keys, *([""] if barred else [])])


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _arrays_of(value: object) -> Mapping[str, Any]:
    """Return nested lists of numbers as arrays, by name where they have one; else nothing."""
    from gpfn.errors import CallerError
    from gpfn.limits import REPLY_LIMITS
    from gpfn.tensors.nested import decode_nested
    from gpfn.tensors.spec import TensorSpec

    named = value if isinstance(value, dict) else {"output": value}
    if not named or not all(isinstance(item, list) for item in named.values()):
        return {}
    try:
        return {
            str(name): decode_nested(item, TensorSpec("float64"), REPLY_LIMITS, path=str(name))
            for name, item in named.items()
        }
    except CallerError:
        return {}  # texts or ragged lists, which are printed as they came
