import numpy as np
import pytest
import series


def test_the_same_seed_gives_the_same_series() -> None:
    once, again = series.monthly(301, 7), series.monthly(301, 7)
    assert once.dtype == np.float32
    assert once.tobytes() == again.tobytes()
    assert not np.array_equal(once, series.monthly(301, 8))


def test_the_committed_models_series_is_still_the_same() -> None:
    """Another version of NumPy that drew other noise would make the model card untrue."""
    some = series.monthly(301, 7)[[0, 84, 300]]
    assert some == pytest.approx([21.6837, 21.6238, 35.0965], abs=1e-3)


def test_a_shorter_series_is_the_beginning_of_a_longer_one() -> None:
    assert np.array_equal(series.monthly(50, 3), series.monthly(301, 3)[:50])


def test_the_trend_starts_in_2007() -> None:
    assert series.month_name(series.TREND_FROM) == "2007-01"
    by_year = series.monthly(300, 7).reshape(25, 12).mean(axis=1)
    assert np.ptp(by_year[:7]) < 4 * series.NOISE
    assert (np.diff(by_year[7:]) > 0).all()


def test_a_year_repeats_up_to_noise_before_the_trend() -> None:
    years = series.monthly(series.TREND_FROM, 7).reshape(7, 12)
    assert np.ptp(years.mean(axis=0)) > 8
    assert np.abs(years - years.mean(axis=0)).std() < 2 * series.NOISE


@pytest.mark.parametrize(
    ("month", "name"), [(0, "2000-01"), (11, "2000-12"), (12, "2001-01"), (300, "2025-01")]
)
def test_months_have_names(month: int, name: str) -> None:
    assert series.month_name(month) == name


def test_targets_are_the_next_values() -> None:
    inputs, targets = series.windows(np.arange(25, dtype=np.float32))
    assert inputs.shape == targets.shape == (5, 20, 1)
    assert np.array_equal(targets, inputs + 1)


@pytest.mark.parametrize("length", [3, 5, 15, 16])
def test_what_is_held_out_comes_last_and_is_not_learned(length: int) -> None:
    learned, held_out = series.split(length, 7)
    whole = series.monthly(20 * length + 1, 7)
    assert np.array_equal(np.concatenate([learned, held_out]), whole)
    assert len(held_out) == 20 * max(1, length // 5) + 1
    assert series.windows(learned)[1].max() <= learned.max()


def test_the_naive_forecast_is_exactly_as_good_as_itself() -> None:
    figures = series.evaluate(lambda inputs: inputs, series.monthly(61, 7))
    assert figures["mse"] == figures["naive_mse"]
    assert figures["margin"] == 1
