"""What a forecast has to beat, on values that can be counted by hand."""

import numpy as np
import pytest
from baselines import NAIVE, SEASONAL, find_season, forecasts, judged, origins, scores, targets_of

VALUES = np.arange(20.0)


def test_every_target_of_a_part_is_in_it_and_all_are_used() -> None:
    at = origins(10, 20, 3)
    targets = targets_of(VALUES, at, 3)
    assert (targets.min(), targets.max(), len(at)) == (10, 19, 8)
    assert at[0] == 9  # the last value that is known before the first target


def test_the_baselines_know_nothing_after_the_origin() -> None:
    at = np.array([9])
    made = forecasts(VALUES, at, 6, 4)
    assert made[NAIVE].tolist() == [[9] * 6]
    assert made[SEASONAL].tolist() == [[6, 7, 8, 9, 6, 7]]
    assert max(each.max() for each in made.values()) <= at[0]
    assert [*forecasts(VALUES, at, 6, 0)] == [NAIVE]


def test_scores() -> None:
    found = scores(np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 3], [3, 7]]))
    assert found == {"mse": 2.5, "mae": 1.0, "mse_by_step": [0.0, 5.0]}


def test_values_that_were_put_in_judge_nothing() -> None:
    missing = np.zeros(20, bool)
    missing[[11, 12, 15]] = True
    at, targets = judged(VALUES, missing, origins(10, 20, 2), 2, between=False)
    assert at.tolist() == [9, 11, 12, 13, 14, 15, 16, 17], "after 10 nothing is known"
    assert np.isnan(targets[:, 0]).tolist() == [False, True] + [False] * 2 + [True] + [False] * 3
    assert np.nansum(targets[-1]) == 18 + 19
    at, _ = judged(VALUES, missing, origins(10, 20, 2), 2, between=True)
    assert at.tolist() == [9, 13, 14, 16, 17], "a line from 10 to 13 says what 13 is"
    found = scores(np.zeros((2, 2)), np.array([[np.nan, 2.0], [np.nan, 4.0]]))
    assert found == {"mse": 10.0, "mae": 3.0, "mse_by_step": [None, 10.0]}


@pytest.mark.parametrize("season", [4, 7, 12, 24])
def test_a_season_is_found_below_trend_and_noise(season: int) -> None:
    steps = np.arange(12 * season)
    noise = np.random.default_rng(1).standard_normal(len(steps))
    assert find_season(10 * np.sin(2 * np.pi * steps / season) + steps + noise) == season


def test_no_season_where_there_is_none() -> None:
    noise = np.random.default_rng(2).standard_normal(300)
    for values in (noise, np.cumsum(noise), np.arange(300.0), np.full(300, 5.0), noise[:5]):
        assert find_season(values) == 0
