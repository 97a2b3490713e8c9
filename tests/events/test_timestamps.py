"""Seconds since 1970, with Python's datetime as the oracle."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.events import timestamps
from gpfn.events.attributes import TIMESTAMP

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None)
@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=OFFSETS)
)
def test_seconds_agree_with_datetime(moment: datetime) -> None:
    assert TIMESTAMP.fullmatch(moment.isoformat())
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    assert timestamps.epoch_seconds(moment.isoformat()) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None)
@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
def test_a_day_is_one_when_the_calendar_has_it(year: int, month: int, day: int) -> None:
    try:
        datetime(year or 400, month, day)
        exists = True
    except ValueError:
        exists = False
    text = f"{year:04}-{month:02}-{day:02}T00:00:00Z"
    assert (TIMESTAMP.fullmatch(text) is not None) == exists


def test_known_seconds() -> None:
    assert timestamps.epoch_seconds("1970-01-01T00:00:00Z") == 0
    assert timestamps.epoch_seconds("2026-11-21T08:09:06z") == 1795248546
    assert timestamps.epoch_seconds("1969-12-31T23:59:59.5-01:00") == 3599.5
    # A leap second is the first of the next minute: POSIX time has no other place for it.
    assert timestamps.epoch_seconds("1990-12-31T23:59:60Z") == 662688000


def test_what_is_no_timestamp_has_no_seconds() -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 date and time: 'tomorrow'"):
        timestamps.epoch_seconds("tomorrow")
