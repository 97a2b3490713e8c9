"""Fn-Deadline, as the agent writes it and as anything else might."""

import math
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.platforms.fn.wire import parse_deadline


def left(text: str, now: float) -> float:
    """Return how many seconds after ``now`` the deadline is."""
    return parse_deadline(text).at - time.monotonic() + time.time() - now


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_what_the_agent_writes(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
    assert left(text, 0.0) == pytest.approx(moment.timestamp(), abs=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "2126-11-21T08:09:06.25Z",
        "2126-11-21T08:09:06.250000000Z",
        "2126-11-21t08:09:06.25z",
        "2126-11-21T10:39:06.25+02:30",
        "2126-11-21T00:09:06.25-08:00",
    ],
)
def test_fractions_and_offsets(text: str) -> None:
    moment = datetime(2126, 11, 21, 8, 9, 6, 250_000, UTC).timestamp()
    assert left(text, moment) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    "text", ["", "soon", "2126-11-21", "2126-11-21T08:09:0xZ", "9" * 400, "2126-11-21 08-09-06Z?"]
)
def test_what_nobody_can_read_is_no_deadline(text: str) -> None:
    assert parse_deadline(text).at == math.inf


def test_a_deadline_that_has_passed() -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    assert parse_deadline(past.strftime("%Y-%m-%dT%H:%M:%SZ")).expired()
