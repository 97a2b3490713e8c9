"""Fn-Deadline: when the agent stops waiting, in RFC 3339 and whole seconds."""

from __future__ import annotations

from gpfn.deadline import NEVER, Deadline

__all__ = ["parse_deadline"]

_FORM = "0000-00-00T00:00:00Z"

_day = ("", 0)


def parse_deadline(text: str) -> Deadline:
    """Return the deadline that an Fn-Deadline header states; NEVER when it states none.

    The agent cuts the fraction of the second off, so that its patience ends up to one
    second later than it says; it is taken at its word. Fractions and offsets from UTC
    are understood, though no agent sends them.
    """
    try:
        return Deadline.at_epoch(_epoch(text))
    except (ValueError, OverflowError):
        return NEVER  # a deadline that nobody can read is no reason to refuse the call


def _epoch(text: str) -> float:
    if len(text) != len(_FORM) or text[-1] != "Z":
        from gpfn.events.timestamps import epoch_seconds

        return epoch_seconds(text.upper())
    return _midnight(text[:10]) + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])


def _midnight(date: str) -> int:
    """Return the seconds since 1970 at which a day begins; one day lasts many calls."""
    global _day  # noqa: PLW0603
    if _day[0] != date:
        days = _days_since_1970(int(date[:4]), int(date[5:7]), int(date[8:10]))
        _day = (date, days * 86400)
    return _day[1]


def _days_since_1970(year: int, month: int, day: int) -> int:
    """Count days of the Gregorian calendar, with years that begin in March."""
    if month < 3:
        year, month = year - 1, month + 12
    leap_days = year // 4 - year // 100 + year // 400
    return year * 365 + leap_days + (153 * (month - 3) + 2) // 5 + day - 719469
