"""The forms in which files write times, and each time as a whole number of a unit."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from gpfn.errors import SetupError

__all__ = ["ZONED", "label", "times_of"]

ZONED = "zoned instant"
"""The unit of instants that are written with a zone; as numbers they are like those without."""
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_NAMED = "|".join(_MONTHS)
_EPOCH = 1970
_MICRO = 1_000_000
_ZONE = r"(Z|[+-]\d\d:?\d\d)"
_ZERO = datetime(_EPOCH, 1, 1, tzinfo=UTC)


class _Form(NamedTuple):
    """How one form of a time is written, such as ``example``, and read.

    ``read`` gives the number of the unit for the match, and raises ValueError for what cannot
    be, such as a month 13.
    """

    example: str
    unit: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], int]


def _form(example: str, unit: str, pattern: str, read: Callable[[re.Match[str]], int]) -> _Form:
    return _Form(example, unit, re.compile(pattern, re.ASCII | re.IGNORECASE), read)


def _within(number: int, most: int) -> int:
    if not 1 <= number <= most:
        raise ValueError(number)
    return number


def _month(found: re.Match[str]) -> int:
    """Return months since 1970."""
    name = found["month"].lower()
    number = _MONTHS.get(name[:3]) or int(name)
    return (int(found["year"]) - _EPOCH) * 12 + _within(number, 12) - 1


def _quarter(found: re.Match[str]) -> int:
    return (int(found["year"]) - _EPOCH) * 4 + int(found["quarter"]) - 1


def _week(found: re.Match[str]) -> int:
    """Return weeks since that of 1970-01-01, which began on a Thursday."""
    text = f"{found['year']}-W{int(found['week']):02d}-1"
    return (_days(datetime.fromisoformat(text)) + 3) // 7


def _day(found: re.Match[str]) -> int:
    return _days(datetime(int(found["year"]), int(found["month"]), int(found["day"])))


def _days(day: datetime) -> int:
    return (day.replace(tzinfo=UTC) - _ZERO).days


def _instant(found: re.Match[str]) -> int:
    """Return microseconds since 1970; a time without a zone is taken as UTC."""
    text = found[0].replace("/", "-") if found[0][4] == "/" else found[0]
    moment = datetime.fromisoformat(text)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _ZERO
    return (since.days * 86_400 + since.seconds) * _MICRO + since.microseconds


_FORMS = (
    _form("2020-01", "month", r"(?P<year>\d{4})(?:[-/.]|-?M)(?P<month>\d{1,2})", _month),
    _form("202001", "month", r"(?P<year>[12]\d{3})(?P<month>\d{2})", _month),
    _form("01/2020", "month", r"(?P<month>\d{1,2})[-/.](?P<year>\d{4})", _month),
    _form("Jan 2020", "month", rf"(?P<month>{_NAMED})[a-z]*\.?[- /](?P<year>\d{{4}})", _month),
    _form("2020-Jan", "month", rf"(?P<year>\d{{4}})[- /](?P<month>{_NAMED})[a-z]*", _month),
    _form("2020-Q1", "quarter", r"(?P<year>\d{4})[-/ ]?Q(?P<quarter>[1-4])", _quarter),
    _form("Q1 2020", "quarter", r"Q(?P<quarter>[1-4])[-/ ]?(?P<year>\d{4})", _quarter),
    _form("2020-W05", "week", r"(?P<year>\d{4})-?W(?P<week>\d{1,2})", _week),
    _form("2020", "year", r"(?P<year>[12]\d{3})", lambda found: int(found["year"]) - _EPOCH),
    _form("2020-01-31", "day",
          r"(?P<year>\d{4})(?P<sign>[-/.])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})", _day),
    _form("20200131", "day", r"(?P<year>[12]\d{3})(?P<month>\d{2})(?P<day>\d{2})", _day),
    _form("31.01.2020", "day", r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})", _day),
    _form("2020-01-31T00:00+01:00", "day",  # a zone's midnights are its days, also in summer
          r"(?P<year>\d{4})([-/])(?P<month>\d\d)\2(?P<day>\d\d)[T ]00:00(:00(\.0{1,9})?)?" + _ZONE,
          _day),
    _form("2020-01-31T12:00:00Z", ZONED,
          r"\d{4}([-/])\d\d\1\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?" + _ZONE, _instant),
    _form("2020-01-31T12:00:00", "instant",
          r"\d{4}([-/])\d\d\1\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?", _instant),
    _form("1577836800 (seconds)", "instant", r"\d{9,10}", lambda found: int(found[0]) * _MICRO),
    _form("1577836800000 (ms)", "instant", r"\d{12,13}", lambda found: int(found[0]) * 1000),
)  # fmt: skip
"""A column has one of them from its first row to its last."""

_SLASHED = (
    _form("31/01/2020", "day",
                        r"(?P<day>\d{1,2})[/-](?P<month>\d{1,2})[/-](?P<year>\d{4})", _day),
    _form("01/31/2020", "day",
                        r"(?P<month>\d{1,2})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4})", _day),
)  # fmt: skip
"""The day or the month first: told apart by a number above 12, or not at all."""


def times_of(texts: Sequence[str], places: Sequence[str], column: str) -> tuple[str, np.ndarray]:
    """Return the unit of the times and, for each, its number of that unit, int64.

    Raises SetupError, naming the place of the first text that does not fit the others.
    """
    read = [(form, _read(form, texts)) for form in (*_FORMS, *_SLASHED)]
    whole = [(form, counts) for form, counts in read if len(counts) == len(texts)]
    if [form for form, _ in whole] == [*_SLASHED]:
        told = f"is {texts[0]} a day and a month, or a month and a day?"
        raise _wrong(column, f"{told} Write such times as 2020-01-31", places[0])
    if whole:
        form, counts = whole[0]
        return form.unit, np.array(counts, np.int64)
    form, counts = max(read, key=lambda one: len(one[1]))
    at = len(counts)
    text = texts[at].strip()[:40]
    if not at:
        told = f"{text!r} is no time; known forms: {', '.join(each.example for each in _FORMS)}"
    else:
        told = f"{text!r} is no time such as {form.example}, which all before it are"
    raise _wrong(column, f"{told}; mend it, or leave --time out", places[at])


def _wrong(column: str, told: str, place: str) -> SetupError:
    return SetupError(f"column {column}: {told}", field=place)


def _read(form: _Form, texts: Sequence[str]) -> list[int]:
    """Return the numbers up to the first text that is not of this form."""
    counts: list[int] = []
    for text in texts:
        found = form.pattern.fullmatch(text.strip())
        try:
            if not found:
                return counts
            counts.append(form.read(found))
        except (ValueError, OverflowError):
            return counts
    return counts


def label(unit: str, count: int) -> str:
    """Return the time with this number of a unit, as ISO 8601 writes it."""
    if unit == "instant":
        moment = np.datetime64(count, "us")
        return str(moment.astype("datetime64[s]" if count % _MICRO == 0 else "datetime64[us]"))
    if unit == "quarter":
        return f"{_EPOCH + count // 4}-Q{count % 4 + 1}"
    if unit == "week":
        year, week, _ = np.datetime64(count * 7 - 3, "D").item().isocalendar()
        return f"{year}-W{week:02d}"
    if unit == "working day":
        return str(np.busday_offset(np.datetime64(0, "D"), count, roll="forward"))
    code = {"year": "Y", "month": "M", "day": "D"}[unit]
    return str(np.datetime64(count, code))
