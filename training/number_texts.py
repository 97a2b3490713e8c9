"""Texts of a column as numbers: with a point or a comma, and with signs between thousands.

A column is read in one way as a whole. Where both ways fit and give other numbers, nobody
guesses: the user has to say which.
"""

import math
import re
from collections.abc import Sequence

import numpy as np

from gpfn.errors import SetupError

__all__ = ["MISSING", "numbers"]

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "nil", "-", "?", "."))
"""Texts that stand for no value, in small letters."""

_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_SWAPPED = str.maketrans(".,", ",.")


def numbers(
    values: Sequence[str | float],
    places: Sequence[str],
    column: str,
    *,
    decimal: str = "",
    doubtful_dots: bool = False,
) -> np.ndarray:
    """Return float64, NaN where a value is missing.

    ``decimal`` is ``"."`` or ``","``, empty when the column has to tell. Raises SetupError, naming
    the place of the first text that is no number.
    """
    texts = [value.strip() if isinstance(value, str) else value for value in values]
    signs = [decimal] if decimal else [".", ","]
    read = {sign: [_number(text, sign) for text in texts] for sign in signs}
    fitting = [sign for sign in signs if None not in read[sign]]
    if not fitting:
        _refuse(texts, places, column, max(read.values(), key=_fitting))
    sign = fitting[0]
    if len(fitting) > 1:
        sign = _decided(texts, places, column, read, doubtful_dots=doubtful_dots)
    return np.array(read[sign], np.float64)


def _number(text: str | float, sign: str) -> float | None:
    """Return a text's number, NaN for a missing one, None when it is no number."""
    if not isinstance(text, str):
        return _finite(text)
    if text.lower() in MISSING:
        return math.nan
    pointed = text.translate(_SWAPPED) if sign == "," else text
    if _PLAIN.fullmatch(pointed):
        return _finite(float(pointed))
    return _finite(float(pointed.replace(",", ""))) if _GROUPED.fullmatch(pointed) else None


def _finite(number: float) -> float | None:
    """Return a number, or NaN, as a float; None for what no float holds."""
    try:
        found = float(number)
    except OverflowError:  # a whole number of JSON
        return None
    return None if math.isinf(found) else found


def _fitting(found: list[float | None]) -> int:
    """Return how many values were read."""
    return sum(value is not None for value in found)


def _decided(
    texts: list[str | float],
    places: Sequence[str],
    column: str,
    read: dict[str, list[float | None]],
    *,
    doubtful_dots: bool,
) -> str:
    """Return the sign when both fit: the point, unless commas or the separator make it doubtful."""
    for text, place, first, second in zip(texts, places, read["."], read[","], strict=True):
        if first == second or math.isnan(first or 0.0):
            continue
        if doubtful_dots or "," in str(text):
            told = f"column {column}: {text!r} may be {first:g} or {second:g}"
            raise SetupError(f"{told}; say --decimal point or --decimal comma", field=place)
    return "."


def _refuse(
    texts: list[str | float], places: Sequence[str], column: str, read: list[float | None]
) -> None:
    at = read.index(None)
    told = f"column {column}: {str(texts[at])[:40]!r} is no number that can be used"
    raise SetupError(f"{told}; mend it, or empty it and give --fill", field=places[at])
