"""Targets as text: a value as a label, and what the texts of a file without types are.

A CSV file says no types. Its target is read as text and decided once, over all rows that are
kept: so one label stands for one class, wherever in the file it is written.
"""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["amounts_of", "is_gap", "label", "numbers_of", "typed"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_PADDED = re.compile(r"[+-]?0\d+", re.ASCII)
_LARGEST = 2**53
"""From it on a double does not have every whole number."""
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def label(value: object) -> str:
    """Return a value as a label: one line, a whole number without a point, truth in small letters.

    >>> label(2.0), label(True), label(" new   york ")
    ('2', 'true', 'new york')
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def is_gap(text: str, most: float) -> bool:
    """Say whether a text stands for no number: NaN, infinity, or a number beyond ``most``."""
    try:
        return "_" not in text and not abs(float(text)) <= most
    except ValueError:
        return False


def typed(texts: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return float64 where all texts are numbers, bool where they are truth values, else texts.

    Numbers of which one is written with zeros before it are texts (``007`` is no 7), and so are
    whole ones that a double cannot tell apart.
    """
    different = set(texts)
    if numbers := _numbers(different):
        padded = any(_PADDED.fullmatch(text) for text in different)
        ids = max(map(abs, numbers.values())) >= _LARGEST and all(map(_WHOLE.fullmatch, different))
        if not padded and not ids:
            return np.array([numbers[text] for text in texts], np.float64)
    elif all(text.lower() in _TRUTH for text in different):
        return np.array([_TRUTH[text.lower()] for text in texts], np.bool_)
    return np.array(texts, object)


def numbers_of(texts: Sequence[str] | np.ndarray) -> np.ndarray | None:
    """Return texts as float64, None when one of them is no number."""
    numbers = _numbers(set(texts))
    return np.array([numbers[text] for text in texts], np.float64) if numbers else None


def amounts_of(texts: Sequence[str | None] | np.ndarray) -> np.ndarray:
    """Return texts as float64, NaN for one that is no number; truth values are 1 and 0."""
    amounts = {text: _amount(text) for text in set(texts)}
    return np.array([amounts[text] for text in texts], np.float64)


def _amount(text: str | None) -> float:
    if text and (numbers := _numbers([text])):
        return numbers[text]
    return float(_TRUTH.get((text or "").lower(), math.nan))


def _numbers(different: Iterable[str]) -> dict[str, float]:
    """Return the number of each text, nothing when one is none."""
    numbers = {}
    for text in different:
        if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
            return {}
        numbers[text] = float(text)
    return numbers
