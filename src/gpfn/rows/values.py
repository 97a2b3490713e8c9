"""One value of a row, as its column reads it: nothing is guessed, and nothing is repeated.

A value of JSON has a kind of its own, which has to be the column's. Text, whether it comes from
JSON or CSV, is read by the column's dtype. Errors say what was expected and of which kind the
value is, never the value itself: rows hold what nobody else should see.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpfn.errors import InvalidTensor
from gpfn.models.toml_table import Scalar
from gpfn.tensors.dtypes import Dtype

__all__ = ["RowColumn", "WrongValue", "checked", "column_values"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_BLANK = " \t"
_DIGITS = "0123456789+-" + _BLANK
_NUMERIC = _DIGITS + ".eE"
"""Texts of these characters alone mean to Python's own readers what they mean here."""
_SWITCHES = {"true": True, "false": False, "1": True, "0": False}
_LARGEST = {"float16": 65504.0, "float32": (2.0 - 2.0**-23) * 2.0**127, "float64": 1.7e308}
_EXACT = 2.0**53  # from here on a double stands for several whole numbers


class WrongValue(ValueError):
    """A value that its column does not take; the text says what was expected."""


class RowColumn(NamedTuple):
    """A column: what its values are (``dtype``), and what the model gets them as (``taken``).

    ``default`` stands for a missing value, which is refused where it is None; ``missing`` are
    texts that mean one.
    """

    name: str
    dtype: Dtype
    taken: Dtype
    default: Scalar | None = None
    missing: frozenset[str] = frozenset()


def column_values(
    raw: Sequence[object], column: RowColumn, place: Callable[[int], str]
) -> list[Any]:
    """Return a column's values, one of each row, as NumPy takes them for the dtype.

    Raises InvalidTensor, whose field is what ``place`` says of the row's number.
    """
    found = _all_text(raw, column)
    if found is not None:
        return found
    values = []
    for number, value in enumerate(raw):
        try:
            values.append(_value(value, column))
        except WrongValue as error:
            raise InvalidTensor(str(error), field=place(number)) from None
    return values


def checked(value: object, column: RowColumn) -> Any:
    """Return a value that is there as the model takes it. Raises WrongValue for a wrong one."""
    kind = column.dtype
    if kind.name == "string":
        return _text(value)
    if isinstance(value, str):
        value = _parsed(value.strip(_BLANK), kind)
    if kind.name == "bool":
        if not isinstance(value, bool):
            raise WrongValue(f"expected true or false, got {_what(value)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValue(f"expected {_wanted(kind)}, got {_what(value)}")
    number = _whole(value, kind) if kind.whole else _floating(value, kind)
    return number if column.taken is kind else _taken(number, column)


def _value(value: object, column: RowColumn) -> Any:
    if value is None or (isinstance(value, str) and _is_missing(value, column)):
        if column.default is None:
            raise WrongValue("missing, and the column has no default")
        return column.default
    return checked(value, column)


def _is_missing(text: str, column: RowColumn) -> bool:
    if text in column.missing:
        return True
    return column.dtype.name != "string" and not text.strip(_BLANK)


def _all_text(raw: Sequence[object], column: RowColumn) -> list[Any] | None:
    """Return the values of a column that is all plain text of numbers: the usual CSV.

    None where it is not: then each value is looked at, and what is wrong has its place.
    """
    kind = column.dtype
    if column.taken is not kind or column.missing or {*map(type, raw)} != {str}:
        return None
    texts: Sequence[str] = raw  # type: ignore[assignment] # as just seen
    if "".join(texts).strip(_DIGITS if kind.whole else _NUMERIC):
        return None
    try:
        if kind.whole:
            whole = [*map(int, texts)]
            return whole if kind.low <= min(whole) and max(whole) <= kind.high else None
        if kind.floating:
            numbers = [*map(float, texts)]
            return numbers if max(map(abs, numbers)) <= _LARGEST[kind.name] else None
    except ValueError:  # such as a sign alone: the value has its place told
        return None
    return None


def _parsed(text: str, kind: Dtype) -> object:
    """Return what a text stands for in a column that is none of texts."""
    if kind.name == "bool":
        return _SWITCHES.get(text.lower(), text)
    if _WHOLE.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # more digits than Python reads
            raise WrongValue("a whole number of too many digits") from None
    return float(text) if _NUMBER.fullmatch(text) else text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise WrongValue(f"expected text, got {_what(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongValue("expected Unicode text, got half a character") from None
    return value


def _whole(value: float, kind: Dtype) -> int:
    if isinstance(value, float):
        if not value.is_integer():
            told = f"expected a whole number ({kind.name}), got a number with a fraction"
            raise WrongValue(told)
        if abs(value) >= _EXACT:
            raise WrongValue("from 2**53 on write whole numbers without point and exponent")
    number = int(value)
    if not kind.low <= number <= kind.high:
        raise WrongValue(f"out of range for {kind.name} ({kind.low} to {kind.high})")
    return number


def _floating(value: float, kind: Dtype) -> float:
    try:
        number = float(value)
        struct.pack(f"={kind.code}", number)
    except (OverflowError, struct.error):
        raise WrongValue(f"too large for {kind.name}") from None
    if not math.isfinite(number):
        raise WrongValue("expected a finite number")
    return number


def _taken(number: float, column: RowColumn) -> float:
    """Return a number as the model's own dtype holds it: a whole number exactly."""
    taken = column.taken
    if taken.whole:
        return _whole(number, taken)
    found = _floating(number, taken)
    code = f"={taken.code}"
    held: float = struct.unpack(code, struct.pack(code, found))[0]
    if column.dtype.whole and held != number:
        raise WrongValue(f"a whole number that the model's {taken.name} cannot hold exactly")
    return found


def _wanted(kind: Dtype) -> str:
    return f"a whole number ({kind.name})" if kind.whole else f"a number ({kind.name})"


def _what(value: object) -> str:
    """Return of which kind a value of JSON is, and nothing more of it."""
    for kinds, word in _WORDS:
        if isinstance(value, kinds):
            return word
    return "null" if value is None else f"a {type(value).__name__}"


_WORDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "an object"),
)
