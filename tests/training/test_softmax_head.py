"""The last layer learns, stops in time, and gives the same numbers for the same seed."""

from typing import Any

import numpy as np
import pytest
from picture_learning import interval
from picture_split import folds, split
from softmax_head import Fitted, Part, fit

HOW: dict[str, Any] = {"epochs": 60, "learning_rate": 0.01, "l2": 1e-3, "patience": 5, "seed": 7}
NOTHING = Part(np.zeros((0, 8), np.float32), np.zeros(0, int))


def clouds(counts: list[int], apart: float, seed: int = 1) -> Part:
    """Return points around a corner for each class, shifted far from 0 as features may be."""
    chance = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    points = chance.normal(0, 1, (len(labels), 8)) + apart * np.eye(8)[labels] + 100
    return Part(points.astype(np.float32), labels)


def trained(part: Part, validation: Part = NOTHING, **how: Any) -> Fitted:
    return fit(part, validation, int(part.labels.max()) + 1, **{**HOW, **how})


def accuracy(fitted: Fitted, part: Part) -> float:
    return float((fitted.head(part.features).argmax(axis=1) == part.labels).mean())


def test_it_tells_classes_apart_that_it_has_not_seen() -> None:
    fitted = trained(clouds([60, 60, 60], 6))
    assert accuracy(fitted, clouds([50, 50, 50], 6, seed=2)) > 0.98
    found = fitted.head(clouds([50, 50, 50], 6, seed=2).features)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-9
    assert fitted.head.weights.dtype == fitted.head.bias.dtype == np.float32
    assert fitted.history[-1].loss < fitted.history[0].loss / 3


def test_a_rare_class_weighs_as_much_as_a_frequent_one() -> None:
    fitted = trained(clouds([300, 6], 2))
    even = clouds([200, 200], 2, seed=3)
    rare = fitted.head(even.features[200:]).argmax(axis=1) == 1
    assert rare.mean() > 0.7


def test_it_stops_when_the_validation_loss_falls_no_more() -> None:
    noise = clouds([20, 20], 0)
    fitted = trained(noise, clouds([20, 20], 0, seed=5), epochs=500, l2=0.0)
    assert len(fitted.history) == fitted.best + HOW["patience"]
    least = min(epoch.validation_loss for epoch in fitted.history)
    assert fitted.history[fitted.best - 1].validation_loss <= least + 1e-3


def test_the_head_is_that_of_the_best_epoch() -> None:
    part, checked = clouds([20, 20], 0), clouds([20, 20], 0, seed=5)
    fitted = trained(part, checked, epochs=500, l2=0.0)
    again = trained(part, epochs=fitted.best, l2=0.0)
    assert np.array_equal(fitted.head.weights, again.head.weights)


def test_without_a_validation_part_every_epoch_is_trained() -> None:
    fitted = trained(clouds([1, 1], 6), epochs=12)
    assert (fitted.best, len(fitted.history)) == (12, 12)
    assert np.isnan(fitted.history[0].validation_loss)


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    part = clouds([40, 40], 2)
    one, same, other = (trained(part, seed=seed).head.weights for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_l2_keeps_weights_small() -> None:
    part = clouds([40, 40], 2)
    free, held = (np.abs(trained(part, l2=l2).head.weights).max() for l2 in (0.0, 1.0))
    assert held < free / 2


def test_equal_features_give_numbers_all_the_same() -> None:
    part = Part(np.full((6, 8), 3, np.float32), np.array([0, 0, 0, 1, 1, 1]))
    assert trained(part).head(part.features) == pytest.approx(0.5)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 20, 101])
def test_each_class_is_cut_by_itself_and_nothing_is_in_two_parts(count: int) -> None:
    labels = np.repeat([0, 1, 2], [count, 2, 40])
    parts = split(labels, 3)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for label in (0, 1, 2):
        held = (labels[parts.held_out] == label).sum()
        assert held == max(1, round((labels == label).sum() / 5))
        assert (labels[parts.learned] == label).any()
    assert (labels[parts.validation] == 0).any() == (count >= 5)
    assert all(np.array_equal(*pair) for pair in zip(parts, split(labels, 3), strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(parts, split(labels, 4), strict=True))


def test_folds_spread_each_class() -> None:
    labels = np.repeat([0, 1, 2], [10, 2, 2])
    fold = folds(labels, 5, 1)
    assert np.bincount(fold[labels == 0]).tolist() == [2] * 5
    for label in (1, 2):
        assert len(set(fold[labels == label])) == 2


def test_the_interval_is_wilsons() -> None:
    assert interval(12, 12) == pytest.approx((0.7575, 1), abs=1e-3)
    assert interval(80, 100) == pytest.approx((0.7112, 0.8666), abs=1e-3)
    assert interval(0, 4) == pytest.approx((0, 0.4899), abs=1e-3)
