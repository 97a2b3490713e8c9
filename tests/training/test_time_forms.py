"""Times in the forms that files have, and the steps between them."""

import re

import numpy as np
import pytest
from time_axis import TimeAxis, time_axis
from time_forms import label, times_of

from gpfn.errors import SetupError


def axis(*texts: str) -> TimeAxis:
    return time_axis(texts, [f"s.csv:{line}" for line in range(2, len(texts) + 2)], "when")


@pytest.mark.parametrize(
    ("texts", "step", "season", "labels"),
    [
        (("2020-11", "2020-12", "2021-01"), "month", 12, ("2020-11", "2021-02")),
        (("202011", "202012", "202101"), "month", 12, ("2020-11", "2021-02")),
        (("2020M11", "2020M12", "2021M01"), "month", 12, ("2020-11", "2021-02")),
        (("11/2020", "12/2020", "1/2021"), "month", 12, ("2020-11", "2021-02")),
        (("Nov 2020", "dec. 2020", "January 2021"), "month", 12, ("2020-11", "2021-02")),
        (("2020-01", "2020-04", "2020-07"), "3 months", 4, ("2020-01", "2020-10")),
        (("2020-Q3", "2020-Q4", "2021-Q1"), "quarter", 4, ("2020-Q3", "2021-Q2")),
        (("Q3 2020", "Q4 2020", "Q1 2021"), "quarter", 4, ("2020-Q3", "2021-Q2")),
        (("1969", "1970", "1971"), "year", 0, ("1969", "1972")),
        (("2020-W52", "2020-W53", "2021-W01"), "week", 52, ("2020-W52", "2021-W02")),
        (("2020-02-28", "2020-02-29", "2020-03-01"), "day", 7, ("2020-02-28", "2020-03-02")),
        (("28.2.2020", "29.2.2020", "1.3.2020"), "day", 7, ("2020-02-28", "2020-03-02")),
        (("20200228", "20200229", "20200301"), "day", 7, ("2020-02-28", "2020-03-02")),
        (("2/28/2020", "2/29/2020", "3/1/2020"), "day", 7, ("2020-02-28", "2020-03-02")),
        (("28/2/2020", "29/2/2020", "1/3/2020"), "day", 7, ("2020-02-28", "2020-03-02")),
        (("2020-01-31", "2020-02-29", "2020-03-31"), "month", 12, ("2020-01", "2020-04")),
        (("2019-06-15", "2020-06-15", "2021-06-15"), "12 months", 0, ("2019-06", "2022-06")),
        (("2020-01-01 00:00:00", "2020-01-02", "2020-01-03"), "day", 7,
         ("2020-01-01", "2020-01-04")),
        (("2020-01-01T23:30Z", "2020-01-02T00:00Z", "2020-01-02T01:30+01:00"), "30 minutes", 48,
         ("2020-01-01T23:30:00Z", "2020-01-02T01:00:00Z")),
        (("2020-10-25T02:00+02:00", "2020-10-25T02:00+01:00", "2020-10-25T03:00+01:00"), "hour", 24,
         ("2020-10-25T00:00:00Z", "2020-10-25T03:00:00Z")),
        (("2020-01-01T01:00", "2020-01-01T02:00"), "hour", 24,
         ("2020-01-01T01:00:00", "2020-01-01T03:00:00")),
        (("2020-03-28T00:00+01:00", "2020-03-29T00:00+01:00", "2020-03-30T00:00+02:00"), "day", 7,
         ("2020-03-28", "2020-03-31")),
        (("2020-03-01 00:00:00.000000+0100", "2020-04-01 00:00:00.000000+0200"), "month", 12,
         ("2020-03", "2020-05")),
        (("2020-01-01T00:00Z", "2020-01-02T00:00:00Z"), "day", 7, ("2020-01-01", "2020-01-03")),
        (("2020-01-01T01:00+01:00", "2020-01-02T02:00+02:00"), "day", 7,
         ("2020-01-01", "2020-01-03")),
        (("1577836800", "1577840400"), "hour", 24, ("2020-01-01T00:00:00", "2020-01-01T02:00:00")),
        (("1577836800000", "1577836800250"), "0.25 seconds", 345600,
         ("2020-01-01T00:00:00", "2020-01-01T00:00:00.500000")),
    ],
)  # fmt: skip
def test_forms(texts: tuple[str, ...], step: str, season: int, labels: tuple[str, str]) -> None:
    found = axis(*texts)
    assert (found.step_name, found.season) == (step, season)
    assert (found.label(0), found.label(len(texts))) == labels
    assert found.steps.tolist() == list(range(len(texts)))


def test_working_days_have_no_gap_at_weekends() -> None:
    days = np.busday_offset("2024-01-03", np.arange(12)).astype(str)
    found = axis(*days)
    assert (found.step_name, found.season) == ("working day", 5)
    assert found.steps.tolist() == list(range(12))
    assert [found.label(step) for step in range(12)] == days.tolist()
    without_one = axis(*[day for day in days if day != "2024-01-10"])
    assert np.diff(without_one.steps).max() == 2


ZONES = "write zones: 2020-10-25T02:00+01:00"


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (("2020-01-01T01:00Z", "2020-01-01T02:00"), "'2020-01-01T02:00' is no time such as"),
        (("2020-01-01T01:00", "2020-01-01T02:00Z"), "'2020-01-01T02:00Z' is no time such as"),
        (("2020-10-25 02:00", "2020-10-25 02:00"), ZONES),
        (("2020-10-25 02:00", "2020-10-25 02:30", "2020-10-25 02:00"), ZONES),
    ],
)
def test_times_of_which_nobody_knows_the_zone_are_refused(
    texts: tuple[str, ...], told: str
) -> None:
    with pytest.raises(SetupError, match=re.escape(told)):
        axis(*texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("2020-10-25 02:00", "2020-10-25 01:00"),
        ("2020-10-25T02:00Z", "2020-10-25T02:00Z"),
        ("2020-10-25", "2020-10-25"),
        ("1577836800", "1577836800"),
    ],
)
def test_zones_are_no_advice_where_no_clock_was_put_back(texts: tuple[str, ...]) -> None:
    with pytest.raises(SetupError) as raised:
        axis(*texts)
    assert "zone" not in str(raised.value)


@pytest.mark.parametrize("unit", ["year", "quarter", "month", "week", "day", "instant"])
def test_a_label_is_read_as_what_it_was_made_of(unit: str) -> None:
    step = 1_000_000 if unit == "instant" else 1
    counts = [number * step for number in range(-50, 200, 7)]
    texts = [label(unit, count) for count in counts]
    assert times_of(texts, texts, "when") == (unit, pytest.approx(counts, abs=0))


@pytest.mark.parametrize(
    "text",
    ["2020-00", "2020-02-30", "2021-W53", "2020-01-01T25:00", "0000", "Q5 2020", "9" * 999],
)
def test_what_cannot_be_is_no_time(text: str) -> None:
    with pytest.raises(SetupError, match=r"^s\.csv:2: column when: '.{4,40}' is no time"):
        axis(text)
