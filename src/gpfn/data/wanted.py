"""Whether columns that are asked for are there, and what to tell where they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from gpfn.errors import SetupError

__all__ = ["check_wanted", "shown_names"]

_SHOWN = 8


def check_wanted(
    wanted: Sequence[str], names: Sequence[str], path: str, why: Mapping[str, str] = {}
) -> None:
    """Raise SetupError for a column that is not there, naming what there is instead.

    ``why`` says of columns that are there why they cannot be read.
    """
    known = {*names}
    for name in wanted:
        if name in known:
            continue
        if why.get(name):
            raise SetupError(why[name], field=f"{path}: {name}")
        near = get_close_matches(name, names, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SetupError(f"no column {name}{hint}; there is {shown_names(names)}", field=path)


def shown_names(names: Sequence[str]) -> str:
    """Return names as an error has them, not too many."""
    if not names:
        return "none that can be read"
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
