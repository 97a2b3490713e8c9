"""How errors speak: paths into the data, counts of things, shapes."""

from collections.abc import Sequence

from gpfn.errors import TooLarge
from gpfn.limits import Limits

__all__ = ["at", "counted", "over_limit", "shape_text", "shown", "what"]

_SHOWN = 40
"""Characters of an offending value that a message repeats."""
_BITS = 128
"""Size of the widest whole number that a message repeats."""


def at(path: str, indexes: Sequence[int]) -> str:
    """Return ``data[3][7]`` for ``data`` and (3, 7)."""
    return path + "".join(f"[{index}]" for index in indexes)


def counted(count: int, noun: str) -> str:
    """Return ``1 number`` or ``2 numbers``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shape_text(shape: Sequence[int | None]) -> str:
    """Return ``(any, 20, 1)`` for (None, 20, 1)."""
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def shown(value: object) -> str:
    """Return a value as a message repeats it: JSON's spelling, never long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value[:_SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def what(value: object) -> str:
    """Return what kind of JSON value it is, with as much of it as helps."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return f"the string {shown(value)}"
    return shown(value)


def over_limit(name: str, limits: Limits, path: str) -> TooLarge:
    """Return the error for data over the limit called ``name``, as `Limits` names it."""
    noun = {"rank": "dimensions", "string_bytes": "bytes in strings"}.get(name, name)
    bound = getattr(limits, name)
    return TooLarge(f"more than {bound} {noun}; GPFN_MAX_{name.upper()} sets this", field=path)
