"""Statistics, the memory to ask for, the price."""

import json

import pytest

from gpfn.cli.table import table_text
from gpfn.coldstart.experiment import Sample
from gpfn.coldstart.summary import (
    Spread,
    Summary,
    billed_seconds,
    cost_per_million,
    suggested_memory,
)

COLD = [
    Sample({"load": 0.2, "predict": 0.01, "transport": 0.002}, {"load": 60_000_000}, 0.212),
    Sample({"load": 0.3, "predict": 0.03, "transport": 0.001}, {"load": 61_000_000}, 0.331),
]
WARM = [
    Sample({"predict": ms / 1e3, "transport": 0.001}, {"predict": 62_000_000}, (ms + 1) / 1e3)
    for ms in range(1, 101)
]
SUMMARY = Summary(COLD, WARM, 0.000017)


def test_a_spread_is_mean_median_and_99th_percentile() -> None:
    assert Spread.of([3.0]) == Spread(3, 3, 3)
    assert Spread.of([float(value) for value in range(100, 0, -1)]) == Spread(50.5, 50.5, 99)
    assert Spread.of([0.0] * 99 + [100.0]) == Spread(1, 0, 0)
    assert Spread.of([0.0] * 50 + [100.0]).p99 == 100  # of few, the slowest


@pytest.mark.parametrize(
    ("peak", "megabytes"),
    [(1, 128), (100 << 20, 128), (103 << 20, 192), (400 << 20, 512), (9000 << 20, 11250)],
)
def test_the_container_gets_a_quarter_more_than_was_used(peak: int, megabytes: int) -> None:
    assert suggested_memory(peak) == megabytes


@pytest.mark.parametrize(
    ("seconds", "billed"), [(0.0, 0.1), (0.003, 0.1), (0.1, 0.1), (0.1001, 0.2), (0.3, 0.3)]
)
def test_started_tenths_are_paid_for(seconds: float, billed: float) -> None:
    assert billed_seconds(seconds) == pytest.approx(billed)


def test_the_price_of_a_million_calls() -> None:
    assert cost_per_million(0.02, 128, 0.000017) == pytest.approx(0.2125)
    assert SUMMARY.costs() == {"cold": pytest.approx(0.6375), "warm": pytest.approx(0.2125)}


def test_everything_is_in_the_json() -> None:
    shown = json.loads(json.dumps(SUMMARY.shown()))
    assert shown["calls"] == {"cold": 2, "warm": 100}
    assert list(shown["stages"]) == ["load", "predict", "transport"]
    assert shown["stages"]["load"]["warm"] is None
    assert shown["stages"]["load"]["memory_bytes"] == 61_000_000
    assert shown["stages"]["transport"]["memory_bytes"] is None
    predict = {"mean_ms": 50.5, "median_ms": 50.5, "p99_ms": 99.0}
    assert shown["stages"]["predict"]["warm"] == predict
    assert shown["total"]["cold"]["mean_ms"] == pytest.approx(271.5)
    assert shown["peak_bytes"] == 62_000_000
    assert shown["suggested_memory_mb"] == 128


def test_the_table_has_a_line_for_each_stage() -> None:
    lines = [*table_text(SUMMARY.rows(), right=range(1, 8)).splitlines(), *SUMMARY.advice()]
    words = [line.split() for line in lines]
    assert " ".join(words[0]) == "cold: mean median p99 warm: mean median p99 memory"
    assert words[1] == ["load", "250.000", "250.000", "300.000", "61.0"]
    assert " ".join(words[2]) == "predict 20.000 20.000 30.000 50.500 50.500 99.000 62.0"
    assert [line[0] for line in words[3:5]] == ["transport", "all"]
    widths = {len(line) for line in (lines[0], lines[1], lines[2], lines[4])}
    assert len(widths) == 1, "columns stand under their heads"
    assert "Give the container 128 MB" in lines[-2]
    assert "0.21 warm, 0.64 cold" in lines[-1]
