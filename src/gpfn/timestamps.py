"""RFC 3339 dates and times: told from other text, turned into seconds, and the present one.

``datetime`` knows the calendar. Its form is looked at here first, because
``fromisoformat`` reads much that RFC 3339 does not have: weeks, blanks, hours alone.
Two things it does not know are mapped to what it does: a leap second becomes the second
before it, and the year 0 the year 400, whose days are the same.

``_datetime`` is the part of ``datetime`` that is written in C: a Fn runner reads a
deadline with its first call, and has no 1.3 ms for importing the rest.
"""

from time import gmtime, strftime, time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
else:
    from _datetime import datetime

__all__ = ["epoch_seconds", "is_timestamp", "now"]

_EPOCH = datetime(1970, 1, 1)
_400_YEARS = 146_097 * 86_400
_DIGITS = "0123456789"


def is_timestamp(text: str) -> bool:
    """Say whether ``text`` is a date-time of RFC 3339, section 5.6; leap seconds are."""
    try:
        if text[19:] == "Z" and text[4:17:3] == "--T::" and text[11:13] != "24":
            datetime.fromisoformat(text)  # the usual form, in one step
        else:
            _moment(text)
            _rest(text)
    except ValueError:
        return text[19:] == "Z" and _is_moment(text)  # a leap second, the year 0
    return True


def _is_moment(text: str) -> bool:
    try:
        _moment(text)
    except ValueError:
        return False
    return True


def epoch_seconds(text: str) -> float:
    """Return the seconds since 1970 (UTC) of an RFC 3339 date-time.

    A leap second is the first of the next minute: POSIX time has no other place for it.
    Raises ValueError when it is not one.
    """
    try:
        since = _moment(text) - _EPOCH
        seconds = since.days * 86_400 + since.seconds + (text[17:19] == "60")
        rest = 0.0 if text[19:] == "Z" else _rest(text)
    except ValueError:
        raise ValueError(f"not an RFC 3339 date and time: {text[:60]!r}") from None
    return seconds + rest - (_400_YEARS if text.startswith("0000") else 0)


def _moment(text: str) -> datetime:
    """Return the date and the time to the second, as if in UTC; raise ValueError."""
    if text[4:17:3] not in ("--T::", "--t::") or text[11:13] == "24" or len(text) <= 19:
        raise ValueError("of another form")
    try:
        return datetime.fromisoformat(text[:19])
    except ValueError:
        year = "0400" if text.startswith("0000") else text[:4]
        second = "59" if text[17:19] == "60" else text[17:19]
        return datetime.fromisoformat(f"{year}{text[4:17]}{second}")


def _rest(text: str) -> float:
    """Return the fraction of a second, less the seconds that the zone is ahead of UTC."""
    zone = text[19:]
    fraction = 0.0
    if zone.startswith("."):
        zone = zone[1:].lstrip(_DIGITS)
        fraction = float("0" + text[19 : len(text) - len(zone)])
        if text.endswith(f".{zone}"):
            raise ValueError("a fraction without digits")
    if zone in ("Z", "z"):
        return fraction
    hours, minutes = zone[1:3], zone[4:]
    plain = zone[:1] in ("+", "-") and zone[3:4] == ":" and zone.isascii() and len(zone) == 6
    if not (plain and (hours + minutes).isdigit() and hours <= "23" and minutes <= "59"):
        raise ValueError("no offset from UTC")
    ahead = int(hours) * 3600 + int(minutes) * 60
    return fraction - (ahead if zone[0] == "+" else -ahead)


_formatted = (-1, "")


def now() -> str:
    """Return the present time in UTC to the second, such as 2026-11-20T17:31:00Z."""
    global _formatted  # noqa: PLW0603  (formatting a second once is what makes it cheap)
    second = int(time())
    formatted, text = _formatted  # one tuple: another thread may replace it at any time
    if second != formatted:
        text = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(second))
        _formatted = (second, text)
    return text
