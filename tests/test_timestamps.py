"""RFC 3339: the pattern that was, and Python's datetime, are the oracles."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn import timestamps
from gpfn.timestamps import is_timestamp, now

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None)
@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=OFFSETS)
)
def test_seconds_agree_with_datetime(moment: datetime) -> None:
    assert is_timestamp(moment.isoformat())
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
    assert is_timestamp(text) == exists


def test_known_seconds() -> None:
    assert timestamps.epoch_seconds("1970-01-01T00:00:00Z") == 0
    assert timestamps.epoch_seconds("2026-11-21T08:09:06z") == 1795248546
    assert timestamps.epoch_seconds("1969-12-31T23:59:59.5-01:00") == 3599.5
    # A leap second is the first of the next minute: POSIX time has no other place for it.
    assert timestamps.epoch_seconds("1990-12-31T23:59:60Z") == 662688000


def test_what_is_no_timestamp_has_no_seconds() -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 date and time: 'tomorrow'"):
        timestamps.epoch_seconds("tomorrow")


@pytest.mark.parametrize(
    "text",
    [
        "2018-04-05T17:31:00Z",
        "1985-04-12T23:20:50.52Z",
        "1996-12-19T16:39:57-08:00",
        "1990-12-31T23:59:60Z",
        "1937-01-01T12:00:27.87+00:20",
        "2024-02-29t00:00:00z",
        "2000-02-29T00:00:00Z",
        "2026-01-31T00:00:00.123456789012345678901234567890Z",
        "0000-02-29T00:00:00-00:00",
    ],
)
def test_timestamps(text: str) -> None:
    assert is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2018-04-05",
        "2018-04-05 17:31:00Z",
        "2018-04-05T17:31:00",
        "2018-04-05T17:31Z",
        "2018-04-05T17:31:Z",
        "2018-04-05T17:31:+1",
        "2018-4-5T17:31:00Z",
        "2018-13-05T17:31:00Z",
        "2018-00-05T17:31:00Z",
        "2018-04-31T17:31:00Z",
        "2018-04-00T17:31:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2018-04-05T24:00:00Z",
        "2018-04-05T17:60:00Z",
        "2018-04-05T17:31:61Z",
        "2018-04-05T17:31:00.Z",
        "2018-04-05T17:31:00,5Z",
        "2018-04-05T17:31:00+24:00",
        "2018-04-05T17:31:00+0100",
        "2018-04-05T17:31:00Z\n",
        "\u0662018-04-05T17:31:00Z",
        "20180405T173100Z",
        "2018-W14-4T17:31:00Z",
    ],
)
def test_what_is_no_timestamp(text: str) -> None:
    assert not is_timestamp(text)
    with pytest.raises(ValueError, match="not an RFC 3339"):
        timestamps.epoch_seconds(text)


def test_hostile_text_costs_what_its_length_costs() -> None:
    started = time.perf_counter()
    assert not is_timestamp("2018-04-05T17:31:00." + "1" * 200_000)
    assert time.perf_counter() - started < 0.5


_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    r"(?:\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rf"|(?:0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)"
)
_OFFSET = r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
PATTERN = re.compile(
    rf"{_DATE}[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d++)?{_OFFSET}", re.ASCII
)

EXAMPLES = st.sampled_from(
    [
        "2024-02-29T23:59:60.123456789Z",
        "0000-02-29t00:00:00-00:00",
        "9999-12-31T23:59:59+23:59",
        "1900-02-28T10:20:30z",
        "2018-W14-4T17:31:00Z",
    ]
)
LETTERS = st.sampled_from("0123456789:.,-+TtZzW \n٣²é\ud800_x")


@settings(deadline=None, max_examples=3000)
@given(EXAMPLES, st.lists(st.tuples(st.integers(0, 32), st.integers(0, 2), LETTERS), max_size=4))
def test_a_timestamp_is_what_the_pattern_says(
    text: str, changes: list[tuple[int, int, str]]
) -> None:
    for place, width, letter in changes:  # put one in, put one for another, put one for two
        text = text[:place] + letter + text[place + width :]
    assert is_timestamp(text) == (PATTERN.fullmatch(text) is not None)
    if is_timestamp(text):
        assert isinstance(timestamps.epoch_seconds(text), float)
    else:
        with pytest.raises(ValueError, match="not an RFC 3339 date and time"):
            timestamps.epoch_seconds(text)


def test_it_loads_neither_datetime_nor_patterns() -> None:
    code = (
        "import gpfn, sys; a = {*sys.modules}; import gpfn.timestamps; print(*{*sys.modules} - a)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(run.stdout.split()) == {"gpfn.timestamps", "_datetime"}


def test_now_is_now_and_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stated = datetime.fromisoformat(now())
    assert before <= stated <= datetime.now(UTC)
    assert is_timestamp(now())
    for second in (5, 6, 5):  # the clock may be set back
        monkeypatch.setattr(timestamps, "time", lambda second=second: second + 0.9)
        assert now() == f"1970-01-01T00:00:0{second}Z"
